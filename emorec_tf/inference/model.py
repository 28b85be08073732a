"""Model: a trained run that answers files and arrays from Python."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emorec_tf.config.fields import check
from emorec_tf.evaluation import run_card
from emorec_tf.features.decoded import AudioTrack, FaceTrack
from emorec_tf.features.face_tracks import TRACK_RATE_HZ, TRACK_SECONDS, TrackFrame
from emorec_tf.inference import adapting
from emorec_tf.inference.clip_people import InView
from emorec_tf.inference.long_media import Settings
from emorec_tf.inference.media_answer import answer_media
from emorec_tf.inference.model_inputs import Inputs, batch_of
from emorec_tf.inference.predictor import Predictor
from emorec_tf.storage.deferred import Deferred
from emorec_tf.training.run_dir import Run

if TYPE_CHECKING:
    import keras
else:
    keras = Deferred("keras")


EACH = 'predict_clip(..., people="all")'


@dataclass(frozen=True, repr=False)
class Model:
    """A trained model that answers. Made by ``emorec_tf.load``.

    Several threads may use one model; they are answered one after the other.

    >>> model = emorec_tf.load("runs/demo-concat")
    >>> model.predict_clip("clip.mp4")["emotion"] in model.classes
    True
    """

    predictor: Predictor
    # decoders, face detectors and Keras's functions are not made for several threads
    _lock: threading.RLock = field(
        default_factory=threading.RLock, init=False, repr=False, compare=False
    )

    def __repr__(self) -> str:
        """One line: name, what it answers, from what."""
        task = self.run.task
        what = f"rates {task.rating}" if task.rating else f"classes {', '.join(self.classes)}"
        return f"Model({self.run.folder.name!r}, {what}, from {' and '.join(self.modalities)})"

    @property
    def run(self) -> Run:
        """The run directory: settings, split, history."""
        return self.predictor.run

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes, in the order of the network's outputs; () for a rating."""
        return self.run.classes

    @property
    def modalities(self) -> tuple[str, ...]:
        """What the network looks at in a clip: audio, face, or both."""
        return self.predictor.modalities

    @property
    def card(self) -> str:
        """Markdown: what it was trained and tested on, and the limits of use."""
        return run_card.card_of(self.run)

    @cached_property
    def network(self) -> keras.Model:
        """A copy of the Keras model, {array name: [B, ...]} -> logits [B, K], or a rating [B, 1].

        ``inputs`` makes its arrays. Probabilities are the softmax of logits over
        ``run.temperature``. Training the copy does not change what this object answers.
        """
        own = self.predictor.model
        with self._lock:
            copied = type(own).from_config(own.get_config())
            copied.set_weights(own.get_weights())
        return copied

    def adapt(
        self,
        clips: str | Path | Sequence[str | Path],
        *,
        by: Literal["speaker", "corpus"] = "speaker",
    ) -> Model:
        """Adapt to unlabelled recordings of one speaker, or of one room.

        Their level and spread take the place of those of the training clips. This model stays as
        it is.

        Args:
            clips: a folder, or files; five or more, of several emotions.
            by: what they have in common; speaker: one person; corpus: one room and microphone, and
                several people.

        Returns:
            The model that is adapted, for clips of the same speaker or room.

        Raises:
            UserError: a run that cannot be adapted, or no clip that counts.

        >>> adapted = model.adapt("clips/of-one-person")
        """
        check(by in ("speaker", "corpus"), "by", by, "speaker or corpus")
        return Model(self.predictor.adapted(adapting.names_of(clips) or [], by))

    def predict_clip(
        self,
        path: str | Path,
        windows: Literal["auto", "on", "off"] = "auto",
        people: Literal["main", "all"] = "main",
    ) -> dict[str, Any]:
        """Answer a video of any length, an audio file or an image.

        Args:
            path: of the file.
            windows: auto answers longer videos window by window and person by person; on always
                does; off answers the middle of any file as one clip.
            people: whose answer one clip gets; main: the larger face's; all: also ``windows``, with
                a row for each person in view.

        Returns:
            The object of ``predict --json``: ``emotion`` (a class), ``probabilities`` {class: 0 to
            1}, ``audio_present``, ``face_present``, ``face_coverage`` (share of frames with a face,
            0 to 1), ``seconds`` (length of the part that was used); of longer videos also
            ``windows`` and ``people``. A rating has ``value`` (1 to 5) in place of the first two.
            Where nothing is there that the model looks at, ``emotion`` or ``value`` is None,
            ``probabilities`` is {}, ``missing`` lists what there should be ("audio", "face"), and
            ``reason`` says why there is none. ``notes`` says that others are in view beside the
            face that is answered.

        Raises:
            UserError: the file cannot be read, or holds neither audio nor frames.
        """
        check(windows in ("auto", "on", "off"), "windows", windows, "auto, on or off")
        with self._lock:
            settings = Settings(windows=windows, people=people)
            return answer_media(self.predictor, str(path), settings).answer

    def predict_arrays(
        self,
        waveform: np.ndarray | None = None,
        sample_rate_hz: int = 0,
        frames: Sequence[np.ndarray] | np.ndarray = (),
        frame_rate_hz: float = 0.0,
    ) -> dict[str, Any]:
        """Answer audio and video that are in memory: their middle, as of a clip.

        Whether the audio is speech is not checked.

        Args:
            waveform: float [samples], mono, -1 to 1; None: no audio.
            sample_rate_hz: of the waveform, in hertz.
            frames: uint8 RGB [F, H, W, 3], 0 to 255; (): no video.
            frame_rate_hz: frames per second.

        Returns:
            As ``predict_clip``, without ``clip``.

        Raises:
            UserError: neither audio nor frames, or arrays of another shape, type or rate.
        """
        _check_arrays(waveform, sample_rate_hz, frames, frame_rate_hz)
        with self._lock:
            return self._answer_arrays(waveform, sample_rate_hz, frames, frame_rate_hz)

    def _answer_arrays(
        self, waveform: np.ndarray | None, sample_rate_hz: int, frames: Any, frame_rate_hz: float
    ) -> dict[str, Any]:
        """Answer arrays that were checked."""
        lengths = [len(frames) / frame_rate_hz if len(frames) else 0.0]
        lengths += [len(waveform) / sample_rate_hz] if waveform is not None else []
        features = self.run.config.features
        seconds = min(max(lengths), max(TRACK_SECONDS, features.clip_seconds))
        start = (max(lengths) - seconds) / 2
        audio = faces = None
        if waveform is not None:
            part = waveform[round(start * sample_rate_hz) :][: round(seconds * sample_rate_hz)]
            audio = AudioTrack(part.astype(np.float32), sample_rate_hz, seconds)
        in_view = InView()
        if len(frames) and features.face_frames:
            track = self._track(in_view, frames, frame_rate_hz, start, seconds)
            faces = FaceTrack(track, seconds)
        answer = self.predictor.answer_decoded("arrays", audio, faces, speech_check=False).as_dict()
        answer = in_view.noted(answer, faces, self.predictor, start, EACH)
        del answer["clip"]
        return answer

    def _track(
        self, in_view: InView, frames: Any, frame_rate_hz: float, start: float, seconds: float
    ) -> list[TrackFrame]:
        """Follow the main face through those frames [F, H, W, 3] that a file's track would hold."""
        count = max(1, int(seconds * TRACK_RATE_HZ))
        targets = start + (np.arange(count) + 0.5) * seconds / count
        times = np.arange(len(frames)) / frame_rate_hz
        # Of two that are equally near the earlier one, as of a file.
        nearest = np.abs(targets[:, None] - times).argmin(1)
        shown = ((times[i] - start, np.asarray(frames[i])) for i in np.unique(nearest))
        return in_view.follow(shown, self.predictor.reader.detector)

    def inputs(self, paths: Sequence[str | Path]) -> Inputs:
        """Make the network's inputs of clips, as in training.

        Args:
            paths: of B files.

        Returns:
            {array name: [B, ...]}: ``audio`` float32 [B, T, M], ``faces`` uint8 [B, F, H, W, C],
            where the records had it ``mesh`` float32 [B, F, 478, 3], and their masks float32
            [B, T] or [B, F], 1 where there is something.

        Raises:
            UserError: one of them cannot be read.
        """
        with self._lock:
            return batch_of(*(self.predictor.example(str(path)) for path in paths))

    def embedding(self, path: str | Path) -> np.ndarray:
        """Give the branches' features of a clip, before fusion.

        Args:
            path: of a file.

        Returns:
            float32 [E]: the mean over time of the audio branch's tokens, then of the face
            branch's; of an ensemble those of each member, in its order. 0 where there is no audio
            or no face. E is ``embedding_width``. Clips that a model was adapted to change nothing.

        Raises:
            UserError: it cannot be read.

        >>> model.embedding("clip.mp4").shape == (model.embedding_width,)
        True
        """
        from emorec_tf.models import branch_outputs

        with self._lock:
            inputs = self.inputs([path])
            if self.run.config.data.adapt == "self":  # the branches learned from such audio
                inputs = adapting.adapter(self.run, self.predictor.model)(inputs)
            for name in self._below.input.keys() - inputs.keys():  # of the speaker, for the head
                inputs[name] = np.zeros((1, *self._below.input[name].shape[1:]), np.float32)
            found = self._below.predict_on_batch(inputs)
        return branch_outputs.embedding_of(found)[0].astype(np.float32)

    @property
    def embedding_width(self) -> int:
        """E, the number of values of an ``embedding``."""
        from emorec_tf.models import branch_outputs

        return sum(branch_outputs.widths_of(self._below))

    @cached_property
    def _below(self) -> keras.Model:
        """The network with its branches' tokens."""
        from emorec_tf.models import branch_outputs

        return branch_outputs.with_branches(self.predictor.base or self.predictor.model)


def _check_arrays(waveform: Any, sample_rate_hz: int, frames: Any, frame_rate_hz: float) -> None:
    """Refuse what is neither audio nor video."""
    has_audio, has_frames = waveform is not None, len(frames) > 0
    check(has_audio or has_frames, "waveform", waveform, "an array, where there are no frames")
    if has_audio:
        fits = (
            np.ndim(waveform) == 1 and len(waveform) and np.issubdtype(waveform.dtype, np.floating)
        )
        check(bool(fits), "waveform", _described(waveform), "float [samples], not empty")
        check(sample_rate_hz > 0, "sample_rate_hz", sample_rate_hz, "above 0")
    if has_frames:
        one = np.asarray(frames[0])
        fits = one.ndim == 3 and one.shape[2] == 3 and one.dtype == np.uint8
        check(bool(fits), "frames", _described(one), "uint8 RGB [F, height, width, 3]")
        check(frame_rate_hz > 0, "frame_rate_hz", frame_rate_hz, "above 0")


def _described(array: np.ndarray) -> str:
    return f"{array.dtype} {list(array.shape)}"

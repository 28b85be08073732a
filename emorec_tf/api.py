"""The zoo from Python: what models there are, one of them to ask, a fresh one to train further."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emorec_tf.config import config
from emorec_tf.config.fields import check
from emorec_tf.errors import UserError
from emorec_tf.evaluation import run_card
from emorec_tf.features import face_tracks
from emorec_tf.features.decoded import AudioTrack, FaceTrack
from emorec_tf.features.face_tracks import TRACK_RATE_HZ, TRACK_SECONDS, TrackFrame
from emorec_tf.inference import devices, media_answer, model_store, predictor
from emorec_tf.inference.long_media import Settings
from emorec_tf.inference.predictor import Inputs, Predictor, batch_of
from emorec_tf.training import run_dir

if TYPE_CHECKING:
    import keras

KINDS = ("audio", "face")


def list_models() -> list[str]:
    """Name the runs that ``load`` finds: those that come with the package, and in runs."""
    return sorted(model_store.found())


def load(
    name_or_folder: str | Path,
    *,
    face_model: str | None = None,
    mesh_model: str | None = None,
    enrol: str | None = None,
) -> Model:
    """Open a run to ask it.

    Args:
        name_or_folder: one of ``list_models()``, or a folder that ``train`` wrote.
        face_model: face detector's model file, where it has none inside.
        mesh_model: face mesh's model file, where MediaPipe has none inside.
        enrol: folder of unlabelled clips of the speaker, for a run that knows speakers by clips.

    Raises:
        UserError: no such run, or a damaged one.
    """
    ready = predictor.load(
        str(model_store.folder_of(name_or_folder)), face_model, mesh_model, enrol=enrol
    )
    return Model(ready)


@dataclass(frozen=True)
class Model:
    """A run that answers. Made by ``load``."""

    ready: Predictor

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes, in the order of the network's outputs; () for a rating."""
        return self.ready.run.classes

    @property
    def card(self) -> str:
        """Markdown: what it was trained and tested on, and the limits of use."""
        return run_card.card_of(self.ready.run)

    @cached_property
    def network(self) -> keras.Model:
        """The Keras model ``{array name: [B, ...]} -> logits [B, K]``, or a rating [B, 1]."""
        return run_dir.load_model(self.ready.run.model_file)

    def predict_clip(
        self, path: str | Path, windows: Literal["auto", "on", "off"] = "auto"
    ) -> dict[str, Any]:
        """Answer a film of any length, a sound or a picture: the object of ``predict --json``.

        Raises:
            UserError: it cannot be read.
        """
        check(windows in ("auto", "on", "off"), "windows", windows, "auto, on or off")
        return media_answer.answer_media(self.ready, str(path), Settings(windows=windows)).answer

    def predict_arrays(
        self,
        waveform: np.ndarray | None = None,
        sample_rate_hz: int = 0,
        pictures: Sequence[np.ndarray] | np.ndarray = (),
        pictures_hz: float = 0.0,
    ) -> dict[str, Any]:
        """Answer what is in memory, its middle as of a clip; whether it is speech is not checked.

        Args:
            waveform: float [samples], mono, within -1 to 1; None: no sound.
            sample_rate_hz: of the waveform.
            pictures: uint8 RGB [F, height, width, 3]; (): none.
            pictures_hz: pictures a second.

        Raises:
            UserError: neither sound nor pictures, or of another shape, type or rate.
        """
        _check_arrays(waveform, sample_rate_hz, pictures, pictures_hz)
        lengths = [len(pictures) / pictures_hz if len(pictures) else 0.0]
        lengths += [len(waveform) / sample_rate_hz] if waveform is not None else []
        features = self.ready.run.config.features
        seconds = min(max(lengths), max(TRACK_SECONDS, features.clip_seconds))
        start = (max(lengths) - seconds) / 2
        audio = faces = None
        if waveform is not None:
            part = waveform[round(start * sample_rate_hz) :][: round(seconds * sample_rate_hz)]
            audio = AudioTrack(part.astype(np.float32), sample_rate_hz, seconds)
        if len(pictures) and features.face_frames:
            faces = FaceTrack(self._looks(pictures, pictures_hz, start, seconds), seconds)
        clip = self.ready.answer_decoded("arrays", audio, faces, speech_check=False)
        told = clip.as_dict()
        del told["clip"]
        return told

    def _looks(
        self, pictures: Any, pictures_hz: float, start: float, seconds: float
    ) -> list[TrackFrame]:
        """Follow the main face through those pictures that a film's track would hold."""
        count = max(1, int(seconds * TRACK_RATE_HZ))
        targets = start + (np.arange(count) + 0.5) * seconds / count
        times = np.arange(len(pictures)) / pictures_hz
        # Of two that are equally near the earlier one, as of a film.
        nearest = np.abs(targets[:, None] - times).argmin(1)
        shown = ((times[i] - start, np.asarray(pictures[i])) for i in np.unique(nearest))
        return face_tracks.track(shown, self.ready.reader.detector)

    def inputs(self, paths: Sequence[str | Path]) -> Inputs:
        """Make what the network eats of clips: {array name: [B, ...]}, as in training.

        Raises:
            UserError: one of them cannot be read.
        """
        return batch_of(*(self.ready.example(str(path)) for path in paths))

    def embedding(self, path: str | Path) -> np.ndarray:
        """What the branches make of a clip before they are fused.

        Shapes:
            -> float32 [E]: the mean over time of the voice's features, then of the face's; zero
            where there is none.

        Raises:
            UserError: it cannot be read, or the run has no such branches or was trained with
                ``--enrol``.
        """
        inputs = batch_of(self.ready.example(str(path)))
        tokens = self._below.predict_on_batch(inputs)
        means = []
        for kind in (kind for kind in KINDS if f"{kind}_tokens" in tokens):
            values, mask = (np.asarray(tokens[f"{kind}_tokens{m}"])[0] for m in ("", "_mask"))
            means.append((values * mask[:, None]).sum(0) / max(mask.sum(), 1.0))
        return np.concatenate(means).astype(np.float32)

    @cached_property
    def _below(self) -> keras.Model:
        import keras

        run = self.ready.run
        names = {f"{kind}_tokens{mask}" for kind in KINDS for mask in ("", "_mask")}
        tokens = {n.name: n.output for n in self.network.layers if n.name in names}
        if not tokens or run.config.data.enrol is not None:
            why = "was trained with --enrol" if tokens else "has no branches of its own"
            raise UserError(f"run {run.folder} {why}, so it gives no embedding; take another")
        return keras.Model(self.network.input, tokens)


def _check_arrays(waveform: Any, sample_rate_hz: int, pictures: Any, pictures_hz: float) -> None:
    """Refuse what is no sound and no film."""
    heard, seen = waveform is not None, len(pictures) > 0
    check(heard or seen, "waveform", waveform, "an array, where there are no pictures")
    if heard:
        fits = (
            np.ndim(waveform) == 1 and len(waveform) and np.issubdtype(waveform.dtype, np.floating)
        )
        check(bool(fits), "waveform", _told(waveform), "float [samples], not empty")
        check(sample_rate_hz > 0, "sample_rate_hz", sample_rate_hz, "above 0")
    if seen:
        one = np.asarray(pictures[0])
        fits = one.ndim == 3 and one.shape[2] == 3 and one.dtype == np.uint8
        check(bool(fits), "pictures", _told(one), "uint8 RGB [F, height, width, 3]")
        check(pictures_hz > 0, "pictures_hz", pictures_hz, "above 0")


def _told(array: np.ndarray) -> str:
    return f"{array.dtype} {list(array.shape)}"


def build_model(
    classes: Sequence[str], *, weights: str | Path | None = None, **settings: Any
) -> keras.Model:
    """Build a fresh Keras model, to be trained by ``fit`` as any other.

    Args:
        classes: names of the K classes, in the order of the outputs.
        weights: a run whose settings, standardisation and, where they fit, layers are taken over;
            an output layer of as many classes is taken over too.
        settings: fields of the YAML configs, such as ``fusion="concat"`` or ``face_frames=5``; they
            go before those of ``weights``.

    Returns:
        ``{array name: [B, ...]} -> logits [B, K]``; ``Model.inputs`` makes its arrays.

    Raises:
        UserError: an unknown setting or choice, fewer than two classes, no such run.
    """
    check(len(set(classes)) == len(classes) >= 2, "classes", classes, "two or more, once")
    run = run_dir.load(model_store.folder_of(weights)) if weights else None
    chosen = config.build(settings, run.config if run else None)
    devices.import_quickly()
    from emorec_tf.models.model import build_model

    known = run_dir.load_model(run.model_file) if run else None
    mean, variance = _standard(known, chosen.features.audio_width)
    made = build_model(chosen, tuple(classes), mean, np.sqrt(variance))
    if known is not None:
        _take_over(made, known)
    return made


def _standard(known: keras.Model | None, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each band, as a known model has them, or 0 and 1."""
    found = [n for n in known.layers if n.name == "standardise"] if known is not None else []
    if not found or np.size(found[0].mean) != width:
        return np.zeros(width, np.float32), np.ones(width, np.float32)
    return np.ravel(np.asarray(found[0].mean)), np.ravel(np.asarray(found[0].variance))


def _take_over(made: keras.Model, known: keras.Model) -> None:
    """Give layers the weights of those of the same name and shapes."""
    theirs = {layer.name: layer for layer in known.layers}
    for layer in made.layers:
        other = theirs.get(layer.name)
        if other and [w.shape for w in layer.weights] == [w.shape for w in other.weights]:
            layer.set_weights(other.get_weights())

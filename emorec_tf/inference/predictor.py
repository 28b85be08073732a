"""A run that answers: files to model inputs as in training, and the network's answers to them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.errors import UserError
from emorec_tf.inference import adapting, class_choice, devices, presence, unfamiliar
from emorec_tf.inference.answers import ClipAnswer
from emorec_tf.inference.model_inputs import Inputs, batch_of, clip_of, mute, silenced
from emorec_tf.inference.presence import Basis
from emorec_tf.inference.windows import UNSURE
from emorec_tf.training import model_store, run_dir

if TYPE_CHECKING:
    import keras

    from emorec_tf.features.decoded import AudioTrack, Decoded, FaceTrack, Follow, Reader
    from emorec_tf.features.examples import Assembler, Seen
    from emorec_tf.media.container import Source
    from emorec_tf.training.clip_familiarity import Answering
    from emorec_tf.training.speaker_adaptation import SpeakerAdapter

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predictor:
    """A run, ready to answer. Made by ``load``.

    A clip goes through three steps: ``read`` decodes it, ``assemble`` makes an example of what was
    decoded, ``answer`` gives the network's answer. ``answer_clip`` takes all three.
    """

    run: run_dir.Run
    model: keras.Model
    reader: Reader
    assembler: Assembler
    adapt: SpeakerAdapter
    temperature: float | None
    abstain_below: float = 0.0
    answering: Answering | None = None  # None: the run cannot tell how familiar a clip is
    unfamiliar_below: float = 0.0  # the emotion is ``unsure`` where familiarity is below this
    speech_check: bool = True
    base: keras.Model | None = None  # the network before it was adapted
    among: tuple[str, ...] = ()  # the only classes that are answered; (): all

    def read(self, source: Source, follow: Follow | None = None) -> Decoded:
        """Decode the middle of an open file: its audio, and the track of its main face.

        Args:
            source: the file.
            follow: makes the track; None: ``face_tracks.track``.

        Raises:
            UserError: it cannot be read.
        """
        return self.reader.read_source(source, follow)

    def assemble(
        self, audio: AudioTrack | None, faces: FaceTrack | None, name: str
    ) -> tuple[Inputs, Seen]:
        """Make an example, the arrays of one clip, of what was decoded of the file ``name``.

        Raises:
            UserError: there is nothing, or too few faces for adaptive sampling.
        """
        return self.assembler.assemble(audio, faces, name)

    def answer(self, inputs: Inputs) -> list[dict[str, Any]]:
        """Answer a batch of inputs [B, ...]: emotion and probabilities of each, or its value.

        Of a run that can tell, also the clip's ``familiarity``, 0 to 1.
        """
        task, adapted = self.run.task, self.adapt(inputs, None)
        familiar, temperature = None, self.run.temperature or 1.0
        if self.answering is None:
            raw = np.asarray(self.model.predict_on_batch(adapted))
            rows = task.predictions(raw, temperature)
        else:
            raw, growth, familiar = self.answering(adapted)
            rows = task.predictions(raw, temperature * growth)
        if task.rating:
            found: list[dict[str, Any]] = [{"value": round(float(row), 3)} for row in rows]
        else:
            shares, classes = class_choice.scaled(rows, task.classes, self.among)
            found = [named(row, classes, self.abstain_below) for row in shares]
        for answer, share in zip(found, () if familiar is None else familiar, strict=False):
            unfamiliar.mark(answer, share, self.unfamiliar_below)
        return found

    @property
    def unlike_below(self) -> float | None:
        """Familiarity below which a clip is unlike anything in training; None: it cannot tell."""
        found = self.answering.found if self.answering else None
        return found.threshold if found else None

    @property
    def modalities(self) -> tuple[str, ...]:
        """What the network looks at in a clip: audio, face, or both."""
        return self.basis.kinds

    @cached_property
    def basis(self) -> Basis:
        """What the network looks at, by the masks that its branches need."""
        return Basis.of(self.model, self.run.modalities)

    @property
    def no_answer(self) -> dict[str, Any]:
        """What stands for an answer where there is nothing that the network looks at."""
        familiar = {"familiarity": None} if self.answering else {}
        if self.run.task.rating:
            return {"value": None, **familiar}
        return {"emotion": None, "probabilities": {}, **familiar}

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that are answered, in the network's order; () for a rating."""
        return self.among or self.run.classes

    def limited(self, classes: Sequence[str]) -> Predictor:
        """Choose among some of the classes alone.

        Raises:
            UserError: a class that the run does not have, fewer than two, or a rating.
        """
        return replace(self, among=class_choice.chosen(classes, self.run))

    def answer_clip(self, path: str, speech_check: bool) -> ClipAnswer:
        """Answer the middle of a file, as in training.

        Raises:
            UserError: it cannot be read.
        """
        from emorec_tf.media.container import open_media

        with open_media(path) as source:
            audio, faces = self.read(source)
        return self.answer_decoded(path, audio, faces, speech_check)

    def answer_decoded(
        self, name: str, audio: AudioTrack | None, faces: FaceTrack | None, speech_check: bool
    ) -> ClipAnswer:
        """Answer what was decoded of a clip.

        With ``speech_check`` audio without speech is left out, as if there were none. Where nothing
        is left that the network looks at, or only digital silence, there is no emotion and no
        value, but a reason.

        Raises:
            UserError: there is nothing, or too few faces for adaptive sampling.
        """
        example, seen = self.assemble(audio, faces, name)
        no_speech = False
        if speech_check and audio is not None and seen.audio_present:
            no_speech = not self.has_speech(audio)
        if no_speech:
            mute(example)
        facts: dict[str, Any] = {
            "audio_present": seen.audio_present,
            "face_present": seen.faces_found > 0,
            "speech": False if no_speech else None,
        }
        if self.basis.answerable(example | silenced(example, seen)):
            answer = self.answer(batch_of(example))[0]
        else:
            answer = {**self.no_answer, **presence.why_none(self.modalities, facts)}
        rating = bool(self.run.task.rating)
        return ClipAnswer(
            clip=name,
            **answer | ({"emotion": "", "probabilities": {}} if rating else {}),
            target=self.run.config.data.target,
            **facts,
            face_coverage=round(seen.faces_found / max(seen.frames, 1), 3),
            seconds=round(seen.seconds, 3),
            rated=rating,
            compared=self.answering is not None,
        )

    def has_speech(self, audio: AudioTrack) -> bool:
        """Say whether the part of a clip's audio that the network gets holds speech."""
        return speech_in(audio, self.run.config.features)

    def adapted(
        self, names: Sequence[str], by: Literal["speaker", "corpus"] = "speaker"
    ) -> Predictor:
        """Adapt to unlabelled recordings of one speaker, or of one room; see ``adapting``."""
        return adapting.adapted(self, names, by)

    def example(self, path: str) -> Inputs:
        """Decode a file to the arrays of one clip.

        Raises:
            UserError: it cannot be read.
        """
        return self.assemble(*self.reader.read(clip_of(path)), path)[0]


def load(
    run_folder: str,
    face_model: str | None = None,
    mesh_model: str | None = None,
    abstain_below: float = 0.0,
    adapt: str | Sequence[str] | None = None,
    speech_check: bool = True,
    abstain_unfamiliar: bool = False,
    adapt_by: Literal["speaker", "corpus"] = "speaker",
) -> Predictor:
    """Load a run once, for any number of files.

    Args:
        run_folder: what ``train --run`` wrote, or the name of a model.
        face_model: face detector's model file, in place of its own.
        mesh_model: bundle of MediaPipe's FaceLandmarker, in place of the mesh.
        abstain_below: the emotion is ``unsure`` where no probability reaches this.
        adapt: folder or files: unlabelled recordings of the same speaker or room.
        speech_check: leave out the audio of these recordings in which no speech is found.
        abstain_unfamiliar: the emotion is ``unsure`` of a clip that is unlike anything in training.
        adapt_by: speaker or corpus: what the recordings have in common.

    Raises:
        UserError: no such run, one that cannot tell how familiar a clip is, or recordings that it
            cannot be adapted to.
    """
    folder = model_store.folder_of(run_folder)
    model_store.check_sums(folder)
    run = run_dir.load(folder)
    clips = [adapt] if isinstance(adapt, str) else adapt
    adapting.check(run, clips)
    if run.task.rating and abstain_below:
        raise UserError(f"run {run_folder} estimates {run.task.rating}; drop --abstain_below")
    if abstain_unfamiliar:
        unfamiliar.check(run)
    if run.temperature is None and not run.task.rating:
        log.warning("%s is not calibrated; evaluate does it", run_folder)
    devices.import_quickly()
    from emorec_tf.features import decoded, examples, face_detection
    from emorec_tf.training import ensemble

    face_detection.single_thread()
    model = ensemble.model_of(run)
    reader = decoded.Reader(run.config.features, face_model, modalities=run.modalities)
    assembler = examples.Assembler(run.config.features, mesh_model, modalities=run.modalities)
    own = adapting.adapter(run, model)
    made = Predictor(
        run,
        model,
        reader,
        assembler,
        own,
        run.temperature,
        abstain_below,
        unfamiliar.answering_of(run, model),
        speech_check=speech_check,
    )
    if abstain_unfamiliar:
        made = replace(made, unfamiliar_below=made.unlike_below or 0.0)
    return made if clips is None else made.adapted(clips, adapt_by)


def speech_in(audio: AudioTrack, features: FeaturesConfig) -> bool:
    """Say whether the part of a clip's audio that becomes an example holds speech."""
    from emorec_tf.features import examples
    from emorec_tf.media import voice_activity

    rate_hz = voice_activity.RATE_HZ
    if features.sample_rate_hz < rate_hz:  # speech is found worse at what the network gets
        features = replace(features, sample_rate_hz=rate_hz)
    rate_hz = features.sample_rate_hz
    waveform = examples.window_waveform(audio, features)
    return waveform is not None and voice_activity.has_speech(waveform, rate_hz)


def named(shares: np.ndarray, classes: Sequence[str], abstain_below: float) -> dict[str, Any]:
    """Name the most likely class of shares [K], or none."""
    sure = shares.max() >= abstain_below
    return {
        "emotion": classes[int(shares.argmax())] if sure else UNSURE,
        "probabilities": {c: round(float(p), 6) for c, p in zip(classes, shares, strict=True)},
    }

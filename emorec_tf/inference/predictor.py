"""A run that answers: files to model inputs as in training, and the network's answers to them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from emorec_tf.config.clip import Clip
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.datasets.discovery import found
from emorec_tf.errors import SetupError, UserError
from emorec_tf.inference import devices, model_store, unfamiliar
from emorec_tf.inference.answers import ClipAnswer
from emorec_tf.inference.model_inputs import (
    Inputs,
    Maker,
    batch_of,
    clip_of,
    inputs_of,
    is_seen,
    mute,
)
from emorec_tf.inference.windows import UNSURE
from emorec_tf.training import run_dir

if TYPE_CHECKING:
    import keras

    from emorec_tf.features.decoded import AudioTrack, Decoded, FaceTrack, Reader
    from emorec_tf.features.examples import Assembler, Seen
    from emorec_tf.media.container import Source
    from emorec_tf.training.clip_familiarity import Answering
    from emorec_tf.training.speaker_adaptation import SpeakerAdapter

KINDS = ("audio", "face")

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

    def read(self, source: Source) -> Decoded:
        """Decode the middle of an open file: its audio, and the track of its main face.

        Raises:
            UserError: it cannot be read.
        """
        return self.reader.read_source(source)

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
        familiar, temperature = None, self.temperature or 1.0
        if self.answering is None:
            raw = np.asarray(self.model.predict_on_batch(adapted))
            rows = task.predictions(raw, temperature)
        else:
            raw, growth, familiar = self.answering(adapted)
            rows = task.predictions(raw, temperature * growth)
        if task.rating:
            found: list[dict[str, Any]] = [{"value": round(float(row), 3)} for row in rows]
        else:
            found = [named(row, task.classes, self.abstain_below) for row in rows]
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
        """What the network uses of a clip: audio, face, or both; both of an ensemble."""
        return self.run.modalities

    def has_use_for(self, audio: bool, face: bool) -> bool:
        """Say whether the network can answer, by whether there is audio and whether a face."""
        present = {"audio": audio, "face": face}
        return any(present[kind] for kind in self.modalities)

    @property
    def no_answer(self) -> dict[str, Any]:
        """What stands for an answer where there is nothing that the network uses."""
        familiar = {"familiarity": None} if self.answering else {}
        if self.run.task.rating:
            return {"value": None, **familiar}
        return {"emotion": None, "probabilities": {}, **familiar}

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
        is left that the network uses, there is no emotion and no value.

        Raises:
            UserError: there is nothing, or too few faces for adaptive sampling.
        """
        example, seen = self.assemble(audio, faces, name)
        no_speech = False
        if speech_check and audio is not None and seen.audio_present:
            no_speech = not self.has_speech(audio)
        if no_speech:
            mute(example)
        heard = seen.audio_present and not no_speech
        usable = self.has_use_for(heard, is_seen(example))
        answer = self.answer(batch_of(example))[0] if usable else self.no_answer
        rating = bool(self.run.task.rating)
        return ClipAnswer(
            clip=name,
            **answer | ({"emotion": "", "probabilities": {}} if rating else {}),
            target=self.run.config.data.target,
            audio_present=seen.audio_present,
            face_present=seen.faces_found > 0,
            face_coverage=round(seen.faces_found / max(seen.frames, 1), 3),
            seconds=round(seen.seconds, 3),
            speech=False if no_speech else None,
            rated=rating,
            compared=self.answering is not None,
        )

    def has_speech(self, audio: AudioTrack) -> bool:
        """Say whether the part of a clip's audio that the network gets holds speech."""
        return speech_in(audio, self.run.config.features)

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
    enrol: str | None = None,
    speech_check: bool = True,
    abstain_unfamiliar: bool = False,
) -> Predictor:
    """Load a run once, for any number of files.

    Args:
        run_folder: what ``train --run`` wrote, or the name of a model.
        face_model: face detector's model file, where it has none inside.
        mesh_model: face mesh's model file, where MediaPipe has none inside.
        abstain_below: the emotion is ``unsure`` where no probability reaches this.
        enrol: folder of unlabelled clips of the speaker, for a run with speaker adaptation.
        speech_check: leave out the audio of enrolment clips in which no speech is found.
        abstain_unfamiliar: the emotion is ``unsure`` of a clip that is unlike anything in training.

    Raises:
        UserError: no such run, one that cannot tell how familiar a clip is, or enrolment clips
            that do not fit it.
    """
    folder = model_store.folder_of(run_folder)
    model_store.check_sums(folder)
    run = run_dir.load(folder)
    check_enrolment(run, enrol)
    if run.task.rating and abstain_below:
        raise UserError(f"run {run_folder} estimates {run.task.rating}; drop --abstain_below")
    if abstain_unfamiliar:
        unfamiliar.check(run)
    temperature = run.temperature
    if temperature is None and not run.task.rating:
        log.warning("%s is not calibrated; evaluate does it", run_folder)
    devices.import_quickly()
    from emorec_tf.features import decoded, examples, face_detection

    face_detection.single_thread()
    model = run_dir.load_model(run.model_file)
    reader = decoded.Reader(run.config.features, face_model)
    assembler = examples.Assembler(run.config.features, mesh_model)

    def make(clip: Clip) -> tuple[Inputs, Seen]:
        audio, faces = reader.read(clip)
        example, seen = assembler.assemble(audio, faces, str(clip.video or clip.audio))
        heard = speech_check and audio is not None and seen.audio_present
        if heard and audio and not speech_in(audio, run.config.features):
            mute(example)
        return example, seen

    adapt = adapter(run, model, make, enrol)
    answering = unfamiliar.answering_of(run, model)
    made = Predictor(run, model, reader, assembler, adapt, temperature, abstain_below, answering)
    if not abstain_unfamiliar:
        return made
    return replace(made, unfamiliar_below=made.unlike_below or 0.0)


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


def check_enrolment(run: run_dir.Run, folder: str | None) -> None:
    """Refuse clips for a run without speaker adaptation, and a run that needs them without."""
    by_clips = isinstance(run.config.data.enrol, int)
    if by_clips and folder is None:
        raise UserError(
            f"run {run.folder} adapts to speakers by their clips; give --enrol FOLDER with "
            f"unlabelled clips of the speaker"
        )
    if folder is not None and not by_clips:
        raise UserError(
            f"run {run.folder} was trained without --enrol K, so it cannot use {folder}; drop "
            f"--enrol"
        )


def adapter(
    run: run_dir.Run, model: keras.Model, make: Maker, folder: str | None
) -> SpeakerAdapter:
    """Make what adapts clips to their speaker: by the folder's clips, or the clip's own audio."""
    from emorec_tf.training.speaker_adaptation import SpeakerAdapter

    own = SpeakerAdapter.for_model(model, run.config.data.enrol)
    if folder is None:
        return own
    clips = []
    for path in found([folder]):
        try:
            clips.append(inputs_of(make, path)[0])
        except SetupError:
            raise
        except UserError as error:
            log.warning("%s; this enrolment clip does not count", error)
    return own.fit_speaker(clips, model)

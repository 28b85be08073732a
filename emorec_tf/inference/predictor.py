"""A run that answers: files to inputs as in training, and what the network says of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from emorec_tf.config.clip import Clip
from emorec_tf.datasets.discovery import found
from emorec_tf.errors import UserError
from emorec_tf.inference import model_store
from emorec_tf.inference.windows import UNSURE
from emorec_tf.training import run_dir

if TYPE_CHECKING:
    import keras

    from emorec_tf.features.decoded import Read, Sound
    from emorec_tf.features.examples import Assemble, Seen
    from emorec_tf.records.input_pipeline import Adapt

Inputs: TypeAlias = dict[str, np.ndarray]
Maker: TypeAlias = "Callable[[Clip], tuple[Inputs, Seen]]"


@dataclass(frozen=True)
class Answer:
    """What is known of a clip; ``seconds`` is the length of what was looked at.

    Where a rating is estimated, ``value`` holds it, and there are no probabilities. Where there was
    nothing to see or hear, there is neither. ``speech`` is told only where a check found none.
    """

    clip: str
    emotion: str | None
    probabilities: dict[str, float]
    audio_present: bool
    face_present: bool
    face_coverage: float
    seconds: float
    target: str = "emotion"
    value: float | None = None
    speech: bool | None = None
    rated: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Give the object of ``--json``: what else than emotions was learned is named."""
        told = asdict(self)
        target, value, rated = told.pop("target"), told.pop("value"), told.pop("rated")
        if told["speech"] is None:
            del told["speech"]
        if rated:
            del told["emotion"], told["probabilities"]
            told = {"clip": told.pop("clip"), "target": target, "value": value, **told}
        elif target != "emotion":
            told["target"] = target
        return told

    def as_json(self) -> str:
        """Write the line of ``--json``."""
        return json.dumps(self.as_dict())


@dataclass(frozen=True)
class Opened:
    """A run, ready to answer.

    ``read`` decodes a clip, ``assemble`` makes an example of what was decoded, ``tell`` takes
    inputs of a batch [B, ...] and says of each row what goes into an answer.
    """

    run: run_dir.Run
    read: Read
    assemble: Assemble
    tell: Callable[[Inputs], list[dict[str, Any]]]
    face_model: str | None
    abstain_below: float

    @property
    def told_nothing(self) -> dict[str, Any]:
        """What goes into an answer where there is nothing to see or hear."""
        return {"value": None} if self.run.task.rating else {"emotion": None, "probabilities": {}}


def opened(
    run_folder: str,
    face_model: str | None = None,
    mesh_model: str | None = None,
    abstain_below: float = 0.0,
    enrol: str | None = None,
) -> Opened:
    """Load a run once, for any number of files.

    Args:
        run_folder: what ``train --run`` wrote, or the name of a model.
        face_model: face detector's model file, where it has none inside.
        mesh_model: face mesh's model file, where MediaPipe has none inside.
        abstain_below: the emotion is ``unsure`` where no probability reaches this.
        enrol: folder of unlabelled clips of the speaker, for a run that knows speakers by clips.

    Raises:
        UserError: no such run, or an enrolment that does not fit it.
    """
    folder = model_store.folder_of(run_folder)
    model_store.check_sums(folder)
    loaded = run_dir.load(folder)
    check_enrolment(loaded, enrol)
    task, temperature, features = loaded.task, loaded.temperature, loaded.config.features
    if task.rating and abstain_below:
        raise UserError(f"run {run_folder} estimates {task.rating}; drop --abstain_below")
    if temperature is None and not task.rating:
        print(f"note: {run_folder} is not calibrated; evaluate does it", file=sys.stderr)
    import_quickly()
    from emorec_tf.features import decoded, examples, face_detection

    face_detection.single_thread()
    model = run_dir.load_model(loaded.model_file)
    read = decoded.reader(features, face_model)
    assemble = examples.assembler(features, mesh_model)
    adapt = adapter(loaded, model, maker_of(read, assemble), enrol)

    def tell(inputs: Inputs) -> list[dict[str, Any]]:
        told = task.predictions(
            np.asarray(model.predict_on_batch(adapt(inputs, None))), temperature
        )
        if task.rating:
            return [rated(row) for row in told]
        return [named(row, task.classes, abstain_below) for row in told]

    return Opened(loaded, read, assemble, tell, face_model, abstain_below)


def import_quickly() -> None:
    """Import TensorFlow and Keras without what they import for scikit-learn's users and plots.

    Keras takes both for optional; they make a third of the time to its first answer.
    """
    from emorec_tf.storage.downloads import hidden

    with hidden("sklearn", "matplotlib"):
        import keras  # noqa: F401
        import tensorflow  # noqa: F401


def maker_of(read: Read, assemble: Assemble) -> Maker:
    """Join the two halves of ``examples.maker``."""
    return lambda clip: assemble(*read(clip), str(clip.video or clip.audio))


def predictor(
    run_folder: str,
    face_model: str | None = None,
    mesh_model: str | None = None,
    abstain_below: float = 0.0,
    enrol: str | None = None,
) -> Callable[[str], Answer]:
    """Load a run once; return the function that answers one file: its middle, as in training.

    The arguments are those of ``opened``.

    Raises:
        UserError: no such run, an enrolment that does not fit it; and, by the returned function,
            a file that cannot be read.
    """
    ready = opened(run_folder, face_model, mesh_model, abstain_below, enrol)
    return lambda path: clip_answer(ready, path, speech_check=False)


def clip_answer(ready: Opened, path: str, speech_check: bool) -> Answer:
    """Answer the middle of a file.

    With ``speech_check`` a sound without speech is left out, as if there were none.

    Raises:
        UserError: it cannot be read.
    """
    clip = clip_of(path)
    sound, film = ready.read(clip)
    example, seen = ready.assemble(sound, film, path)
    no_speech = False
    if speech_check and sound is not None and seen.audio_present:
        no_speech = without_speech(ready, clip, sound)
    if no_speech:
        mute(example)
    nothing = no_speech and not is_seen(example)
    task = ready.run.task
    return Answer(
        clip=path,
        **(ready.told_nothing if nothing else ready.tell(batch_of(example))[0])
        | ({"emotion": "", "probabilities": {}} if task.rating else {}),
        target=ready.run.config.data.target,
        audio_present=seen.audio_present,
        face_present=seen.faces_found > 0,
        face_coverage=round(seen.faces_found / max(seen.frames, 1), 3),
        seconds=round(seen.seconds, 3),
        speech=False if no_speech else None,
        rated=bool(task.rating),
    )


def without_speech(ready: Opened, clip: Clip, sound: Sound) -> bool:
    """Say whether the part of a clip's sound that the network hears holds no speech."""
    from emorec_tf.features import examples
    from emorec_tf.media import voice_activity

    features, rate_hz = ready.run.config.features, voice_activity.RATE_HZ
    if features.sample_rate_hz >= rate_hz:
        voice, rate_hz = examples.voice_of(sound, features), features.sample_rate_hz
    else:  # it is heard better than the network hears it
        voice = examples.hear(clip, replace(features, sample_rate_hz=rate_hz))
    return voice is None or not voice_activity.has_speech(voice, rate_hz)


def mute(example: Inputs) -> None:
    """Mask the voice of an example: audio [T, M], audio_mask [T]."""
    example["audio"][:] = 0
    example["audio_mask"][:] = 0


def is_seen(example: Inputs) -> bool:
    """Say whether a face, or its mesh, was found."""
    masks = [example[name] for name in ("face_mask", "mesh_mask") if name in example]
    return any(bool(mask.any()) for mask in masks)


def named(shares: np.ndarray, classes: Sequence[str], abstain_below: float) -> dict[str, Any]:
    """Name the most likely class of shares [K], or none."""
    sure = shares.max() >= abstain_below
    return {
        "emotion": classes[int(shares.argmax())] if sure else UNSURE,
        "probabilities": {c: round(float(p), 6) for c, p in zip(classes, shares, strict=True)},
    }


def rated(estimate: float) -> dict[str, Any]:
    """Tell an estimate."""
    return {"value": round(float(estimate), 3)}


def check_enrolment(run: run_dir.Run, folder: str | None) -> None:
    """Refuse to mix the two ways to know a speaker."""
    by_clips = isinstance(run.config.data.enrol, int)
    if by_clips and folder is None:
        raise UserError(
            f"run {run.folder} knows speakers by their clips; give --enrol FOLDER with unlabelled "
            f"clips of the one who speaks"
        )
    if folder is not None and not by_clips:
        raise UserError(
            f"run {run.folder} was trained without --enrol K, so it cannot use {folder}; drop "
            f"--enrol"
        )


def adapter(run: run_dir.Run, model: keras.Model, make: Maker, folder: str | None) -> Adapt:
    """Make what puts a clip on the scale of training: by the folder's clips, or the clip's own."""
    from emorec_tf.training import speaker_adaptation

    standard, below = (
        speaker_adaptation.standard_of(model),
        speaker_adaptation.features_model(model),
    )
    if run.config.data.enrol is None:
        return speaker_adaptation.unmoved
    if folder is None:
        return speaker_adaptation.alone(standard) if standard else speaker_adaptation.unmoved
    clips = [inputs_of(make, path)[0] for path in found([folder])]
    voices = [c["audio"][0][c["audio_mask"][0] > 0] for c in clips]
    own = speaker_adaptation.of_voices(voices)
    heard = speaker_adaptation.known(own, standard) if standard else speaker_adaptation.unmoved
    if below is None:
        return heard
    features = [below.predict_on_batch(heard(c, None)) for c in clips]
    return speaker_adaptation.with_mean(heard, np.mean(features, axis=0))


def inputs_of(make: Maker, path: str) -> tuple[Inputs, Seen]:
    """Decode a file and give it the shape of a batch of one."""
    example, seen = make(clip_of(path))
    return batch_of(example), seen


def clip_of(path: str) -> Clip:
    """Take a file for a clip of which nothing is known."""
    return Clip(clip_id=path, speaker="", emotion="", video=path, audio=path)


def batch_of(*examples: Inputs) -> Inputs:
    """Stack examples to inputs [B, ...] of the types that models take."""
    return {
        name: np.stack([example[name] for example in examples]).astype(
            "float32" if name.endswith("_mask") else array.dtype
        )
        for name, array in examples[0].items()
    }

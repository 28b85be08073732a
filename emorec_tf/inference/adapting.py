"""Which run can be adapted to unlabelled recordings, and what adapts the others."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from emorec_tf.config import fields
from emorec_tf.config.config import DataConfig
from emorec_tf.datasets.discovery import found
from emorec_tf.errors import SetupError, UserError
from emorec_tf.inference import unfamiliar
from emorec_tf.inference.model_inputs import Inputs, batch_of, clip_of, mute
from emorec_tf.storage.paths import place
from emorec_tf.training import enrolment, run_dir

if TYPE_CHECKING:
    import keras

    from emorec_tf.inference.predictor import Predictor
    from emorec_tf.training.speaker_adaptation import SpeakerAdapter

log = logging.getLogger(__name__)


def names_of(adapt: Any, enrol: Any = None) -> list[str] | None:
    """Name the recordings that a caller gave: a folder, a file, or several; None: none were given.

    Args:
        adapt: text, a path, or a list of them.
        enrol: the same, by the argument's former name.

    Raises:
        UserError: something else, or both.
    """
    if adapt is not None and enrol is not None:
        raise UserError("enrol is the former name of adapt; give one of them")
    given = enrol if adapt is None else adapt
    if given is None:
        return None
    names = [given] if isinstance(given, (str, Path)) else given
    fits = isinstance(names, Iterable) and not isinstance(names, bytes)
    names = list(names) if fits else [names]
    for name in names:
        what = "a folder or files of recordings; how many is asked of train and evaluate"
        fields.check(isinstance(name, (str, Path)), "adapt", given, what)
    return [str(name) for name in names]


def check(run: run_dir.Run, clips: Sequence[str] | None) -> None:
    """Refuse a run that needs clips to adapt by without any, and clips for one that cannot."""
    by_clips = isinstance(run.config.data.adapt, int)
    if clips is not None and not all(clips):
        raise UserError(
            "--adapt needs a folder or files of unlabelled recordings, not an empty name"
        )
    for name in clips or ():
        if not place(name).exists():
            raise UserError(f"--adapt {name}: no such file or folder")
    if by_clips and clips is None:
        raise UserError(
            f"run {run.folder} adapts to speakers by their clips; give --adapt FOLDER with "
            f"unlabelled clips of the speaker"
        )
    if clips is not None and not by_clips:
        enrolment.check_takes_clips(run)
    there = (run.folder / run_dir.FEATURE_STANDARD).exists() and run.config.data.adapt is None
    if clips is not None and not by_clips and not there:
        raise UserError(
            f"run {run.folder} was trained without --adapt K and keeps no "
            f"{run_dir.FEATURE_STANDARD}, so it cannot use {', '.join(clips[:3])}; drop --adapt"
        )


def unreadable(errors: Sequence[UserError]) -> UserError:
    """One error for recordings of which none can be read; it names the first."""
    count = f"the {len(errors)} enrolment clips" if errors[1:] else "the enrolment clips"
    return UserError(f"none of {count} can be read ({errors[0]}); give others with --adapt")


def adapted(
    model: Predictor, names: Sequence[str], by: Literal["speaker", "corpus"] = "speaker"
) -> Predictor:
    """Adapt a run that answers to unlabelled recordings of one speaker, or of one room.

    Args:
        model: the run.
        names: files, and folders that are searched for them.
        by: speaker or corpus: what they have in common. A run that was trained with ``--adapt N``
            has its own rule.

    Raises:
        UserError: a run that cannot be adapted, or no recording that counts.
    """
    from emorec_tf.training import adaptation

    check(model.run, names)
    clips, unread = [], []
    for path in found(names):
        try:
            clips.append(batch_of(_heard(model, path)))
        except SetupError:
            raise
        except UserError as error:
            unread.append(error)
    if unread and not clips:
        raise unreadable(unread)
    for problem in unread:
        log.warning("%s; this enrolment clip does not count", problem)
    base = model.base or model.model
    network, own = adaptation.ready(model.run, base, DataConfig(adapt_by=by))
    fitted = own.fit_speaker(clips, network)
    answering = unfamiliar.answering_of(model.run, network)
    return replace(model, model=network, adapt=fitted, base=base, answering=answering)


def _heard(model: Predictor, path: str) -> Inputs:
    """Decode a file to the arrays of one clip; audio without speech is left out."""
    audio, faces = model.reader.read(clip_of(path))
    example, seen = model.assemble(audio, faces, path)
    heard = model.speech_check and audio is not None and seen.audio_present
    if heard and audio and not model.has_speech(audio):
        mute(example)
    return example


def adapter(run: run_dir.Run, model: keras.Model) -> SpeakerAdapter:
    """Make what adapts a clip by its own audio, or leaves it as it is, as the run was trained."""
    from emorec_tf.training.speaker_adaptation import SpeakerAdapter

    data = run.config.data
    return SpeakerAdapter.for_model(model, data.adapt, data.adapt_audio)

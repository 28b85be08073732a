"""Which run can be adapted to unlabelled recordings, and what adapts the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from emorec_tf.errors import UserError
from emorec_tf.training import run_dir

if TYPE_CHECKING:
    import keras

    from emorec_tf.training.speaker_adaptation import SpeakerAdapter


def check(run: run_dir.Run, clips: Sequence[str] | None) -> None:
    """Refuse a run that needs clips to adapt by without any, and clips for one that cannot."""
    by_clips = isinstance(run.config.data.adapt, int)
    if clips is not None and not all(clips):
        raise UserError(
            "--adapt needs a folder or files of unlabelled recordings, not an empty name"
        )
    if by_clips and clips is None:
        raise UserError(
            f"run {run.folder} adapts to speakers by their clips; give --adapt FOLDER with "
            f"unlabelled clips of the speaker"
        )
    there = (run.folder / run_dir.FEATURE_STANDARD).exists() and run.config.data.adapt is None
    if clips is not None and not by_clips and not there:
        raise UserError(
            f"run {run.folder} was trained without --adapt K and keeps no "
            f"{run_dir.FEATURE_STANDARD}, so it cannot use {', '.join(clips[:3])}; drop --adapt"
        )


def adapter(run: run_dir.Run, model: keras.Model) -> SpeakerAdapter:
    """Make what adapts a clip by its own audio, or leaves it as it is, as the run was trained."""
    from emorec_tf.training.speaker_adaptation import SpeakerAdapter

    data = run.config.data
    return SpeakerAdapter.for_model(model, data.adapt, data.adapt_audio)

"""Clips that are unlike anything a run was trained on: what tells, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from emorec_tf.errors import UserError
from emorec_tf.inference.windows import UNSURE
from emorec_tf.training import run_dir

if TYPE_CHECKING:
    import keras
    import numpy as np

    from emorec_tf.training.clip_familiarity import Answering

SAID = "unlike anything it was trained on"


def check(run: run_dir.Run) -> None:
    """Refuse ``--abstain_unfamiliar`` where there is nothing to go by, or nothing to leave open."""
    if run.task.rating:
        raise UserError(f"run {run.folder} estimates {run.task.rating}; drop --abstain_unfamiliar")
    found = run.familiarity
    if found is None:
        raise UserError(
            f"run {run.folder} cannot tell how familiar a clip is (it has no "
            f"{run.familiarity_file.name}); drop --abstain_unfamiliar, or train it again"
        )
    if not found.threshold:
        raise UserError(
            f"run {run.folder} held too few clips out to say which are unlike its own; drop "
            f"--abstain_unfamiliar"
        )


def answering_of(run: run_dir.Run, model: keras.Model) -> Answering | None:
    """What tells how familiar clips are; None of a run that cannot."""
    if not run.members and not run.familiarity_file.exists():
        return None  # without loading anything
    from emorec_tf.training.clip_familiarity import Answering

    made = Answering(model, run)
    return made if made.found else None


def mark(answer: dict[str, Any], share: np.floating[Any], unsure_below: float) -> None:
    """Add a clip's familiarity to its answer; leave the emotion open where it is below a bound."""
    answer["familiarity"] = round(float(share), 4)
    if "emotion" in answer and share < unsure_below:
        answer["emotion"] = UNSURE


def is_unlike(answer: Mapping[str, Any], below: float | None) -> bool:
    """Whether an answer's clip is unlike anything in training; not where nothing is known."""
    share = answer.get("familiarity")
    return below is not None and share is not None and share < below

"""A choice among some of a model's classes: their probabilities alone, scaled to a sum of one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emorec_tf.config.fields import nearest
from emorec_tf.errors import UserError
from emorec_tf.tasks.restriction import restricted
from emorec_tf.training.run_dir import Run


def chosen(names: Sequence[str], run: Run) -> tuple[str, ...]:
    """Check the names of classes; returns them in the order of the run's.

    Raises:
        UserError: one that the run does not have, fewer than two, or a run that rates.
    """
    wanted = {name.strip() for name in names} - {""}
    if run.task.rating:
        raise UserError(f"run {run.folder} estimates {run.task.rating}; drop --classes")
    for name in sorted(wanted):
        if name not in run.classes:
            known = nearest(name, run.classes)
            raise UserError(f"classes: {run.folder.name} has no class {name!r}; {known}")
    if len(wanted) < 2:
        raise UserError("classes: name two or more; of a single one the probability is always 1")
    return tuple(name for name in run.classes if name in wanted)


def scaled(
    shares: np.ndarray, classes: Sequence[str], among: Sequence[str]
) -> tuple[np.ndarray, Sequence[str]]:
    """Leave out the other classes and scale the rest.

    Args:
        shares: probabilities [N, K].
        classes: names of the K classes.
        among: names of the M that stay, in the same order; (): all.

    Returns:
        Probabilities [N, M] whose rows sum to one, and the M names.
    """
    if not among:
        return shares, classes
    columns = [list(classes).index(name) for name in among]
    return restricted(shares, classes, among)[:, columns], among

"""One fold of a cross-validation or a matrix of corpora: trained, scored, left alone when done."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from emorec_tf.config.config import same_settings
from emorec_tf.errors import UserError
from emorec_tf.storage.locks import alone
from emorec_tf.training import run_dir, train_run
from emorec_tf.training.experiment import Experiment
from emorec_tf.training.run_dir import Run

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """What is done with a fold.

    Attributes:
        name: of the fold and its folder, in messages.
        title: is logged when it starts.
        target: its run directory.
        shared: folder of pretraining stages.
        is_done: whether a run directory is trained and scored.
        score: scores the trained run and writes the results.
    """

    name: str
    title: str
    target: Path
    shared: Path
    is_done: Callable[[Path], bool]
    score: Callable[[Run], None]


def train_fold(make: Callable[[], Experiment], work: Work) -> None:
    """Train a fold and score it; nothing if that was done.

    Args:
        make: makes the experiment of the fold.
        work: where to, and what follows.

    Raises:
        UserError: a run of other settings is in the way, or another process is at work on it.
    """
    import keras

    target = work.target
    lock = target.with_name(f".{target.name}.lock")
    busy = f"another process is at work on {work.name}; give each its own --folds, or wait"
    with alone(lock, busy):
        experiment = make()
        if work.is_done(target):
            if not same_settings(run_dir.load(target).config, experiment.settings):
                raise UserError(f"{target} has other settings; give another --run, or remove it")
            return
        _LOG.info("\n%s", work.title)
        keras.utils.clear_session()
        run = train_run.train(experiment, target, shared_stages=work.shared)
        work.score(run_dir.load(run.folder))

"""Which cell of a matrix of corpora is computed: one line each, such as "ravdess -> emodb 3/12"."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from emorec_tf.evaluation.crosscorpus_plan import Plan

_LOG = logging.getLogger(__name__)
Cell = tuple[str, str, int]  # training set, tested corpus, random seed


class Progress:
    """Counts the cells of a plan in the order in which they are computed."""

    def __init__(self, planned: Plan, seeds: int) -> None:
        """List them: models, then training sets by seed, then the tests within a corpus."""
        cells: list[Cell] = [(row.name, corpus, 0) for row in planned.models
                             for corpus in planned.parts]  # fmt: skip
        for seed in range(seeds):
            for training in planned.trainings:
                cells += [(training.row, corpus, seed) for corpus in training.tested]
        cells += [(one.row, one.row, 0) for one in planned.trainings if one.within]
        self.cells: Sequence[Cell] = cells

    def say(self, train: str, test: str, seed: int = 0) -> None:
        """Say which cell is computed now; those that are done already are counted, not said."""
        at = self.cells.index((train, test, seed)) + 1
        _LOG.info("%s -> %s %d/%d", train, test, at, len(self.cells))

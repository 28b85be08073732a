"""Percentile bootstrap over speakers, the one way in which this package computes intervals.

Speakers are drawn with replacement, not clips: clips of one speaker are not independent. SciPy's
``bootstrap`` gives the same intervals; here one set of draws serves statistics that need indices
(concordance) and those that are sums over speakers (confusion counts), which are much faster.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

RESAMPLES = 2000
TAIL = (1 - 0.95) / 2  # computed as SciPy does, so that the last digit is the same


def draws(speakers: int, seed: int) -> np.ndarray:
    """Draw speakers with replacement: indices [RESAMPLES, speakers]."""
    return np.random.default_rng(seed).integers(0, speakers, (RESAMPLES, speakers))


def resampled(counts: np.ndarray, seed: int) -> np.ndarray:
    """Sum counts of the speakers drawn.

    Shapes:
        one row per speaker [S, ...] -> [RESAMPLES, ...]
    """
    chosen = draws(len(counts), seed)
    weights = np.stack([np.bincount(row, minlength=len(counts)) for row in chosen])
    return np.tensordot(weights, counts, 1)


def interval(values: np.ndarray | Sequence[float]) -> list[float]:
    """Lower and upper end of the 95 % interval of a statistic's resampled values [R]."""
    low, high = stats.quantile(np.asarray(values), [TAIL, 1 - TAIL])
    return [float(low), float(high)]

"""The bootstrap against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from emorec_tf.tasks import bootstrap


@pytest.mark.parametrize(("speakers", "seed"), [(2, 0), (20, 3), (91, 7)])
def test_interval_equals_scipy(speakers: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    right, clips = random.integers(1, 20, speakers), np.full(speakers, 20)

    def accuracy(drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        return right[drawn].sum(axis) / clips[drawn].sum(axis)

    wanted = stats.bootstrap(
        (np.arange(speakers),),
        accuracy,
        n_resamples=bootstrap.RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    totals = bootstrap.resampled(np.stack([right, clips], 1), seed)
    assert bootstrap.interval(totals[:, 0] / totals[:, 1]) == [wanted.low, wanted.high]
    drawn = bootstrap.draws(speakers, seed)
    assert bootstrap.interval(accuracy(drawn)) == [wanted.low, wanted.high]

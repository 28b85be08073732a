"""Recalibration: a temperature for probabilities that a model gives on other clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from emorec_tf.splits.splits import natural
from emorec_tf.tasks import calibration

SMALLEST = 1e-9  # probability whose logarithm is taken
MOST_FOLDS = 5


def recalibration(shares: np.ndarray, truth: np.ndarray, speakers: Sequence[str]) -> dict[str, Any]:
    """Fit a temperature to probabilities; say what it brings to speakers it was not fitted to.

    Args:
        shares: probabilities [N, K] as the model gives them.
        truth: class ids [N].
        speakers: [N].

    Returns:
        ``temperature``: what logarithms of the probabilities are divided by, before the softmax;
        calibration errors of the model (``ece_before``, ``nll_before``) and, by temperatures
        fitted to other speakers, ``ece_after`` and ``nll_after`` (None for one speaker).
    """
    logits = np.log(np.maximum(shares, SMALLEST))
    found: dict[str, Any] = {
        "temperature": calibration.temperature(logits, truth),
        "fitted_to": f"{len(truth)} clips of {len(set(speakers))} speakers",
        "ece_before": calibration.ece(shares, truth),
        "nll_before": calibration.nll(shares, truth),
        "ece_after": None,
        "nll_after": None,
    }
    names = sorted(set(speakers), key=natural)
    if len(names) > 1:
        folds = min(MOST_FOLDS, len(names))
        fold_of = np.array([names.index(speaker) % folds for speaker in speakers])
        after = np.empty_like(shares)
        for fold in range(folds):
            here = fold_of == fold
            divisor = calibration.temperature(logits[~here], truth[~here])
            after[here] = calibration.scaled(logits[here], divisor)
        found["ece_after"] = calibration.ece(after, truth)
        found["nll_after"] = calibration.nll(after, truth)
    return found

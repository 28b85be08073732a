"""The temperature of a model that was trained on all speakers: that of its cross-validation."""

from __future__ import annotations

import numpy as np

from emorec_tf.evaluation.crossval_results import FinishedRun
from emorec_tf.tasks import calibration

SMALLEST = 1e-6  # probabilities are written with six digits


def temperature(evaluated: FinishedRun) -> float:
    """Fit one temperature to all out-of-fold predictions, all of speakers unseen in training."""
    of_fold = {(r["seed"], r["fold"]): float(r["temperature"]) for r in evaluated.temperatures}
    folds = zip(map(str, evaluated.seeds), map(str, evaluated.folds), strict=True)
    used = np.array([of_fold[pair] for pair in folds])
    logits = np.log(np.maximum(evaluated.answers, SMALLEST)) * used[:, None]
    return calibration.temperature(logits, evaluated.truth)

"""Regression metrics of estimated ratings, with intervals over speakers. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from emorec_tf.tasks import bootstrap


def ccc(truth: np.ndarray, guess: np.ndarray) -> float:
    """Concordance correlation of two series [N] (Lin 1989), -1 to 1; NaN if all are equal."""
    truth, guess = _series(truth, guess)
    if np.ptp(np.stack([truth, guess])) == 0:
        return float("nan")
    apart = (truth.mean() - guess.mean()) ** 2
    return float(2 * _covariance(truth, guess) / (truth.var() + guess.var() + apart))


def pcc(truth: np.ndarray, guess: np.ndarray) -> float:
    """Pearson correlation of two series [N], -1 to 1; NaN if one of them is constant."""
    truth, guess = _series(truth, guess)
    if np.ptp(truth) == 0 or np.ptp(guess) == 0:
        return float("nan")
    return float(_covariance(truth, guess) / (truth.std() * guess.std()))


def rmse(truth: np.ndarray, guess: np.ndarray) -> float:
    """Root of the mean squared error of two series [N], in their unit."""
    truth, guess = _series(truth, guess)
    return float(np.sqrt(((truth - guess) ** 2).mean()))


def metrics(truth: np.ndarray, guess: np.ndarray) -> dict[str, float]:
    """CCC, PCC and RMSE of two series [N]; a correlation that is not defined counts as 0."""
    return {name: float(np.nan_to_num(metric(truth, guess))) for name, metric in METRICS.items()}


def scores(
    truth: np.ndarray,
    guess: np.ndarray,
    baseline: np.ndarray,
    speakers: Sequence[str],
    seed: int = 0,
) -> dict[str, Any]:
    """All metrics of one set of estimates.

    Args:
        truth: rating of each clip, [N].
        guess: estimate of each clip, [N].
        baseline: the mean rating of the training clips, for each clip, [N].
        speakers: speaker of each clip; intervals draw speakers, not clips.
        seed: of the bootstrap.
    """
    found: dict[str, Any] = {"n": len(truth), **metrics(truth, guess)}
    found |= intervals(truth, guess, np.asarray(speakers), seed)
    return found | {
        "baseline": {"prediction": float(np.mean(baseline)), **metrics(truth, baseline)}
    }


def intervals(
    truth: np.ndarray, guess: np.ndarray, speakers: np.ndarray, seed: int
) -> dict[str, list[float] | None]:
    """95 % intervals over speakers, ``ccc_ci95`` and so on; None for a single speaker."""
    names, whose = np.unique(speakers, return_inverse=True)
    if len(names) < 2:
        return {f"{name}_ci95": None for name in METRICS}
    own = [np.flatnonzero(whose == number) for number in range(len(names))]
    rows = []
    for chosen in bootstrap.draws(len(names), seed):
        clips = np.concatenate([own[number] for number in chosen])
        rows.append(metrics(truth[clips], guess[clips]))
    return {f"{name}_ci95": bootstrap.interval([row[name] for row in rows]) for name in METRICS}


def _covariance(truth: np.ndarray, guess: np.ndarray) -> float:
    return float(((truth - truth.mean()) * (guess - guess.mean())).mean())


def _series(truth: np.ndarray, guess: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth, guess = np.asarray(truth, np.float64), np.asarray(guess, np.float64)
    if truth.ndim != 1 or truth.shape != guess.shape or not len(truth):
        raise ValueError(f"need two series [N] of one length, not {truth.shape}, {guess.shape}")
    return truth, guess


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "ccc": ccc,
    "pcc": pcc,
    "rmse": rmse,
}

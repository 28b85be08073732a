"""Figures of estimated ratings: concordance first, with intervals over speakers. No TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

RESAMPLES = 2000


def ccc(truth: np.ndarray, guess: np.ndarray) -> float:
    """Concordance correlation of two series [N] (Lin 1989), -1 to 1; NaN if all values are one."""
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


def figures(truth: np.ndarray, guess: np.ndarray) -> dict[str, float]:
    """CCC, PCC and RMSE of two series [N]; a correlation that is not defined counts as 0."""
    return {name: float(np.nan_to_num(figure(truth, guess))) for name, figure in FIGURES.items()}


def scores(
    truth: np.ndarray,
    guess: np.ndarray,
    baseline: np.ndarray,
    speakers: Sequence[str],
    seed: int = 0,
) -> dict[str, Any]:
    """All figures of one set of estimates.

    Args:
        truth: rating of each clip, [N].
        guess: estimate of each clip, [N].
        baseline: what a model answers that knows the mean of its training clips alone, [N].
        speakers: speaker of each clip; intervals draw speakers, not clips.
        seed: of the bootstrap.
    """
    found: dict[str, Any] = {"n": len(truth), **figures(truth, guess)}
    found |= intervals(truth, guess, np.asarray(speakers), seed)
    return found | {
        "baseline": {"prediction": float(np.mean(baseline)), **figures(truth, baseline)}
    }


def intervals(
    truth: np.ndarray, guess: np.ndarray, speakers: np.ndarray, seed: int
) -> dict[str, list[float] | None]:
    """95 % percentile intervals by drawing speakers with replacement: ``ccc_ci95`` and so on.

    None with a single speaker: nothing can then be said about others.
    """
    names, whose = np.unique(speakers, return_inverse=True)
    if len(names) < 2:
        return {f"{name}_ci95": None for name in FIGURES}
    own = [np.flatnonzero(whose == number) for number in range(len(names))]
    drawn = np.random.default_rng(seed).integers(0, len(names), (RESAMPLES, len(names)))
    rows = []
    for people in drawn:
        clips = np.concatenate([own[number] for number in people])
        rows.append([*figures(truth[clips], guess[clips]).values()])
    ends = np.percentile(rows, [2.5, 97.5], axis=0).T.tolist()
    return {f"{name}_ci95": pair for name, pair in zip(FIGURES, ends, strict=True)}


def _covariance(truth: np.ndarray, guess: np.ndarray) -> float:
    return float(((truth - truth.mean()) * (guess - guess.mean())).mean())


def _series(truth: np.ndarray, guess: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth, guess = np.asarray(truth, np.float64), np.asarray(guess, np.float64)
    if truth.ndim != 1 or truth.shape != guess.shape or not len(truth):
        raise ValueError(f"need two series [N] of one length, not {truth.shape}, {guess.shape}")
    return truth, guess


FIGURES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "ccc": ccc,
    "pcc": pcc,
    "rmse": rmse,
}

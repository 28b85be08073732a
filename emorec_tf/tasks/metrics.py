"""Figures from predictions: UAR first, with intervals over speakers. No TensorFlow here.

UAR is the mean of the classes' recalls (balanced accuracy), WAR plain accuracy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import bootstrap
from sklearn.metrics import confusion_matrix, f1_score

RESAMPLES = 2000


def confusion_of(truth: np.ndarray, guesses: np.ndarray, classes: int) -> np.ndarray:
    """Count class ids [N] and [N] to [K, K], rows are true classes."""
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (truth, guesses), 1)
    return counts


def uar_of(confusion: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that occur.

    Shapes:
        counts [..., K, K], rows are true classes -> [...]
    """
    confusion = np.asarray(confusion, float)
    totals = confusion.sum(-1)
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    recalls = np.divide(right, totals, out=np.zeros_like(right), where=totals > 0)
    return recalls.sum(-1) / np.maximum((totals > 0).sum(-1), 1)


def war_of(confusion: np.ndarray) -> np.ndarray:
    """Share of clips that are right: [..., K, K] -> [...]."""
    confusion = np.asarray(confusion, float)
    right = np.diagonal(confusion, axis1=-2, axis2=-1).sum(-1)
    return right / np.maximum(confusion.sum((-2, -1)), 1)


def scores(
    labels: Sequence[str],
    probabilities: np.ndarray,
    classes: Sequence[str],
    speakers: Sequence[str],
    seed: int = 0,
) -> dict[str, Any]:
    """All figures of one set of predictions.

    Args:
        labels: true class of each clip.
        probabilities: [N, K], columns in the order of ``classes``.
        classes: names of the K classes.
        speakers: speaker of each clip; intervals draw speakers, not clips.
        seed: of the bootstrap.
    """
    ids = np.array([classes.index(name) for name in labels])
    guesses = probabilities.argmax(1)
    every = np.arange(len(classes))
    confusion = confusion_matrix(ids, guesses, labels=every)
    totals = confusion.sum(1)
    per_class = np.diag(confusion) / np.maximum(totals, 1)
    common, count = Counter(labels).most_common(1)[0]
    uar_ci95, war_ci95 = intervals(ids, guesses, np.asarray(speakers), len(classes), seed)
    return {
        "n": len(ids),
        "uar": float(uar_of(confusion)),
        "uar_ci95": uar_ci95,
        "war": float(war_of(confusion)),
        "war_ci95": war_ci95,
        "macro_f1": float(f1_score(ids, guesses, labels=every, average="macro", zero_division=0)),
        "per_class_recall": {c: float(r) for c, r in zip(classes, per_class, strict=True)},
        "confusion": confusion.tolist(),
        "classes": list(classes),
        "chance_uar": 1.0 / int((totals > 0).sum()),
        "majority_baseline": {
            "class": common,
            "war": count / len(ids),
            "uar": 1.0 / int((totals > 0).sum()),
        },
    }


def intervals(
    ids: np.ndarray, guesses: np.ndarray, speakers: np.ndarray, classes: int, seed: int
) -> tuple[list[float] | None, list[float] | None]:
    """95 % percentile intervals of UAR and WAR by drawing speakers with replacement.

    None with a single speaker: nothing can then be said about others.
    """
    names, whose = np.unique(speakers, return_inverse=True)
    if len(names) < 2:
        return None, None
    counts = np.zeros((len(names), classes, classes))  # [speakers, K, K]
    np.add.at(counts, (whose, ids, guesses), 1)

    def statistic(drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        total = counts[np.moveaxis(drawn, axis, -1)].sum(-3)
        return np.stack([uar_of(total), war_of(total)])

    found = bootstrap(
        (np.arange(len(names)),),
        statistic,
        n_resamples=RESAMPLES,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    both = [[float(low), float(high)] for low, high in zip(found.low, found.high, strict=True)]
    return both[0], both[1]

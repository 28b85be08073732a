"""Classification metrics with intervals over speakers. No TensorFlow here.

UAR (unweighted average recall) is the mean of the classes' recalls, also called balanced accuracy;
WAR (weighted average recall) is accuracy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score

from emorec_tf.tasks import bootstrap


def confusion_of(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count class ids [N] and [N] to a confusion matrix [K, K], rows are true classes."""
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (truth, predicted), 1)
    return counts


def uar_of(confusion: np.ndarray) -> np.ndarray:
    """UAR: mean recall over the classes that occur.

    Shapes:
        counts [..., K, K], rows are true classes -> [...]
    """
    confusion = np.asarray(confusion, float)
    totals = confusion.sum(-1)
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    recalls = np.divide(right, totals, out=np.zeros_like(right), where=totals > 0)
    return recalls.sum(-1) / np.maximum((totals > 0).sum(-1), 1)


def war_of(confusion: np.ndarray) -> np.ndarray:
    """WAR, the share of correct clips: [..., K, K] -> [...]."""
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
    """All metrics of one set of predictions.

    Args:
        labels: true class of each clip.
        probabilities: [N, K], columns in the order of ``classes``.
        classes: names of the K classes.
        speakers: speaker of each clip; intervals draw speakers, not clips.
        seed: of the bootstrap.
    """
    ids = np.array([classes.index(name) for name in labels])
    predicted = probabilities.argmax(1)
    every = np.arange(len(classes))
    confusion = confusion_matrix(ids, predicted, labels=every)
    totals = confusion.sum(1)
    per_class = np.diag(confusion) / np.maximum(totals, 1)
    common, count = Counter(labels).most_common(1)[0]
    uar_ci95, war_ci95 = intervals(ids, predicted, np.asarray(speakers), len(classes), seed)
    return {
        "n": len(ids),
        "uar": float(uar_of(confusion)),
        "uar_ci95": uar_ci95,
        "war": float(war_of(confusion)),
        "war_ci95": war_ci95,
        "macro_f1": float(f1_score(ids, predicted, labels=every, average="macro", zero_division=0)),
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
    truth: np.ndarray, predicted: np.ndarray, speakers: np.ndarray, classes: int, seed: int
) -> tuple[list[float] | None, list[float] | None]:
    """95 % intervals of UAR and WAR over speakers; None for a single speaker.

    Args:
        truth: class ids [N].
        predicted: class ids [N].
        speakers: [N].
        classes: number of classes.
        seed: of the bootstrap.
    """
    names, whose = np.unique(speakers, return_inverse=True)
    if len(names) < 2:
        return None, None
    counts = np.zeros((len(names), classes, classes))
    np.add.at(counts, (whose, truth, predicted), 1)
    totals = bootstrap.resampled(counts, seed)  # [R, K, K]
    return bootstrap.interval(uar_of(totals)), bootstrap.interval(war_of(totals))

"""Scores on a corpus that lacks some of a model's classes. No TensorFlow here.

A model of several corpora may know classes that a corpus does not have. On that corpus a choice is
made among its own classes only, as a human rater would be asked to: the probabilities of the other
classes are set to zero and the rest is scaled to a sum of one. This is a declared fact of protocol
``leave_one_corpus_out`` and of the matrix of corpora; nothing else restricts predictions.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np


def restricted(
    probabilities: np.ndarray, classes: Sequence[str], present: Collection[str]
) -> np.ndarray:
    """Restrict probabilities to the classes that are present, and renormalise them.

    Args:
        probabilities: [N, K], columns in the order of ``classes``.
        classes: names of the K classes.
        present: names of the classes that the scored corpus has.

    Returns:
        [N, K]: 0 in the columns of absent classes, rows sum to one. A row without any probability
        on the classes present becomes uniform over them. Where all classes are present, the
        probabilities are returned unchanged.

    Raises:
        ValueError: none of the classes is present, or the columns are not those of ``classes``.
    """
    probabilities = np.asarray(probabilities, np.float64)
    if probabilities.ndim != 2 or probabilities.shape[1] != len(classes):
        raise ValueError(f"need [N, {len(classes)}], not {probabilities.shape}")
    inside = np.array([name in present for name in classes], bool)
    if not inside.any():
        raise ValueError(f"none of {', '.join(classes)} is present")
    if inside.all():
        return probabilities
    kept = np.where(inside, probabilities, 0.0)
    totals = kept.sum(1, keepdims=True)
    uniform = inside / inside.sum()
    return np.where(totals > 0, kept / np.where(totals > 0, totals, 1.0), uniform)

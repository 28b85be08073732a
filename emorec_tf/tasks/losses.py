"""Losses that Keras does not have."""

from __future__ import annotations

from typing import Any, TypeAlias

import keras
from keras import ops

Tensor: TypeAlias = Any  # symbolic, eager, or the backend's own
LEAST_SPREAD = 1e-6  # of squared ratings; the concordance of equal ratings is undefined
HALF_RANGE = 2.0  # of ratings from 1 to 5


@keras.saving.register_keras_serializable("emorec_tf")
class Concordance(keras.losses.Loss):
    """One minus the batch's concordance (CCC), plus its squared error on the scale's half range.

    Epochs are selected by concordance, but in a batch of few clips it is a noisy estimate, and in
    one of equal ratings it is undefined and has no gradient. The squared error (0 to 4) always has
    one and keeps the estimates near the ratings. Clips whose rating is NaN are ignored.

    Shapes:
        ratings [B, 1], estimates [B, 1] -> [B]

    Source:
        Lin 1989, A Concordance Correlation Coefficient to Evaluate Reproducibility; as a loss:
        Trigeorgis et al. 2016, Adieu Features?
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return each clip's squared error plus one minus the batch's concordance."""
        truth, guess = ops.cast(y_true[:, 0], "float32"), ops.cast(y_pred[:, 0], "float32")
        rated = ops.isfinite(truth)
        share = ops.cast(rated, "float32")
        share = share / ops.maximum(ops.sum(share), 1.0)
        truth = ops.where(rated, truth, guess)
        means = ops.sum(truth * share), ops.sum(guess * share)
        apart = truth - means[0], guess - means[1]
        both = 2 * ops.sum(apart[0] * apart[1] * share)
        spread = ops.sum((ops.square(apart[0]) + ops.square(apart[1])) * share)
        concordance = both / (spread + ops.square(means[0] - means[1]) + LEAST_SPREAD)
        return 1 - concordance + ops.square((truth - guess) / HALF_RANGE)

"""Linear discriminant analysis of weighted clips, which scikit-learn's has no weights for."""

from __future__ import annotations

from typing import Any

import numpy as np

from emorec_tf.models.classical.speaker_lda import shrunk


def fit(analysis: Any, z: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Any:
    """Fit scikit-learn's analysis as its solver lsqr does, each clip counted by its weight.

    A whole weight gives what that many copies of the clip give. The class priors are the classes'
    shares of the weights.

    Args:
        analysis: LinearDiscriminantAnalysis with a number as ``shrinkage``; is returned, fitted.
        z: features [N, P].
        labels: class ids, [N].
        weights: [N], positive.
    """
    classes, ids = np.unique(labels, return_inverse=True)
    shares = weights / weights.sum()
    priors = np.bincount(ids, shares)
    means = np.stack([np.average(z[ids == k], 0, weights[ids == k]) for k in range(len(classes))])
    residual = z - means[ids]
    within = shrunk((residual * shares[:, None]).T @ residual, analysis.shrinkage)
    coefficients = np.linalg.lstsq(within, means.T, rcond=None)[0].T  # [K, P]
    bias = -0.5 * np.sum(means * coefficients, axis=1) + np.log(priors)
    if len(classes) == 2:  # one score: of the second against the first
        coefficients, bias = np.diff(coefficients, axis=0), np.diff(bias)
    analysis.classes_, analysis.priors_, analysis.means_ = classes, priors, means
    analysis.coef_, analysis.intercept_ = coefficients, bias
    analysis.n_features_in_ = z.shape[1]
    return analysis

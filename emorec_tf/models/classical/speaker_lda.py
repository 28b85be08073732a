"""Linear discriminant analysis that knows a speaker by the mean of so many unlabelled clips.

A clip's features are a class mean, plus an offset that all clips of a speaker share, plus what is
the clip's own. The mean over a speaker's clips tells his offset as far as clips tell it: from few
of them it is drawn towards none. What stays unknown of it widens the covariance. Without any clip
this is plain linear discriminant analysis, and with very many the speaker's mean is removed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emorec_tf.errors import UserError


@dataclass(frozen=True)
class OfSpeakers:
    """Scores of features z, given the mean z of the speaker's clips, linear in both.

    Attributes:
        coef_: [K, P].
        intercept_: [K].
        speaker_coef_: of the mean, [K, P].
    """

    coef_: np.ndarray
    intercept_: np.ndarray
    speaker_coef_: np.ndarray


def fitted(
    z: np.ndarray,
    labels: np.ndarray,
    speakers: np.ndarray,
    *,
    clips: int,
    balanced: bool,
    shrinkage: float,
    offsets: float,
) -> OfSpeakers:
    """Fit the classes' means, the covariance within speakers and that of their offsets.

    With N(0, W) what is a clip's own and N(0, B) the offsets, the mean m of ``clips`` clips leaves
    the offset with mean G m and covariance B - G B, where G = B (B + W / clips)^-1. What the clips
    of that mean show is left aside: told from the same features, it makes matters worse.

    Args:
        z: features with mean zero, [N, P].
        labels: class ids, [N], all K classes among them.
        speakers: of each clip, [N].
        clips: how many there are in a speaker's mean, at least one.
        balanced: every class is as likely as the others, however many clips it has.
        shrinkage: share of W that is made a sphere.
        offsets: share of B that is made a sphere.

    Raises:
        UserError: a single speaker, who tells nothing of how speakers differ.
    Source:
        Sizov, Lee and Kinnunen 2014, Unifying probabilistic linear discriminant analysis variants,
        S+SSPR: the two-covariance model; here speakers are what is not asked for.
    """
    names, who = np.unique(speakers, return_inverse=True)
    if len(names) < 2:
        raise UserError("classifier lda(offsets=...) needs two training speakers; drop offsets")
    counts = np.bincount(labels)
    means = mean_by(z, labels)
    residual = z - means[labels]
    offset = mean_by(residual, who)
    own = residual - offset[who]
    # As scikit-learn divides, by the number of clips.
    within = sphered(own.T @ own / len(z), shrinkage)
    between = sphered(offset.T @ offset / (len(names) - 1), offsets)
    known = np.linalg.solve(between + within / clips, between)  # G transposed
    coefficients = np.linalg.solve(within + between - between @ known, means.T)  # [P, K]
    bias = -0.5 * np.sum(means.T * coefficients, axis=0)
    if not balanced:
        bias = bias + np.log(counts / len(z))
    return OfSpeakers(coefficients.T, bias, (known @ coefficients).T)


def mean_by(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Mean of each group's rows: [N, P], group numbers [N] -> [groups, P]."""
    return np.stack([values[groups == g].mean(0) for g in range(groups.max() + 1)])


def sphered(covariance: np.ndarray, share: float) -> np.ndarray:
    """Make a share of a covariance a sphere of the same total."""
    size = len(covariance)
    return (1 - share) * covariance + share * np.trace(covariance) / size * np.eye(size)

"""Speaker-compensated linear discriminant analysis, by the mean of a few unlabelled clips.

A clip's features are a class mean, plus an offset shared by all clips of a speaker, plus what is
the clip's own. The mean over some clips of a speaker estimates that offset; from few clips the
estimate is drawn towards zero, and the remaining uncertainty widens the covariance. Without any
clip this is plain linear discriminant analysis; with very many, the speaker's mean is removed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emorec_tf.errors import UserError


@dataclass(frozen=True)
class SpeakerScores:
    """Scores of features z, given the mean z of the speaker's clips; linear in both.

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
    speaker_shrinkage: float,
) -> SpeakerScores:
    """Fit the classes' means, the covariance within speakers and that of their offsets.

    Let N(0, W) be the clip's own part and N(0, B) the speaker's offset. Given the mean m of
    ``clips`` clips, the offset has mean G m and covariance B - G B, where G = B (B + W / clips)^-1.
    The classes of the clips behind that mean are not modelled: estimated from the same features,
    they make the result worse.

    Args:
        z: features with mean zero, [N, P].
        labels: class ids, [N], all K classes among them.
        speakers: of each clip, [N].
        clips: number of clips behind a speaker's mean, at least one.
        balanced: every class is as likely as the others, however many clips it has.
        shrinkage: of the within-speaker covariance W towards a multiple of the identity, 0 to 1.
        speaker_shrinkage: of the between-speaker covariance B, likewise.

    Raises:
        UserError: a single speaker, from which B cannot be estimated.
    Source:
        Sizov, Lee and Kinnunen 2014, Unifying probabilistic linear discriminant analysis variants,
        S+SSPR: the two-covariance model, with speakers as the nuisance.
    """
    names, groups = np.unique(speakers, return_inverse=True)
    if len(names) < 2:
        raise UserError(
            "classifier lda(speaker_shrinkage=...) needs two training speakers; leave it out"
        )
    counts = np.bincount(labels)
    means = mean_by(z, labels)
    residual = z - means[labels]
    offset = mean_by(residual, groups)
    own = residual - offset[groups]
    # As scikit-learn divides, by the number of clips.
    within = shrunk(own.T @ own / len(z), shrinkage)
    between = shrunk(offset.T @ offset / (len(names) - 1), speaker_shrinkage)
    known = np.linalg.solve(between + within / clips, between)  # G transposed
    coefficients = np.linalg.solve(within + between - between @ known, means.T)  # [P, K]
    bias = -0.5 * np.sum(means.T * coefficients, axis=0)
    if not balanced:
        bias = bias + np.log(counts / len(z))
    return SpeakerScores(coefficients.T, bias, (known @ coefficients).T)


def mean_by(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Mean of each group's rows: [N, P], group numbers [N] -> [groups, P]."""
    return np.stack([values[groups == g].mean(0) for g in range(groups.max() + 1)])


def shrunk(covariance: np.ndarray, share: float) -> np.ndarray:
    """Shrink a covariance [P, P] towards the multiple of the identity with the same trace."""
    size = len(covariance)
    return (1 - share) * covariance + share * np.trace(covariance) / size * np.eye(size)

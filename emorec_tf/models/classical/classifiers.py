"""Classical heads: what scikit-learn tries on the fused features of trained branches.

To add one, write a function and name it in the table. It gives the estimators to try;
``head_search`` tries them, and ``head_layers`` writes the best one into the model as Keras layers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from emorec_tf.config.fields import check
from emorec_tf.models.classical import speaker_lda

DEGREE = 3  # of kernel poly, scikit-learn's own


@dataclass(frozen=True)
class Search:
    """What is tried."""

    make: Callable[[Any], Any]  # KerasTuner's HyperParameters to an untrained estimator
    pca: int
    trials: int
    oracle: str
    # Features [N, P], class ids [N], speakers and how many clips enrol one, to what is fitted;
    # None: under --enrol, features are measured from the speaker's mean.
    of_speakers: Callable[[np.ndarray, np.ndarray, np.ndarray, int], Any] | None = None

    def __post_init__(self) -> None:
        """Refuse searches that cannot be made."""
        check(self.pca >= 0, "pca", self.pca, "at least 0")
        check(self.trials >= 1, "trials", self.trials, "at least 1")
        check(self.oracle in ("bayesian", "random"), "oracle", self.oracle, "bayesian or random")


def none(balanced: bool) -> None:
    """No classical head: the fusion's own layer, trained with everything else.

    Source:
        The default of this zoo.
    """
    del balanced


def logreg(balanced: bool, *, pca: int = 0, trials: int = 20, oracle: str = "bayesian") -> Search:
    """Multinomial logistic regression, C from 1e-10 to 1e10.

    Args:
        balanced: every class counts the same.
        pca: components kept of the standardised features, as many as there can be at most; 0: all
            features as they are.
        trials: values of C that are tried.
        oracle: bayesian or random: how the next one is chosen.
    Source:
        Late fusion of the LRCN-and-AlexNet system this zoo implements, which searched the same
        range on its test fold.
    """

    def make(hp: Any) -> Any:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(
            C=hp.Float("C", 1e-10, 1e10, sampling="log"),
            class_weight="balanced" if balanced else None,
            max_iter=1000,
        )

    return Search(make, pca, trials, oracle)


def svm(
    balanced: bool,
    *,
    kernel: str = "any",
    gamma: float = 0.01,
    pca: int = 0,
    trials: int = 20,
    oracle: str = "bayesian",
) -> Search:
    """Support vector machines, one against the rest, C from 1e-2 to 1e2.

    Args:
        balanced: both sides of each machine count the same.
        kernel: linear, poly, rbf, or any: the search chooses.
        gamma: width of poly and rbf; fixed, not searched.
        pca: components kept of the standardised features, as many as there can be at most; 0: all
            features as they are.
        trials: settings that are tried.
        oracle: bayesian or random: how the next one is chosen.
    Source:
        Late fusion of the LRCN-and-AlexNet system this zoo implements: same range, kernels, gamma.
    """
    kernels = ["linear", "poly", "rbf"]
    check(kernel in ["any", *kernels], "kernel", kernel, "linear, poly, rbf or any")
    check(gamma > 0, "gamma", gamma, "above 0")

    def make(hp: Any) -> Any:
        from sklearn.multiclass import OneVsRestClassifier
        from sklearn.svm import SVC

        machine = SVC(
            C=hp.Float("C", 1e-2, 1e2, sampling="log"),
            kernel=hp.Choice("kernel", kernels) if kernel == "any" else kernel,
            gamma=gamma,
            degree=DEGREE,
            class_weight="balanced" if balanced else None,
        )
        return OneVsRestClassifier(machine)

    return Search(make, pca, trials, oracle)


def lda(
    balanced: bool,
    *,
    pca: int = 600,
    shrinkage: float | None = None,
    offsets: float | None = None,
    trials: int = 12,
) -> Search:
    """Linear discriminant analysis with a shrunken covariance, after PCA.

    Needs no gradient and few clips: the head for features that nobody trained. Its scores are
    logarithms of probabilities, up to a constant.

    Args:
        balanced: every class is as likely as the others, however many clips it has.
        pca: components kept of the standardised features, as many as there can be at most; 0: all
            features as they are.
        shrinkage: share of the covariance that is made a sphere; None: searched, 0.02 to 0.9.
        offsets: share of the covariance of speakers that is made a sphere, for runs with
            --enrol K, where so much of a speaker's mean is removed as K clips tell of him (see
            speaker_offsets); None: all of it.
        trials: values of shrinkage that are tried.
    Source:
        Fisher 1936, The use of multiple measurements; Friedman 1989, Regularized discriminant
        analysis, JASA 84, for the shrinkage.
    """
    allowed = "from 0 to 1, or None: searched"
    check(shrinkage is None or 0 <= shrinkage <= 1, "shrinkage", shrinkage, allowed)
    given = offsets is None or (shrinkage is not None and 0 <= offsets <= 1)
    check(given, "offsets", offsets, "from 0 to 1, with a shrinkage that is given; or None")

    def of_speakers(z: np.ndarray, y: np.ndarray, speakers: np.ndarray, clips: int) -> Any:
        return speaker_lda.fitted(
            z,
            y,
            speakers,
            clips=clips,
            balanced=balanced,
            shrinkage=shrinkage or 0.0,
            offsets=offsets or 0.0,
        )

    def make(hp: Any) -> Any:
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        class Analysis(LinearDiscriminantAnalysis):
            """With the classes equally likely if asked for, whatever their number of clips."""

            def fit(self, x: Any, y: Any) -> Any:
                """Fit, then take the logarithms of the classes' shares out of the scores."""
                fitted: Any = super().fit(x, y)
                if balanced:
                    logs = np.log(fitted.priors_)
                    logs = logs if len(logs) > 2 else np.diff(logs)  # two classes have one score
                    fitted.intercept_ = fitted.intercept_ - logs
                return fitted

        share = shrinkage
        if share is None:
            share = hp.Float("shrinkage", 0.02, 0.9, sampling="log")
        return Analysis(solver="lsqr", shrinkage=share)

    trials = trials if shrinkage is None else 1
    return Search(make, pca, trials, "bayesian", None if offsets is None else of_speakers)


CLASSIFIERS: dict[str, Callable[..., Search | None]] = {
    "none": none,
    "lda": lda,
    "logreg": logreg,
    "svm": svm,
}

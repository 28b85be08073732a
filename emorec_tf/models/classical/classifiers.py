"""Classical heads: scikit-learn estimators on the joined features of the branches.

To add one, write a function here and give it an entry in ``CLASSIFIERS`` below; nothing else names
it. The function says which estimators to try; ``head_search`` tries them, and ``head_layers``
writes the best one into the model as Keras layers: any with ``coef_`` and ``intercept_``, and
support vector machines, one against the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from emorec_tf.config.entries import Classifier
from emorec_tf.config.fields import check
from emorec_tf.models.classical import speaker_lda, weighted_lda

DEGREE = 3  # of kernel poly, scikit-learn's own


@dataclass(frozen=True)
class Search:
    """Which estimators are tried, and how."""

    make: Callable[[Any], Any]  # KerasTuner's HyperParameters to an untrained estimator
    pca: int
    trials: int
    oracle: str
    # Features [N, P], class ids [N], speakers [N] and the number of enrolment clips, to the fitted
    # scores; None: under --adapt, the speaker's mean is subtracted from the features.
    fit_speakers: Callable[[np.ndarray, np.ndarray, np.ndarray, int], Any] | None = None

    def __post_init__(self) -> None:
        """Refuse impossible searches."""
        check(self.pca >= 0, "pca", self.pca, "at least 0")
        check(self.trials >= 1, "trials", self.trials, "at least 1")
        check(self.oracle in ("bayesian", "random"), "oracle", self.oracle, "bayesian or random")


def none(balanced: bool) -> None:
    """No classical head: the fusion's own output layer, trained with everything else.

    Source:
        The default of this zoo.
    """
    del balanced


def logreg(
    balanced: bool,
    *,
    pca: int = 0,
    strength: float | None = None,
    trials: int = 20,
    oracle: str = "bayesian",
) -> Search:
    """Multinomial logistic regression, C from 1e-10 to 1e10.

    Args:
        balanced: give every class the same weight.
        pca: largest number of components kept of the standardised features; 0: no PCA.
        strength: of the regularisation, scikit-learn's 1 / C; None: C is searched.
        trials: values of C that are tried.
        oracle: bayesian or random search.
    Source:
        Late fusion of the LRCN-and-AlexNet system this zoo implements, which searched the same
        range on its test fold.
    """
    allowed = "above 0, or None: searched"
    check(strength is None or strength > 0, "strength", strength, allowed)

    def make(hp: Any) -> Any:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(
            C=1 / strength if strength else hp.Float("C", 1e-10, 1e10, sampling="log"),
            class_weight="balanced" if balanced else None,
            max_iter=1000,
        )

    return Search(make, pca, 1 if strength else trials, oracle)


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
        balanced: give both classes of each machine the same weight.
        kernel: linear, poly, rbf, or any: searched.
        gamma: coefficient of poly and rbf; fixed, not searched.
        pca: largest number of components kept of the standardised features; 0: no PCA.
        trials: settings that are tried.
        oracle: bayesian or random search.
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
    speaker_shrinkage: float | None = None,
    trials: int = 12,
) -> Search:
    """Linear discriminant analysis with a shrunken covariance, after PCA.

    It is fitted in closed form and needs few clips, which suits branches without weights. Its
    scores are log probabilities up to a constant.

    Args:
        balanced: take all classes as equally likely, however many clips each has.
        pca: largest number of components kept of the standardised features; 0: no PCA.
        shrinkage: of the within-class covariance towards a multiple of the identity; None:
            searched, 0.02 to 0.9.
        speaker_shrinkage: likewise, of the between-speaker covariance, for runs with --adapt K: a
            speaker's mean is then removed as far as K clips determine it (see ``speaker_lda``);
            None: it is removed entirely.
        trials: values of shrinkage that are tried.
    Source:
        Fisher 1936, The use of multiple measurements; Friedman 1989, Regularized discriminant
        analysis, JASA 84, for the shrinkage.
    """
    allowed = "from 0 to 1, or None: searched"
    check(shrinkage is None or 0 <= shrinkage <= 1, "shrinkage", shrinkage, allowed)
    both = shrinkage is not None and speaker_shrinkage is not None
    fits = speaker_shrinkage is None or (both and 0 <= speaker_shrinkage <= 1)
    allowed = "from 0 to 1, with a shrinkage that is given; or None"
    check(fits, "speaker_shrinkage", speaker_shrinkage, allowed)

    def fit_speakers(z: np.ndarray, y: np.ndarray, speakers: np.ndarray, clips: int) -> Any:
        return speaker_lda.fitted(
            z,
            y,
            speakers,
            clips=clips,
            balanced=balanced,
            shrinkage=shrinkage or 0.0,
            speaker_shrinkage=speaker_shrinkage or 0.0,
        )

    def make(hp: Any) -> Any:
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        class Analysis(LinearDiscriminantAnalysis):
            """Takes the classes as equally likely where ``balanced``."""

            def fit(self, x: Any, y: Any, sample_weight: Any = None) -> Any:
                """Fit, then subtract the logarithms of the class priors from the scores."""
                if sample_weight is not None:
                    return weighted_lda.fit(self, x, y, sample_weight)
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
    return Search(make, pca, trials, "bayesian", fit_speakers if both else None)


CLASSIFIERS = {
    "none": Classifier(none),
    "lda": Classifier(
        lda,
        small="pca=6, trials=2",
        renamed={"offsets": "speaker_shrinkage"},
        may_be_zero=("pca",),
    ),
    "logreg": Classifier(logreg, small="pca=6, trials=2"),
    "svm": Classifier(svm, small="pca=6, trials=2"),
}

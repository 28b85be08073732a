"""Hyperparameter search for a classical head: KerasTuner, by UAR on held-out speakers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emorec_tf.models.classical.classifiers import Search
from emorec_tf.models.classical.head_layers import Found
from emorec_tf.tasks import balance

if TYPE_CHECKING:
    from emorec_tf.models.classical.kept_oracle import Kept

_LOG = logging.getLogger(__name__)
SHOWN_TRIALS = 5
LEAST_VARIANCE = 1e-10  # of a component, as a share of the largest


@dataclass(frozen=True)
class Rows:
    """Features [N, E] of clips or of augmented copies, class ids [N] and speakers [N].

    ``means``, [N, E]: mean features of each clip's speaker, for heads that use them, and the number
    of ``clips`` behind each mean. ``balanced``: corpora, and classes within each, count equally.
    """

    features: np.ndarray
    labels: np.ndarray
    speakers: np.ndarray
    means: np.ndarray | None = None
    clips: int = 0
    balanced: bool = False

    @property
    def weights(self) -> np.ndarray | None:
        """Weights [N] of the rows, average one; None: all weigh the same."""
        if not self.balanced:
            return None
        return balance.clip_weights(self.speakers.tolist(), self.labels.tolist())

    def some(self, chosen: np.ndarray) -> Rows:
        """Select rows, by number or by a mask [N]."""
        return replace(
            self,
            features=self.features[chosen],
            labels=self.labels[chosen],
            speakers=self.speakers[chosen],
            means=None if self.means is None else self.means[chosen],
        )


def joined(parts: Sequence[Rows]) -> Rows:
    """Concatenate parts."""
    means = [part.means for part in parts if part.means is not None]
    return Rows(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.speakers for part in parts]),
        np.concatenate(means) if means else None,
        parts[0].clips,
        parts[0].balanced,
    )


Round = tuple[Rows, Rows]  # rows that a head is fitted to, and rows that it then predicts
Part = tuple[Found, Rows, Rows]  # with the projection fitted to the first


def parts_of(search: Search, rounds: Iterable[Round]) -> list[Part]:
    """Fit the projection of each round once; it is the same in every trial."""
    return [(projection(search, fit.features, fit.weights), fit, judged) for fit, judged in rounds]


def find(search: Search, parts: Sequence[Part], folder: Path, seed: int) -> Any:
    """Search by the UAR of the predictions of all rounds; resume the same search if it was stopped.

    Args:
        search: what is tried.
        parts: with disjoint speakers; each head is fitted to all classes.
        folder: for the trials, as JSON.
        seed: of the search.

    Returns:
        The best hyperparameters, for ``fitted``; None for a head without any.
    """
    if uses_speakers(search, parts[0][1]):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # KerasTuner uses deprecated Python functions
        return _best(search, parts, folder, seed)


def fitted(search: Search, settings: Any, rows: Rows, scaled: Found | None = None) -> Found:
    """Fit scaling and PCA, unless given, and the head with these hyperparameters."""
    scaled = scaled or projection(search, rows.features, rows.weights)
    z = scaled.projected(rows.features)
    if uses_speakers(search, rows):
        assert search.fit_speakers is not None
        head = search.fit_speakers(z, rows.labels, rows.speakers, rows.clips)
        return replace(scaled, estimator=head)
    with warnings.catch_warnings():
        # heads at the ends of the range do not converge, which shows in their scores
        warnings.simplefilter("ignore")
        return replace(scaled, estimator=_fit(search.make(settings), z, rows))


def answered(search: Search, settings: Any, parts: Sequence[Part]) -> np.ndarray:
    """Predict all rounds with heads of these hyperparameters, one after the other: [N, K]."""
    return np.concatenate(
        [
            fitted(search, settings, fit, scaled).decisions(judged.features, judged.means)
            for scaled, fit, judged in parts
        ]
    )


def uses_speakers(search: Search, rows: Rows) -> bool:
    """Whether the head uses the mean of the speaker's features beside those of the clip."""
    return search.fit_speakers is not None and rows.means is not None


def projection(search: Search, features: np.ndarray, weights: np.ndarray | None = None) -> Found:
    """Fit scaling, and PCA if asked for, to features [N, E], by the weights [N] of the rows."""
    from sklearn.preprocessing import StandardScaler

    if weights is None:
        scaler = StandardScaler().fit(features)
        found = Found(scaler.mean_, scaler.scale_, None, None, None)
    else:
        found = Found(*_weighted_scale(features, weights), None, None, None)
    if not search.pca:
        return found
    z = found.projected(features)
    middle = np.average(z, axis=0, weights=weights)
    spread = z - middle
    if weights is not None:
        spread = spread * np.sqrt(weights)[:, None]
    components = principal(spread, search.pca)
    return replace(found, components=components, offset=middle @ components.T)


def _weighted_scale(features: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and deviation [E]; that of constant features is 1, as in scikit-learn.

    Its own weighted variance comes out below zero for features that hardly vary.
    """
    mean = np.average(features, axis=0, weights=weights)
    variance = np.average((features - mean) ** 2, axis=0, weights=weights)
    error = len(features) * np.finfo(np.float64).eps
    constant = variance <= error * variance + (error * mean) ** 2
    return mean, np.where(constant, 1.0, np.sqrt(variance))


def _fit(estimator: Any, z: np.ndarray, rows: Rows) -> Any:
    """Fit an estimator to projected features of rows, by their weights if they have some."""
    import sklearn

    if rows.weights is None:
        return estimator.fit(z, rows.labels)
    with sklearn.config_context(enable_metadata_routing=True):
        inner = getattr(estimator, "estimator", None)  # of one against the rest
        if inner is not None:
            inner.set_fit_request(sample_weight=True)
        return estimator.fit(z, rows.labels, sample_weight=rows.weights)


def principal(z: np.ndarray, most: int) -> np.ndarray:
    """Principal components of z [N, E], mean zero: orthonormal [at most ``most``, E].

    From the smaller of the two products of z with itself: with fewer rows than columns,
    scikit-learn's PCA uses the larger one or a singular value decomposition, ten times slower.
    """
    from scipy.linalg import eigh

    few = len(z) < z.shape[1]
    product = z @ z.T if few else z.T @ z
    size = len(product)
    values, vectors = eigh(product, subset_by_index=[max(0, size - most), size - 1])
    real = values > LEAST_VARIANCE * values.max()  # subtracting the mean removed one direction
    values, vectors = values[real][::-1], vectors[:, real][:, ::-1]
    # contiguous, as products of views take ten times as long
    vectors = np.ascontiguousarray(vectors)
    return np.ascontiguousarray((z.T @ vectors / np.sqrt(values) if few else vectors).T)


def _best(search: Search, parts: Sequence[Part], folder: Path, seed: int) -> Any:
    """Run the trials that are left; return the best hyperparameters."""
    rounds = [(p.projected(fit.features), fit, p.projected(j.features)) for p, fit, j in parts]
    truth = np.concatenate([judged.labels for _, _, judged in parts])
    oracle = _oracle(search, folder, seed)
    while (trial := oracle.create_trial("alone")).status == "RUNNING":
        predictions = []
        for z, fit, judged in rounds:
            model = search.make(trial.hyperparameters)
            predictions.append(_fit(model, z, fit).predict(judged))
        uar = _uar(truth, np.concatenate(predictions))
        oracle.update_trial(trial.trial_id, {"score": uar})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    best = oracle.get_best_trials(search.trials)
    _log_trials(best)
    return best[0].hyperparameters


def _uar(truth: np.ndarray, predictions: np.ndarray) -> float:
    from sklearn.metrics import recall_score

    classes = np.unique(truth)
    return float(recall_score(truth, predictions, labels=classes, average="macro", zero_division=0))


def _oracle(search: Search, folder: Path, seed: int) -> Kept:
    """Make the oracle, with the trials that are there; a damaged file is set aside."""
    import keras_tuner

    from emorec_tf.models.classical import kept_oracle

    def fresh() -> Kept:
        oracle = oracles[search.oracle](
            objective=keras_tuner.Objective("score", "max"),
            max_trials=search.trials,
            seed=seed + 1,  # 0 would mean a random one
        )
        oracle.verbose = 0
        oracle.file, oracle.failures = file, 1
        declared = oracle.get_space()
        search.make(declared)
        oracle.update_space(declared)
        return oracle

    oracles: dict[str, Any] = {"bayesian": kept_oracle.Sequential, "random": kept_oracle.Random}
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "oracle.json"
    oracle = fresh()
    if not file.exists():
        return oracle
    try:
        oracle.reload()
        return oracle
    except kept_oracle.DAMAGE:
        aside = file.with_name("oracle.damaged.json")
        file.replace(aside)
        _LOG.warning("%s was damaged and is now %s; its trials are made again", file, aside.name)
        return fresh()


def _log_trials(trials: Sequence[Any]) -> None:
    """Log the best trials as a table, a line each."""
    names = list(trials[0].hyperparameters.values)
    rows = [["trial", *names, "val_uar"]]
    for trial in trials[:SHOWN_TRIALS]:
        values = [trial.hyperparameters.values[name] for name in names]
        words = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in values]
        rows.append([trial.trial_id, *words, f"{trial.score:.3f}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    _LOG.info("best of %d trial%s", len(trials), "" if len(trials) == 1 else "s")
    for row in rows:
        cells = [word.ljust(width) for word, width in zip(row, widths, strict=True)]
        _LOG.info("  %s", "  ".join(cells).rstrip())

"""Search for a classical head: KerasTuner, judged by UAR on speakers that the head has not met."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf.models.classical.classifiers import Search
from emorec_tf.models.classical.head_layers import Found

SHOWN_TRIALS = 5
LEAST_VARIANCE = 1e-10  # of a direction, as a share of the greatest


@dataclass(frozen=True)
class Rows:
    """Features [N, E] of clips, or of copies of them, class ids [N] and speakers [N].

    ``means``, [N, E]: mean features of each clip's speaker, where heads are to weigh them, and
    over how many ``clips`` each is taken.
    """

    features: np.ndarray
    labels: np.ndarray
    speakers: np.ndarray
    means: np.ndarray | None = None
    clips: int = 0

    def some(self, chosen: np.ndarray) -> Rows:
        """Those rows, by number or by a mask [N]."""
        return replace(
            self,
            features=self.features[chosen],
            labels=self.labels[chosen],
            speakers=self.speakers[chosen],
            means=None if self.means is None else self.means[chosen],
        )


def joined(parts: Sequence[Rows]) -> Rows:
    """All rows, one part after the other."""
    means = [part.means for part in parts if part.means is not None]
    return Rows(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.speakers for part in parts]),
        np.concatenate(means) if means else None,
        parts[0].clips,
    )


Round = tuple[Rows, Rows]  # what a head is fitted to, and what it then answers
Part = tuple[Found, Rows, Rows]  # and the projection of what it is fitted to


def parts_of(search: Search, rounds: Iterable[Round]) -> list[Part]:
    """Fit the projection of each round, which is the same in every trial."""
    return [(projection(search, fit.features), fit, judged) for fit, judged in rounds]


def find(search: Search, parts: Sequence[Part], folder: Path, seed: int) -> Any:
    """Search by UAR over what all rounds answer, going on where the same search was stopped.

    Args:
        search: what is tried.
        parts: of speakers of their own; all classes are among what each head is fitted to.
        folder: trials are kept in it, as JSON.
        seed: of the search.

    Returns:
        The best settings, for ``fitted``; None where a head has none.
    """
    if weighs_speakers(search, parts[0][1]):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # KerasTuner calls what Python has deprecated
        return _best(search, parts, folder, seed)


def fitted(search: Search, settings: Any, rows: Rows, scaled: Found | None = None) -> Found:
    """Fit scaling and PCA, unless that is done, and the head of these settings."""
    scaled = scaled or projection(search, rows.features)
    z = scaled.projected(rows.features)
    if weighs_speakers(search, rows):
        assert search.fit_speakers is not None
        head = search.fit_speakers(z, rows.labels, rows.speakers, rows.clips)
        return replace(scaled, estimator=head)
    with warnings.catch_warnings():
        # heads at the ends of the range do not converge, which their figures tell
        warnings.simplefilter("ignore")
        return replace(scaled, estimator=search.make(settings).fit(z, rows.labels))


def answered(search: Search, settings: Any, parts: Sequence[Part]) -> np.ndarray:
    """What heads of these settings answer in all rounds, one after the other: [N, K]."""
    return np.concatenate(
        [
            fitted(search, settings, fit, scaled).decisions(judged.features, judged.means)
            for scaled, fit, judged in parts
        ]
    )


def weighs_speakers(search: Search, rows: Rows) -> bool:
    """Whether the head takes the mean of a speaker's features beside those of the clip."""
    return search.fit_speakers is not None and rows.means is not None


def projection(search: Search, features: np.ndarray) -> Found:
    """Fit scaling, and PCA if asked for, to features [N, E]."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(features)
    found = Found(scaler.mean_, scaler.scale_, None, None, None)
    if not search.pca:
        return found
    z = found.projected(features)
    middle = z.mean(axis=0)
    components = principal(z - middle, search.pca)
    return replace(found, components=components, offset=middle @ components.T)


def principal(z: np.ndarray, most: int) -> np.ndarray:
    """Directions of the greatest variance of z [N, E], mean zero: orthonormal [at most most, E].

    By the smaller of the two products of z with itself: scikit-learn's PCA has but the larger one
    for fewer rows than columns, or a singular value decomposition, and takes ten times as long.
    """
    from scipy.linalg import eigh

    few = len(z) < z.shape[1]
    product = z @ z.T if few else z.T @ z
    size = len(product)
    values, vectors = eigh(product, subset_by_index=[max(0, size - most), size - 1])
    real = values > LEAST_VARIANCE * values.max()  # the mean has taken one direction
    values, vectors = values[real][::-1], vectors[:, real][:, ::-1]
    # turned round and transposed in memory too: products of mere views take ten times as long
    vectors = np.ascontiguousarray(vectors)
    return np.ascontiguousarray((z.T @ vectors / np.sqrt(values) if few else vectors).T)


def _best(search: Search, parts: Sequence[Part], folder: Path, seed: int) -> Any:
    """Try all; return the best settings."""
    import keras_tuner
    from sklearn.metrics import recall_score

    truth = np.concatenate([judged.labels for _, _, judged in parts])
    sides = [(p.projected(fit.features), fit, p.projected(j.features)) for p, fit, j in parts]

    class Tuner(keras_tuner.SklearnTuner):
        """Keeps no models: they would be pickles, and the best one is soon fitted again."""

        def run_trial(self, trial: Any, *_: Any, **__: Any) -> dict[str, float]:
            """Fit and judge the settings of a trial in every round."""
            told = []
            for z, fit, judged in sides:
                model = self.hypermodel.build(trial.hyperparameters)
                told.append(model.fit(z, fit.labels).predict(judged))
            uar = recall_score(
                truth,
                np.concatenate(told),
                labels=np.unique(truth),
                average="macro",
                zero_division=0,
            )
            return {"score": float(uar)}

        def load_model(self, trial: Any) -> Any:
            """There is nothing to load."""
            raise NotImplementedError

    oracles = {
        "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
        "random": keras_tuner.oracles.RandomSearchOracle,
    }
    oracle = oracles[search.oracle](
        objective=keras_tuner.Objective("score", "max"),
        max_trials=search.trials,
        seed=seed + 1,  # 0 would mean one drawn by chance
        max_consecutive_failed_trials=1,  # a failure is a mistake here, not bad luck
    )
    oracle.verbose = 0
    tuner = Tuner(oracle, search.make, directory=str(folder.parent), project_name=folder.name)
    tuner.search(None, None)  # the rounds hold the data
    _print_trials(oracle.get_best_trials(search.trials))
    return tuner.get_best_hyperparameters()[0]


def _print_trials(trials: Sequence[Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    names = list(trials[0].hyperparameters.values)
    table = Table("trial", *names, "val_uar", title=f"best of {len(trials)} trials")
    for trial in trials[:SHOWN_TRIALS]:
        values = [trial.hyperparameters.values[name] for name in names]
        words = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in values]
        table.add_row(trial.trial_id, *words, f"{trial.score:.3f}")
    Console().print(table)

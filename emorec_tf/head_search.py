"""Search for a classical head: KerasTuner, judged by UAR on the validation speakers alone."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf.classical_heads import Search
from emorec_tf.head_layers import Found

SHOWN_TRIALS = 5

Labelled = Sequence[np.ndarray]  # features [N, E], class ids [N]


def find(
    search: Search, training: Labelled, validation: Labelled, folder: Path, seed: int
) -> tuple[Found, Any]:
    """Search by UAR on the validation speakers, going on where the same search was stopped.

    Args:
        search: what is tried.
        training: features [N, E] and class ids [N], all classes among them.
        validation: the same of other speakers.
        folder: trials are kept in it, as JSON.
        seed: of the search.

    Returns:
        The best head, fitted to ``training``, and the best settings, for ``fitted``.
    """
    scaled = projection(search, training[0])
    z_training, z_validation = ((scaled.projected(x), y) for x, y in (training, validation))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # KerasTuner calls what Python has deprecated
        best = _best(search, z_training, z_validation, folder, seed)
    return fitted(search, best, training), best


def fitted(search: Search, settings: Any, data: Labelled) -> Found:
    """Fit scaling, PCA and the head of these settings to features [N, E] and class ids [N]."""
    found = projection(search, data[0])
    with warnings.catch_warnings():
        # heads at the ends of the range do not converge, which their figures tell
        warnings.simplefilter("ignore")
        estimator = search.make(settings).fit(found.projected(data[0]), data[1])
    return replace(found, estimator=estimator)


def of_speakers(search: Search, data: Labelled, speakers: np.ndarray, clips: int) -> Found:
    """Fit a head that takes the mean of ``clips`` clips of the speaker beside the features."""
    found = projection(search, data[0])
    assert search.of_speakers is not None
    z = found.projected(data[0])
    return replace(found, estimator=search.of_speakers(z, data[1], speakers, clips))


def projection(search: Search, features: np.ndarray) -> Found:
    """Fit scaling, and PCA if asked for, to features [N, E]."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(features)
    found = Found(scaler.mean_, scaler.scale_, None, None, None)
    if not search.pca:
        return found
    z = found.projected(features)
    pca = PCA(min(search.pca, *z.shape), svd_solver="full").fit(z)
    offset = pca.mean_ @ pca.components_.T
    return replace(found, components=pca.components_, offset=offset)


def _best(search: Search, training: Labelled, validation: Labelled, folder: Path, seed: int) -> Any:
    """Try all; return the best settings."""
    import keras_tuner
    from sklearn.metrics import recall_score
    from sklearn.model_selection import PredefinedSplit

    class Tuner(keras_tuner.SklearnTuner):
        """Keeps no models: they would be pickles, and the best one is soon fitted again."""

        def save_model(self, trial_id: str, model: Any, step: int = 0) -> None:
            """Keep nothing."""

        def load_model(self, trial: Any) -> Any:
            """There is nothing to load."""
            raise NotImplementedError

    def uar(model: Any, x: np.ndarray, y: np.ndarray, sample_weight: Any = None) -> float:
        there = np.unique(y)
        return recall_score(y, model.predict(x), labels=there, average="macro", zero_division=0)

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
    side = np.repeat([-1, 0], [len(training[1]), len(validation[1])])
    tuner = Tuner(
        oracle,
        search.make,
        scoring=uar,
        cv=PredefinedSplit(side),
        directory=str(folder.parent),
        project_name=folder.name,
    )
    tuner.search(*(np.concatenate(pair) for pair in zip(training, validation, strict=True)))
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

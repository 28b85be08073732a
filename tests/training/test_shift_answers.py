"""Predictions under shift: each corpus by a head of scikit-learn that was fitted to the others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from untrained_runs import untrained

from emorec_tf.config.clip import corpus_of
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.models.classical.classifiers import Search, lda
from emorec_tf.models.classical.head_search import Rows
from emorec_tf.training import shift_answers
from emorec_tf.training.run_dir import Run

WIDTH, CLIPS = 40, 60


@pytest.fixture
def run(features: FeaturesConfig, tmp_path: Path) -> Run:
    return untrained(tmp_path, features)[0]


def drawn() -> tuple[Rows, list[str]]:
    """Three corpora of four speakers, the third elsewhere; and as many copies."""
    random = np.random.default_rng(0)
    names = np.repeat(["one", "two", "three"], CLIPS)
    labels = np.tile(np.arange(3), CLIPS)
    speakers = np.array([f"{name}/{n % 4}" for n, name in enumerate(names)])
    features = random.normal(size=(3 * CLIPS, WIDTH)) + 2 * np.eye(3, WIDTH)[labels]
    features[names == "three"] += 3
    ids = [f"clip{n}" for n in range(len(names))]
    twice = (np.concatenate([values] * 2) for values in (features, labels, speakers))
    return Rows(*twice), ids


def search() -> Search:
    return lda(balanced=False, pca=0, shrinkage=0.3)


def test_predictions_equal_scikit_learn(run: Run) -> None:
    import keras_tuner

    rows, ids = drawn()
    shift_answers.collect(run, search(), keras_tuner.HyperParameters(), rows, ids)
    shift_answers.place(
        run, rows.features[: len(ids)], ids, [WIDTH], list(rows.speakers[: len(ids)])
    )
    assert shift_answers.corpora(run) == ["one", "three", "two"]
    inner = (ids[:5], np.zeros((5, 3)), np.zeros(5, int))
    found = shift_answers.with_inner(run, inner)
    assert found is not None
    logits, labels, far = found
    assert len(logits) == len(labels) == len(far) == len(ids) + 5, "copies are not scored"
    start = 0
    for name in shift_answers.corpora(run):
        of = np.array([corpus_of(speaker) for speaker in rows.speakers])
        own = np.flatnonzero(of[: len(ids)] == name)
        mean, scale = rows.features[of != name].mean(0), rows.features[of != name].std(0)
        head = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3)
        head.fit((rows.features[of != name] - mean) / scale, rows.labels[of != name])
        wanted = head.decision_function((rows.features[own] - mean) / scale)
        np.testing.assert_allclose(logits[start : start + len(own)], wanted, atol=1e-6)
        np.testing.assert_array_equal(labels[start : start + len(own)], rows.labels[own])
        start += len(own)
    names = np.repeat(["one", "three", "two"], CLIPS)
    assert far[: len(ids)][names == "three"].min() > far[: len(ids)][names == "one"].max()
    assert np.abs(far[len(ids) :]).max() < 3, "held-out speakers are not far"


def test_one_corpus_says_nothing_about_others(run: Run) -> None:
    rows, ids = drawn()
    alone = Rows(rows.features, rows.labels, np.array([s[-1] for s in rows.speakers]))
    shift_answers.collect(run, search(), None, alone, ids)
    assert not (run.folder / "shift_answers.npz").exists()
    assert shift_answers.with_inner(run, (ids, np.zeros((3, 3)), np.zeros(3, int))) is None


def test_an_ensemble_has_the_product_of_its_members(
    features: FeaturesConfig, tmp_path: Path
) -> None:
    import keras_tuner

    members = []
    rows, ids = drawn()
    for name, half in (("left", slice(0, 20)), ("right", slice(20, 40))):
        (tmp_path / name).mkdir()
        members.append(untrained(tmp_path / name, features)[0])
        part = Rows(rows.features[:, half], rows.labels, rows.speakers)
        shift_answers.collect(members[-1], search(), keras_tuner.HyperParameters(), part, ids)
    (tmp_path / "both").mkdir()
    whole = untrained(tmp_path / "both", features)[0]
    shift_answers.write_product(whole, members, [1.5, 2.0])
    kept = [np.load(m.folder / "shift_answers.npz")["logits"] for m in (*members, whole)]
    wanted = log_softmax(kept[0] / 1.5, 1) + log_softmax(kept[1] / 2.0, 1)
    np.testing.assert_allclose(kept[2], wanted)
    assert json.loads((whole.folder / "temperature.json").read_text())["epochs"] == 0

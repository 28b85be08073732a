"""Classical heads as Keras layers: the decisions of scikit-learn after saving and loading."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from emorec_tf.config import choices
from emorec_tf.models.classical import head_layers, head_search
from emorec_tf.models.layers import Tokens

WIDTH = 12


def drawn(classes: int, clips: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Clips around one centre per class, with features of very different scales."""
    random = np.random.default_rng(seed)
    labels = np.arange(clips) % classes
    centres = np.random.default_rng(99).normal(size=(classes, WIDTH))
    features = centres[labels] + random.normal(size=(clips, WIDTH))
    features[:, 3] = 0.25  # a unit that is always zero
    return features * np.logspace(-2, 2, WIDTH) + 3, labels


CHOICES = [
    "logreg(trials=3)",
    "logreg(trials=3, pca=5)",
    "logreg(trials=2, pca=800)",
    "lda(trials=2)",
    "lda(shrinkage=0.2, pca=5)",
    "svm(kernel='linear', trials=2)",
    "svm(kernel='linear', trials=2, pca=4)",
    "svm(kernel='poly', trials=2)",
    "svm(kernel='rbf', trials=2)",
    "svm(kernel='rbf', gamma=0.2, trials=2, pca=4)",
]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("choice", CHOICES)
def test_the_models_decisions_equal_scikit_learn(choice, classes, tmp_path: Path):
    search = choices.resolve("classifier", choice)(True)
    drawn_rows = drawn(classes), drawn(classes, seed=1)
    training, scored = (head_search.Rows(*rows, np.full(len(rows[1]), "1")) for rows in drawn_rows)
    parts = head_search.parts_of(search, [(training, scored)])
    best = head_search.find(search, parts, tmp_path / "s", seed=0)
    found = head_search.fitted(search, best, training)
    inputs = keras.Input((WIDTH,), name="features")
    model = head_layers.with_head(keras.Model(inputs, keras.layers.Identity()(inputs)), found)
    model.save(tmp_path / "head.keras")
    model = keras.saving.load_model(tmp_path / "head.keras", safe_mode=True)
    assert not model.trainable_weights
    features, _ = drawn(classes, seed=2)
    decisions = found.decisions(features)
    logits = model.predict_on_batch(features.astype(np.float32))
    np.testing.assert_allclose(logits, decisions, atol=1e-4 * max(1, np.abs(decisions).max()))
    # against scikit-learn's own pipeline, not against ``Found``
    z = StandardScaler().fit(drawn(classes)[0]).transform(features)
    if found.components is not None:
        z = z @ found.components.T - found.offset
    np.testing.assert_array_equal(logits.argmax(1), found.estimator.predict(z))
    curved = any(kernel in choice for kernel in ("poly", "rbf"))
    assert type(model.layers[-1]).__name__ == ("KernelMachine" if curved else "Dense")


def test_joined_features_are_zero_for_an_absent_modality():
    values = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    audio = Tokens(values, np.array([[1, 1, 0], [0, 0, 0]], np.float32))
    face = Tokens(values[:, :1] + 1, np.ones((2, 1), np.float32))
    joined = np.asarray(head_layers.joined([audio, face]))
    np.testing.assert_allclose(joined, [[1, 2, 1, 2], [0, 0, 7, 8]])

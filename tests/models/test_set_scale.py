"""Features relative to a set: the spread in closed form, and models that are adapted by it."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from emorec_tf.models.classical import set_scale
from emorec_tf.models.classical.set_scale import PRIOR_CLIPS, SPEAKER_FEATURES, SPEAKER_SCALE
from emorec_tf.training import speaker_adaptation

E = 5


def drawn(count: int, deviation: float = 1.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(3, deviation, (count, E)).astype(np.float32)


def test_the_spread_is_drawn_towards_the_pooled_one():
    pooled = np.full(E, 2.0, np.float32)
    np.testing.assert_allclose(set_scale.scale_of(drawn(1), pooled), 1)
    few, many = drawn(4), drawn(4000)
    wanted = (3 * few.var(0, ddof=1) + PRIOR_CLIPS * 4) / (3 + PRIOR_CLIPS)
    np.testing.assert_allclose(set_scale.scale_of(few, pooled), 2 / np.sqrt(wanted), rtol=1e-5)
    np.testing.assert_allclose(set_scale.scale_of(many, pooled), 2, rtol=0.05)
    pooled[2] = 0  # a constant feature
    found = set_scale.scale_of(few, pooled)
    assert found[2] == 1
    assert np.isfinite(found).all()


def test_the_pooled_deviation_is_that_within_sets():
    far = {"a": drawn(400), "b": drawn(900, 2.0, 1) + 50}
    wanted = np.sqrt((399 * far["a"].var(0, ddof=1) + 899 * far["b"].var(0, ddof=1)) / 1298)
    np.testing.assert_allclose(set_scale.pooled_deviation(far), wanted, rtol=1e-4)
    np.testing.assert_array_equal(set_scale.pooled_deviation({"a": drawn(1)}), 1)


def classical(seed: int = 0, width: int = E) -> keras.Model:
    """A model of features x and a linear head on them."""
    inputs = {"x": keras.Input((width,), name="x"), "unused": keras.Input((2,), name="unused")}
    features = keras.layers.Identity(name="features")(inputs["x"])
    head = keras.layers.Dense(3, name="classifier")
    model = keras.Model(inputs, head(features))
    random = np.random.default_rng(seed)
    head.set_weights([random.normal(size=(width, 3)), random.normal(size=3)])
    return model


def ensemble() -> keras.Model:
    """A product of two experts on the same x, as ``training.ensemble`` makes it."""
    inputs = {"x": keras.Input((E,), name="x"), "unused": keras.Input((2,), name="unused")}
    experts = [classical(seed) for seed in (1, 2)]
    votes = [
        keras.ops.log_softmax(keras.Model(m.input, m.output, name=f"expert_{n}")(inputs) / 2)
        for n, m in enumerate(experts, 1)
    ]
    return keras.Model(inputs, votes[0] + votes[1])


def answered(model: keras.Model, x: np.ndarray, *more: np.ndarray) -> np.ndarray:
    given = {"x": x, "unused": np.zeros((len(x), 2), np.float32)}
    given |= dict(zip((SPEAKER_FEATURES, SPEAKER_SCALE), more, strict=False))
    return np.asarray(model.predict_on_batch(given))


@pytest.mark.parametrize(("make", "members"), [(classical, 1), (ensemble, 2)])
def test_a_model_is_adapted_by_moving_its_features(make, members, tmp_path):
    model, x = make(), drawn(6, seed=3)
    target, pooled = np.arange(members * E) / 7, np.linspace(1, 2, members * E)
    made = set_scale.adaptable(model, target.astype("f"), pooled.astype("f"))
    assert set_scale.width_of(model) == members * E
    np.testing.assert_allclose(set_scale.pooled_of(made), pooled, rtol=1e-6)
    assert set_scale.pooled_of(model) is None
    same = [np.tile(v, (6, 1)).astype("f") for v in (target, np.ones(members * E))]
    np.testing.assert_allclose(answered(made, x, *same), answered(model, x), atol=1e-4)
    mean, scale = (drawn(6, seed=s).repeat(members, 1)[:, : members * E] for s in (4, 5))
    if members == 1:
        moved = target + (x - mean) * scale
        np.testing.assert_allclose(
            answered(made, x, mean, scale), answered(model, moved.astype("f")), atol=1e-4
        )
    rows = speaker_adaptation.features_model(made).predict_on_batch(
        {"x": x, "unused": np.zeros((6, 2), "f")}
    )
    np.testing.assert_array_equal(rows, np.tile(x, (1, members)))
    gone = np.zeros_like(x)
    np.testing.assert_allclose(answered(made, gone, mean, scale), answered(model, gone), atol=1e-5)
    made.save(tmp_path / "adapted.keras")
    again = keras.saving.load_model(tmp_path / "adapted.keras")
    np.testing.assert_array_equal(answered(again, x, mean, scale), answered(made, x, mean, scale))


def test_each_member_of_an_ensemble_takes_its_own_columns():
    model, x = ensemble(), drawn(4)
    zeros, ones = np.zeros(2 * E, "f"), np.ones(2 * E, "f")
    made = set_scale.adaptable(model, zeros, ones)
    mean, scale = np.zeros((4, 2 * E), "f"), np.ones((4, 2 * E), "f")
    mean[:, E:] = 1.5
    wanted = 0.0
    for member, values in zip(set_scale.experts_of(model), (x, x - 1.5), strict=True):
        wanted = wanted + keras.ops.log_softmax(answered(member, values) / 2)
    np.testing.assert_allclose(answered(made, x, mean, scale), np.asarray(wanted), atol=1e-5)


def test_models_without_a_classical_head_have_no_width():
    x = keras.Input((3,), name="x")
    assert set_scale.width_of(keras.Model({"x": x}, keras.layers.Dense(2)(x))) == 0

"""The concordance loss: closed forms, missing ratings, finite gradients for constant batches."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from emorec_tf.tasks import regression_metrics
from emorec_tf.tasks.losses import Concordance


def series(seed: int = 0, count: int = 16) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    truth = draw.uniform(1, 5, (count, 1)).astype("f")
    return truth, (truth + draw.normal(0.2, 1, truth.shape)).astype("f")


def test_loss_is_concordance_plus_squared_error():
    truth, guess = series()
    found = regression_metrics.metrics(truth[:, 0], guess[:, 0])
    expected = 1 - found["ccc"] + found["rmse"] ** 2 / 4
    assert float(Concordance()(truth, guess)) == pytest.approx(expected, rel=1e-4)
    assert float(Concordance()(truth, truth)) == pytest.approx(0, abs=1e-5)


def test_missing_ratings_do_not_count():
    truth, guess = series()
    holed = np.concatenate([truth, [[np.nan], [np.nan]]]).astype("f")
    more = np.concatenate([guess, [[1.0], [5.0]]]).astype("f")
    concordance = 1 - regression_metrics.ccc(truth[:, 0], guess[:, 0])
    squares = ((truth - guess) ** 2).sum() / 4 / 18
    assert float(Concordance()(holed, more)) == pytest.approx(concordance + squares, rel=1e-4)
    assert np.isfinite(float(Concordance()(holed[-2:], more[-2:])))


@pytest.mark.parametrize("truth", [[3.0, 3.0, 3.0], [2.0, np.nan, 2.0], [4.0, 4.0, 1.0]])
def test_gradient_is_finite_for_constant_series(truth):
    """With constant estimates or ratings, gradients are finite and reduce the error."""
    import tensorflow as tf

    ratings = np.array(truth, "f")[:, None]
    guess = tf.Variable(np.full((3, 1), 2.5, "f"))
    optimizer = keras.optimizers.SGD(1.0)
    before = np.nansum((ratings - guess.numpy()) ** 2)
    for _ in range(40):
        with tf.GradientTape() as tape:
            loss = Concordance()(ratings, guess)
        slope = tape.gradient(loss, guess)
        assert np.isfinite(slope.numpy()).all()
        optimizer.apply([slope], [guess])
    assert np.nansum((ratings - guess.numpy()) ** 2) < 0.3 * before


def test_loss_is_saved_with_a_model(reloaded, tmp_path):
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", Concordance())
    model.fit(np.ones((4, 2), "f"), series(count=4)[0], verbose=0)
    assert reloaded(model).loss == "Concordance"

"""The contract of every audio branch, looped over the table."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from emorec_tf import catalog
from emorec_tf.audio_branches import AUDIO_BRANCHES
from emorec_tf.clip import UserError
from emorec_tf.layers import Tokens

FRAMES, BANDS = 48, 16
SMALL = {"conv1d": "filters=8, blocks=2", "lstm": "units=4"}
POOLS = ("attention", "mean_std", "none")
CASES = [f"{name}({SMALL[name]}, pool='{pool}')" for name in AUDIO_BRANCHES for pool in POOLS]
CASES += ["lstm(units=3, layers=2, stride=1)"]


def built(choice: str) -> keras.Model:
    keras.utils.set_random_seed(0)
    tensors = {
        "audio": keras.Input((FRAMES, BANDS), name="audio"),
        "audio_mask": keras.Input((FRAMES,), name="audio_mask"),
    }
    return keras.Model(tensors, list(catalog.resolve("audio", choice)(tensors)))


def batch(count: int = 3) -> dict[str, np.ndarray]:
    audio = np.random.default_rng(0).normal(size=(count, FRAMES, BANDS)).astype(np.float32)
    mask = np.ones((count, FRAMES), np.float32)
    mask[0, 30:] = 0
    mask[-1] = 0
    return {"audio": audio * mask[..., None], "audio_mask": mask}


def answered(model: keras.Model, inputs: dict[str, np.ndarray]) -> Tokens:
    return Tokens(*model.predict_on_batch(inputs))


def test_every_branch_is_tried():
    assert set(SMALL) == set(AUDIO_BRANCHES)


@pytest.mark.parametrize("choice", CASES)
def test_contract(choice, reloaded):
    model, inputs = built(choice), batch()
    values, mask = answered(model, inputs)
    assert values.shape[:2] == mask.shape == (3, mask.shape[1])
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(mask.max(axis=1), [1, 1, 0])  # nothing heard stays nothing
    # rows are independent
    alone = answered(model, {name: array[1:2] for name, array in inputs.items()})
    np.testing.assert_allclose(alone.values[0], values[1], atol=1e-5)
    # what comes after the end of the sound is no part of it
    again = answered(reloaded(model), inputs)
    np.testing.assert_array_equal(again.values, values)
    np.testing.assert_array_equal(again.mask, mask)


@pytest.mark.parametrize("choice", CASES)
def test_every_weight_learns(choice):
    model, inputs = built(choice), batch(2)
    with tf.GradientTape() as tape:
        values, mask = model(inputs, training=True)
        weight = tf.random.stateless_normal(values.shape, [0, 1])
        loss = tf.reduce_sum(values * weight * mask[..., None])
    variables = [v.value for v in model.trainable_variables]
    gradients = tape.gradient(loss, variables)
    assert variables
    names = [v.path for v in model.trainable_variables]
    lost = [n for n, g in zip(names, gradients, strict=True) if g is None or not np.any(g)]
    # a bias added to all scores alike cancels in the softmax
    assert all(name.endswith("bias") for name in lost), lost
    assert len(lost) <= 1


@pytest.mark.parametrize("name", AUDIO_BRANCHES)
def test_documented_shapes(name):
    knobs = catalog.entries("audio")[name].knobs
    for pool, width in (("attention", 2), ("none", 1)):
        values, _ = built(f"{name}({SMALL[name]}, pool='{pool}')").outputs
        size = {"conv1d": 8, "lstm": 2 * 4}[name]
        assert values.shape[2] == width * size
        assert (values.shape[1] == 1) == (pool != "none")
    text = AUDIO_BRANCHES[name].__doc__ or ""
    assert "Shapes:" in text
    assert "Source:" in text
    assert all(f"{knob}:" in text for knob in knobs)


def test_lstm_does_not_read_past_the_end():
    """Its steps are masked: however long the padding, the tokens of the sound are the same."""
    model, inputs = built("lstm(units=4, pool='none')"), batch(2)
    short = {name: array.copy() for name, array in inputs.items()}
    values, mask = answered(model, short)
    louder = {**short, "audio": short["audio"].copy()}
    louder["audio"][0, 38:] = 9.0  # two steps after the last real frame
    other = answered(model, louder)
    real = mask[0] > 0
    np.testing.assert_allclose(other.values[0][real], values[0][real], atol=1e-6)


def test_wrong_knobs():
    with pytest.raises(UserError, match="pool is 'max'; it must be attention, mean_std or none"):
        built("conv1d(pool='max')")
    with pytest.raises(UserError, match="blocks is 9; it must be fewer for clips of 48 frames"):
        built("conv1d(blocks=9)")

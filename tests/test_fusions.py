"""The contract of every fusion, looped over the table, and the averages in closed form."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax, softmax

from emorec_tf import catalog
from emorec_tf.clip import UserError
from emorec_tf.fusions import FUSIONS, UNIMODAL
from emorec_tf.layers import Tokens

AVERAGES = ("weighted_average", "multi_frame_average")
CASES = [*FUSIONS, *(f"{name}(audio_weight=0.3)" for name in AVERAGES)]
RANDOM = np.random.default_rng(0)
BATCH = [
    RANDOM.normal(size=(4, 2, 6)).astype(np.float32),
    np.array([[1, 1], [1, 0], [0, 0], [0, 0]], np.float32),  # both, both, face, nothing
    RANDOM.normal(size=(4, 3, 5)).astype(np.float32),
    np.array([[1, 1, 1], [1, 0, 1], [0, 1, 1], [0, 0, 0]], np.float32),
]
DEAF = [BATCH[0], np.zeros((4, 2), np.float32), *BATCH[2:]]
BLIND = [*BATCH[:3], np.zeros((4, 3), np.float32)]


def built(choice: str, outputs: int = 4) -> keras.Model:
    keras.utils.set_random_seed(0)
    tensors = [keras.Input(a.shape[1:], name=n) for a, n in zip(BATCH, "amfn", strict=True)]
    audio, face = Tokens(*tensors[:2]), Tokens(*tensors[2:])
    return keras.Model(tensors, catalog.resolve("fusion", choice)(audio, face, outputs))


@pytest.mark.parametrize("choice", CASES)
def test_contract(choice, reloaded):
    model = built(choice)
    logits = model.predict_on_batch(BATCH)
    assert logits.shape == (4, 4)
    for batch in (BATCH, DEAF, BLIND):
        assert np.isfinite(model.predict_on_batch(batch)).all()
    alone = model.predict_on_batch([a[1:2] for a in BATCH])
    np.testing.assert_allclose(alone[0], logits[1], atol=1e-5)
    masked = [BATCH[0].copy(), BATCH[1], BATCH[2].copy(), BATCH[3]]
    masked[0][BATCH[1] == 0], masked[2][BATCH[3] == 0] = 50, -50
    np.testing.assert_allclose(model.predict_on_batch(masked), logits, atol=1e-5)
    np.testing.assert_array_equal(reloaded(model).predict_on_batch(BATCH), logits)


@pytest.mark.parametrize("choice", CASES)
def test_every_weight_learns(choice):
    model = built(choice)
    with tf.GradientTape() as tape:
        logits = model(BATCH, training=True)
        loss = tf.reduce_sum(tf.nn.log_softmax(logits) * RANDOM.normal(size=(4, 4)))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    assert gradients
    assert all(g is not None and np.any(g) for g in gradients)


@pytest.mark.parametrize("name", FUSIONS)
def test_documented(name):
    text = FUSIONS[name].__doc__ or ""
    assert "Shapes:" in text
    assert "Source:" in text
    assert all(f"{knob}:" in text for knob in catalog.entries("fusion")[name].knobs)


@pytest.mark.parametrize("choice", [c for c in CASES if c not in UNIMODAL])
def test_both_modalities_matter(choice):
    model = built(choice)
    logits = model.predict_on_batch(BATCH)
    for batch in (DEAF, BLIND):
        assert not np.allclose(model.predict_on_batch(batch)[0], logits[0], atol=1e-4)


def test_unimodal_fusions_ignore_the_other():
    assert {"audio_only", "face_only"} == UNIMODAL
    for name, other in (("audio_only", BLIND), ("face_only", DEAF)):
        model = built(name)
        np.testing.assert_array_equal(model.predict_on_batch(other), model.predict_on_batch(BATCH))


def classes_of(model: keras.Model, tokens: np.ndarray, width: int) -> np.ndarray:
    """Probabilities by the class layer that takes ``width`` features, after layer norm."""
    heads = [x for x in model.layers if isinstance(x, keras.layers.Dense)]
    kernel, bias = next(h.get_weights() for h in heads if h.kernel.shape[0] == width)
    level = tokens - tokens.mean(-1, keepdims=True)
    level = level / np.sqrt((level**2).mean(-1, keepdims=True) + 1e-3)  # Keras's epsilon
    return softmax(level @ kernel + bias, axis=-1)


def test_weighted_average_in_closed_form():
    model = built("weighted_average(audio_weight=0.3)")
    found = np.exp(log_softmax(model.predict_on_batch(BATCH), axis=1))
    heard, seen = BATCH[0][1, :1].mean(0), BATCH[2][1, [0, 2]].mean(0)
    mixed = 0.3 * classes_of(model, heard, 6) + 0.7 * classes_of(model, seen, 5)
    np.testing.assert_allclose(found[1], mixed, atol=1e-5)
    np.testing.assert_allclose(found[2], classes_of(model, BATCH[2][2, 1:].mean(0), 5), atol=1e-5)
    np.testing.assert_allclose(found[3], 0.25, atol=1e-6)


def test_multi_frame_average_in_closed_form():
    model = built("multi_frame_average(audio_weight=0.3)")
    found = np.exp(log_softmax(model.predict_on_batch(BATCH), axis=1))
    faces = classes_of(model, BATCH[2][1, [0, 2]], 5).mean(0)  # probabilities, then their mean
    mixed = 0.3 * classes_of(model, BATCH[0][1, :1].mean(0), 6) + 0.7 * faces
    np.testing.assert_allclose(found[1], mixed, atol=1e-5)


@pytest.mark.parametrize("choice", FUSIONS)
def test_order_of_the_pictures_does_not_matter(choice):
    model, order = built(choice), [2, 0, 1]
    turned = [*BATCH[:2], BATCH[2][:, order], BATCH[3][:, order]]
    np.testing.assert_allclose(
        model.predict_on_batch(turned), model.predict_on_batch(BATCH), atol=1e-5
    )


@pytest.mark.parametrize("weight", [-0.1, 1.5])
def test_impossible_weight(weight):
    with pytest.raises(UserError, match=rf"audio_weight is {weight}; it must be 0 to 1"):
        built(f"weighted_average(audio_weight={weight})")

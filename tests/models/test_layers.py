"""Masked statistics and the two layers, in closed form."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from emorec_tf.models.layers import (
    AddedLogits,
    ModalityDropout,
    SharedWeights,
    Tokens,
    WeightedAverage,
    attention,
    halve,
    mean_and_deviation,
    mean_of,
    present,
    spread,
)

RANDOM = np.random.default_rng(0)
VALUES = RANDOM.normal(size=(4, 6, 5)).astype(np.float32)
MASK = np.array(
    [[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0], [0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0]], np.float32
)
TOKENS = Tokens(VALUES, MASK)


def real(row: int) -> np.ndarray:
    return VALUES[row][MASK[row] > 0]


def test_mean():
    found = np.asarray(mean_of(TOKENS))
    for row in range(3):
        np.testing.assert_allclose(found[row], real(row).mean(0), atol=1e-6)
    np.testing.assert_array_equal(found[3], 0)


def test_mean_and_deviation():
    found = np.asarray(mean_and_deviation(TOKENS))
    assert found.shape == (4, 10)
    for row in range(3):
        np.testing.assert_allclose(found[row, :5], real(row).mean(0), atol=1e-6)
        np.testing.assert_allclose(found[row, 5:], real(row).std(0), atol=4e-3)
    np.testing.assert_allclose(found[3], [0] * 5 + [np.sqrt(1e-5)] * 5, rtol=1e-5)


def pooling(width: int = 5) -> keras.Model:
    values, mask = keras.Input((6, width)), keras.Input((6,))
    return keras.Model([values, mask], attention(Tokens(values, mask), units=3))


def test_attention_in_closed_form():
    model = pooling()
    first, second = (layer for layer in model.layers if isinstance(layer, keras.layers.Dense))
    second.set_weights([w * 5 for w in second.get_weights()])  # far from even weights
    found = model.predict_on_batch([VALUES, MASK])
    (w1, b1), (w2, b2) = first.get_weights(), second.get_weights()
    for row in range(3):
        scores = np.exp(np.tanh(real(row) @ w1 + b1) @ w2 + b2)
        shares = scores / scores.sum()
        mean = (shares * real(row)).sum(0)
        spread = (shares * (real(row) - mean) ** 2).sum(0)
        np.testing.assert_allclose(found[row], [*mean, *np.sqrt(spread + 1e-5)], atol=1e-5)
    np.testing.assert_allclose(found[3], [0] * 5 + [np.sqrt(1e-5)] * 5, rtol=1e-5)


@pytest.mark.parametrize("pool", [mean_of, mean_and_deviation])
def test_masked_content_does_not_matter(pool):
    other = np.where(MASK[..., None] > 0, VALUES, 1e3).astype(np.float32)
    np.testing.assert_allclose(np.asarray(pool(Tokens(other, MASK))), np.asarray(pool(TOKENS)))


def test_masked_content_does_not_matter_to_attention():
    model = pooling()
    other = np.where(MASK[..., None] > 0, VALUES, 1e3).astype(np.float32)
    found = [model.predict_on_batch([values, MASK]) for values in (VALUES, other)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_present_and_halve():
    np.testing.assert_array_equal(np.asarray(present(MASK)), [[1], [1], [1], [0]])
    np.testing.assert_array_equal(
        np.asarray(halve(MASK)), [[1, 1, 1], [1, 0, 0], [1, 1, 1], [0, 0, 0]]
    )


@pytest.mark.parametrize("count", range(1, 8))
def test_spread_keeps_the_given_number_of_real_tokens(count):
    many = (RANDOM.random((50, 9)) < 0.6).astype(np.float32)
    found = np.asarray(spread(many, count))
    assert (found <= many).all()
    np.testing.assert_array_equal(found.sum(1), np.minimum(many.sum(1), count))


def test_spread_is_even():
    row = np.ones((1, 12), np.float32)
    for count, kept in ((1, [5]), (2, [2, 8]), (3, [1, 5, 9]), (6, [0, 2, 4, 6, 8, 10])):
        assert np.flatnonzero(np.asarray(spread(row, count))).tolist() == kept
    np.testing.assert_array_equal(np.asarray(spread(MASK, 1))[2], [0, 0, 0, 1, 0, 0])


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.45])
def test_modality_dropout_takes_the_exact_share(rate):
    clips = 20000
    audio, face = np.ones((clips, 4), np.float32), np.ones((clips, 2), np.float32)
    audio_mask, face_mask = (
        np.asarray(m) for m in ModalityDropout(rate, seed=1)(audio, face, training=True)
    )
    assert set(np.unique(np.c_[audio_mask, face_mask])) <= {0, 1}
    without_audio, without_face = (~m.any(axis=1) for m in (audio_mask, face_mask))
    assert not (without_audio & without_face).any()
    for taken in (without_audio, without_face):  # within four standard errors
        assert taken.mean() == pytest.approx(rate, abs=4 * np.sqrt(rate * (1 - rate) / clips))
    np.testing.assert_array_equal(audio_mask, np.repeat(~without_audio[:, None], 4, axis=1))


def test_modality_dropout_never_takes_the_only_modality():
    there = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]] * 500, np.float32)
    audio, face = there[:, :1], there[:, 1:]
    audio_mask, face_mask = ModalityDropout(0.49, seed=1)(audio, face, training=True)
    np.testing.assert_array_equal(np.asarray(audio_mask), audio)
    np.testing.assert_array_equal(np.asarray(face_mask), face)


def test_modality_dropout_is_off_outside_training():
    layer = ModalityDropout(0.49, seed=1)
    for training in (False, None):
        audio_mask, face_mask = layer(MASK, MASK[:, :3], training=training)
        np.testing.assert_array_equal(np.asarray(audio_mask), MASK)
        np.testing.assert_array_equal(np.asarray(face_mask), MASK[:, :3])


def test_modality_dropout_repeats_by_seed():
    ones = np.ones((50, 1), np.float32)
    draws = [np.asarray(ModalityDropout(0.3, seed=s)(ones, ones, training=True)) for s in (1, 1, 2)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


P_AUDIO = RANDOM.dirichlet(np.ones(3), 4).astype(np.float32)
P_FACE = RANDOM.dirichlet(np.ones(3), 4).astype(np.float32)
AUDIO_PRESENT = np.array([[1], [1], [0], [0]], np.float32)
FACE_PRESENT = np.array([[1], [0], [1], [0]], np.float32)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0, None])
def test_weighted_average(weight):
    layer = WeightedAverage(weight)
    found = np.asarray(layer(P_AUDIO, P_FACE, AUDIO_PRESENT, FACE_PRESENT))
    share = 0.5 if weight is None else weight  # the learned weight starts at one half
    uniform = np.full(3, 1 / 3)
    np.testing.assert_allclose(found[0], share * P_AUDIO[0] + (1 - share) * P_FACE[0], atol=1e-6)
    np.testing.assert_allclose(found[1], P_AUDIO[1] if share > 0 else uniform, atol=1e-6)
    np.testing.assert_allclose(found[2], P_FACE[2] if share < 1 else uniform, atol=1e-6)
    np.testing.assert_allclose(found[3], uniform, atol=1e-6)
    assert len(layer.trainable_weights) == (weight is None)


def test_learned_weight_is_a_sigmoid():
    layer = WeightedAverage()
    layer(P_AUDIO, P_FACE, AUDIO_PRESENT, FACE_PRESENT)
    layer.set_weights([np.array(2.0)])
    share = 1 / (1 + np.exp(-2.0))
    found = np.asarray(layer(P_AUDIO, P_FACE, AUDIO_PRESENT, FACE_PRESENT))
    np.testing.assert_allclose(found[0], share * P_AUDIO[0] + (1 - share) * P_FACE[0], atol=1e-6)


def test_shared_weights():
    layer = SharedWeights(start=4.0)
    for weights in (None, (5.0, 25.0, -1.0)):
        found = np.asarray(layer(P_AUDIO, P_FACE, AUDIO_PRESENT, FACE_PRESENT))
        if weights:
            layer.set_weights([np.array(w) for w in weights])
            found = np.asarray(layer(P_AUDIO, P_FACE, AUDIO_PRESENT, FACE_PRESENT))
        audio_weight, face_weight, bias = weights or (4.0, 4.0, 0.0)
        audio, face = (
            np.where(t, p, 1 / 3) for t, p in ((AUDIO_PRESENT, P_AUDIO), (FACE_PRESENT, P_FACE))
        )
        np.testing.assert_allclose(
            found, audio_weight * audio + face_weight * face + bias, rtol=1e-5
        )


def test_shared_weights_reload(reloaded):
    tensors = [keras.Input((n,)) for n in (3, 3, 1, 1)]
    model = keras.Model(tensors, SharedWeights(7.0)(*tensors))
    batch = [P_AUDIO, P_FACE, AUDIO_PRESENT, FACE_PRESENT]
    again = reloaded(model)
    np.testing.assert_array_equal(model.predict_on_batch(batch), again.predict_on_batch(batch))
    assert again.config_of("SharedWeights")["start"] == 7.0


def test_a_layer_outside_the_package_does_not_reload(reloaded):
    """A layer defined in a test or a notebook is unknown to a command's process."""

    @keras.saving.register_keras_serializable("emorec_tf")
    class Stray(keras.layers.Layer):
        def call(self, x):
            return x + 1

    tensor = keras.Input((2,))
    with pytest.raises(AssertionError, match=r"is damaged: .* could not be deserialized"):
        reloaded(keras.Model(tensor, Stray()(tensor)))(np.zeros((1, 2), np.float32))


def test_added_logits_in_training():
    """The added term is the surprise of both heads choosing the same class."""
    layer = AddedLogits(apart=0.5)
    logits = [np.log(P_AUDIO) + 3, np.log(P_FACE) - 2]
    found = np.asarray(layer(*logits, AUDIO_PRESENT, FACE_PRESENT, training=True))
    np.testing.assert_allclose(
        found, AUDIO_PRESENT * logits[0] + FACE_PRESENT * logits[1], atol=1e-6
    )
    surprise = -np.log((P_AUDIO[0] * P_FACE[0]).sum())
    assert float(layer.losses[0]) == pytest.approx(0.5 * surprise / 4, rel=1e-5)


@pytest.mark.parametrize("weight", [0.3, None])
def test_layers_reload(reloaded, weight):
    tensors = [keras.Input((n,)) for n in (3, 3, 1, 1)]
    masks = ModalityDropout(0.25, seed=7)(*tensors[2:])
    model = keras.Model(tensors, WeightedAverage(weight)(*tensors[:2], *masks))
    again = reloaded(model)
    batch = [P_AUDIO, P_FACE, AUDIO_PRESENT, FACE_PRESENT]
    np.testing.assert_array_equal(model.predict_on_batch(batch), again.predict_on_batch(batch))
    dropout = again.config_of("ModalityDropout")
    assert (dropout["rate"], dropout["seed"]) == (0.25, 7)

"""Heads: the published numbers of parameters, names, and both forms in closed form."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy.special import softmax

from emorec_tf.config import choices
from emorec_tf.errors import UserError
from emorec_tf.models.heads import Head, clip_features, clip_logits, log_of, token_probabilities
from emorec_tf.models.layers import Tokens

RANDOM = np.random.default_rng(0)
VALUES = RANDOM.normal(2, 3, size=(3, 4, 6)).astype(np.float32)
MASK = np.array([[1, 1, 1, 1], [0, 1, 1, 0], [0, 0, 0, 0]], np.float32)


def fused(choice: str, audio: tuple[int, int], face: tuple[int, int]) -> keras.Model:
    """A fusion to 4 classes on (tokens, features) of each branch."""
    tensors = [keras.Input(shape) for size in (audio, face) for shape in (size, size[:1])]
    tokens = Tokens(*tensors[:2]), Tokens(*tensors[2:])
    return keras.Model(tensors, choices.resolve("fusion", choice)(*tokens, 4))


@pytest.mark.parametrize(
    ("choice", "branches", "published"),
    [  # of the whole network without its branches
        ("audio_only(units=128, dropout=0.7, norm=False)", 29_568, 767_492),
        ("face_only(units=128, dropout=0.8, norm=False)", 67_312, 887_156),
        (
            "concat(units=128, layers=2, dropout=0.7, norm=False, presence=False)",
            29_568 + 67_312,
            1_670_516,
        ),
    ],
)
def test_parameters_as_published(choice, branches, published):
    assert fused(choice, (1, 5760), (1, 6400)).count_params() + branches == published


def test_parameters_of_the_plain_class_layer():
    model = fused("face_only(norm=False, dropout=0.0)", (1, 5), (1, 128))
    assert model.count_params() + 22_784 == 23_300


@pytest.mark.parametrize(
    ("choice", "count"),
    [
        ("audio_only", 2 * 6 + 7 * 4),
        ("face_only", 2 * 5 + 6 * 4),
        ("concat", 2 * (6 + 5) + (6 + 5 + 2 + 1) * 4),
        ("weighted_average", 2 * 6 + 7 * 4 + 2 * 5 + 6 * 4 + 1),
        ("shared_weights", 2 * 6 + 7 * 4 + 2 * 5 + 6 * 4 + 3),
        ("concat_deep(hidden=(8, 3), scale=1)", 12 * 8 + 9 * 3 + 4 * 4),
        ("concat_deep(hidden=(8,), scale=1, batch_norm=True)", 11 * 8 + 4 * 8 + 9 * 4),
    ],
)
def test_parameters_by_default(choice, count):
    assert fused(choice, (2, 6), (3, 5)).count_params() == count


def head_model(form, head: Head, outputs: int = 5) -> keras.Model:
    keras.utils.set_random_seed(0)
    values, mask = keras.Input((4, 6)), keras.Input((4,))
    return keras.Model([values, mask], form(Tokens(values, mask), outputs, "face", head))


def by_hand(model: keras.Model, x: np.ndarray, head: Head) -> np.ndarray:
    """The same layers, written out."""
    if head.norm:
        level = x - x.mean(-1, keepdims=True)
        x = level / np.sqrt((level**2).mean(-1, keepdims=True) + 1e-3)  # Keras's epsilon
    for index in range(len(head.hidden)):
        kernel, bias = model.get_layer(f"face_hidden_{index}").get_weights()
        x = np.maximum(x @ kernel + bias, 0)
    kernel, bias = model.get_layer("face_head").get_weights()
    return x @ kernel + bias


@pytest.mark.parametrize("head", [Head(), Head(units=7, layers=2, norm=False), Head(units=3)])
def test_both_forms_in_closed_form(head):
    clip, tokens = head_model(clip_logits, head), head_model(token_probabilities, head)
    for row, real in enumerate((VALUES[0], VALUES[1, 1:3])):
        scores = clip.predict_on_batch([VALUES, MASK])[row]
        np.testing.assert_allclose(scores, by_hand(clip, real.mean(0), head), atol=1e-4)
        found = tokens.predict_on_batch([VALUES, MASK])[row]
        each = softmax(by_hand(tokens, real, head), axis=-1)
        np.testing.assert_allclose(found, each.mean(0), atol=1e-5)
    np.testing.assert_array_equal(tokens.predict_on_batch([VALUES, MASK])[2], 0)


def test_both_forms_agree_on_one_frame():
    """So a head trained on single frames serves both."""
    head, one = Head(units=4), MASK * [1, 0, 0, 0]
    clip, tokens = head_model(clip_logits, head), head_model(token_probabilities, head)
    tokens.set_weights(clip.get_weights())
    scores = clip.predict_on_batch([VALUES, one])[:1]
    np.testing.assert_allclose(
        tokens.predict_on_batch([VALUES, one])[:1], softmax(scores, axis=1), atol=1e-5
    )


@pytest.mark.parametrize("norm", [True, False])
def test_absent_features_are_zero(norm):
    values, mask = keras.Input((4, 6)), keras.Input((4,))
    model = keras.Model([values, mask], clip_features(Tokens(values, mask), "audio", norm))
    np.testing.assert_array_equal(model.predict_on_batch([VALUES, MASK])[2], 0)


def test_log_of_probabilities():
    p = np.array([[0.7, 0.3, 0.0]], np.float32)
    logits = np.asarray(log_of(p))
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(softmax(logits, axis=1), p, atol=1e-6)


def test_dropout_follows_the_hidden_layers():
    """Dropout before the first of them belongs to the branch."""
    for units, order in ((0, ["Dropout", "Dense"]), (3, ["Dense", "Dropout", "Dense"])):
        model = head_model(clip_logits, Head(units=units, norm=False))
        kinds = [type(layer).__name__ for layer in model.layers]
        assert [kind for kind in kinds if kind in ("Dropout", "Dense")] == order


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"units": -1}, "units is -1"), ({"layers": 0}, "layers is 0"), ({"dropout": 1.0}, "dropout")],
)
def test_impossible_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        Head(**arguments)

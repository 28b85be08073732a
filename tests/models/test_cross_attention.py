"""Cross-attention: the position code, masked tokens, and one layer in NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import softmax

from emorec_tf.config import choices
from emorec_tf.errors import UserError
from emorec_tf.models.fusion.cross_attention import crossed, position_code
from emorec_tf.models.layers import Tokens

RANDOM = np.random.default_rng(0)


def test_position_code_is_relative_to_the_clip_length():
    """Tokens at the same time have the same code, whatever their number and the padding."""
    audio_code = np.asarray(position_code(np.array([[1] * 9 + [0] * 3], np.float32), 8))[0]
    face_code = np.asarray(position_code(np.array([[1, 0, 1]], np.float32), 8))[0]
    np.testing.assert_allclose(
        audio_code[[1, 4, 7]], face_code, atol=1e-5
    )  # each the middle of a third
    cycles = np.geomspace(0.5, 32, 4)
    angles = 2 * np.pi * cycles * (2.5 / 9)
    np.testing.assert_allclose(audio_code[2], [*np.sin(angles), *np.cos(angles)], atol=1e-5)
    assert np.isfinite(np.asarray(position_code(np.zeros((1, 3), np.float32), 8))).all()


def level(x: np.ndarray) -> np.ndarray:
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-3)


def test_cross_attention_layer_equals_numpy():
    keras.utils.set_random_seed(0)
    own, other = (RANDOM.normal(size=(1, n, 4)).astype(np.float32) for n in (2, 3))
    face_mask = np.array([[1, 0, 1]], np.float32)
    tensors = [keras.Input(a.shape[1:]) for a in (own, other, face_mask)]
    mask = ops.ones_like(tensors[0][..., 0])
    out = crossed(Tokens(tensors[0], mask), Tokens(*tensors[1:]), 2, 0.5, "x").values
    model = keras.Model(tensors, out)
    query, key, value, join = model.get_layer("x_attention").get_weights()  # [4, 2, 2], [2, 2, 4]
    real, found = np.concatenate([np.zeros((1, 4)), level(other[0, [0, 2]])]), 0.0
    for head in range(2):
        scores = (level(own[0]) @ query[:, head]) @ (real @ key[:, head]).T / np.sqrt(2)
        found = found + softmax(scores, axis=-1) @ (real @ value[:, head]) @ join[head]
    x = own[0] + found
    (w1, b1), (w2, b2) = (model.get_layer(f"x_{n}").get_weights() for n in ("wide", "narrow"))
    expected = x + np.maximum(level(x) @ w1 + b1, 0) @ w2 + b2
    found = model.predict_on_batch([own, other, face_mask])[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    nothing = model.predict_on_batch([own, other, 0 * face_mask])[0]
    expected = own[0] + np.maximum(level(own[0]) @ w1 + b1, 0) @ w2 + b2
    np.testing.assert_allclose(nothing, expected, atol=1e-4)


def test_token_order_matters():
    """Audio tokens match frames at the same time, so the order matters."""
    audio, face = RANDOM.normal(size=(1, 6, 5)), RANDOM.normal(size=(1, 3, 4))
    masks = np.ones((1, 6)), np.ones((1, 3))
    tensors = [keras.Input(s) for s in ((6, 5), (6,), (3, 4), (3,))]
    fuse = choices.resolve("fusion", "cross_attention(units=8, heads=2, layers=2)")
    model = keras.Model(tensors, fuse(Tokens(*tensors[:2]), Tokens(*tensors[2:]), 3))
    straight = model.predict_on_batch([audio, masks[0], face, masks[1]])
    turned = model.predict_on_batch([audio, masks[0], face[:, ::-1], masks[1]])
    assert not np.allclose(straight, turned, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("units=10, heads=4", "units is 10; it must be an even number that 4 heads divide"),
        ("units=5, heads=5", "units is 5"),
        ("heads=0", "heads is 0"),
        ("layers=0", "layers is 0"),
        ("dropout=1.0", "dropout is 1.0"),
    ],
)
def test_impossible_arguments(arguments, message):
    tokens = Tokens(keras.Input((2, 3)), keras.Input((2,)))
    with pytest.raises(UserError, match=message):
        choices.resolve("fusion", f"cross_attention({arguments})")(tokens, tokens, 3)

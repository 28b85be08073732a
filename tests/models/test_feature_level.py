"""Joined and gated features, in closed form; the contract of all fusions is in test_fusions."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy.special import expit

from emorec_tf.config import choices
from emorec_tf.errors import UserError
from emorec_tf.models.layers import Tokens

RANDOM = np.random.default_rng(0)
AUDIO = RANDOM.normal(size=(4, 1, 6)).astype(np.float32)
FACE = RANDOM.normal(size=(4, 1, 5)).astype(np.float32)
AUDIO_PRESENT = np.array([[1], [1], [0], [0]], np.float32)
FACE_PRESENT = np.array([[1], [0], [1], [0]], np.float32)
BATCH = [AUDIO, AUDIO_PRESENT, FACE, FACE_PRESENT]


def built(choice: str) -> keras.Model:
    keras.utils.set_random_seed(0)
    tensors = [keras.Input(a.shape[1:]) for a in BATCH]
    tokens = Tokens(*tensors[:2]), Tokens(*tensors[2:])
    return keras.Model(tensors, choices.resolve("fusion", choice)(*tokens, 3))


def dense(model: keras.Model, name: str, x: np.ndarray) -> np.ndarray:
    kernel, *bias = model.get_layer(name).get_weights()
    return x @ kernel + (bias[0] if bias else 0)


def level(x: np.ndarray) -> np.ndarray:
    """Layer normalisation as it is before training, with Keras's epsilon."""
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-3)


def test_concat_without_norm_and_presence():
    model = built("concat(units=7, layers=2, norm=False, presence=False, dropout=0.7)")
    x = np.concatenate([AUDIO[:, 0] * AUDIO_PRESENT, FACE[:, 0] * FACE_PRESENT], axis=1)
    for name in ("joint_hidden_0", "joint_hidden_1"):
        x = np.maximum(dense(model, name, x), 0)
    np.testing.assert_allclose(
        model.predict_on_batch(BATCH), dense(model, "joint_head", x), atol=1e-5
    )


def test_concat_by_default():
    model = built("concat")
    x = [
        level(AUDIO[:, 0]) * AUDIO_PRESENT,
        level(FACE[:, 0]) * FACE_PRESENT,
        AUDIO_PRESENT,
        FACE_PRESENT,
    ]
    expected = dense(model, "joint_head", np.concatenate(x, axis=1))
    np.testing.assert_allclose(model.predict_on_batch(BATCH), expected, atol=1e-5)


def test_concat_deep_scales_as_the_original_system():
    model = built("concat_deep(hidden=(8, 4), dropout=0.85, scale=0.025)")
    x = np.concatenate([AUDIO[:, 0] * AUDIO_PRESENT, FACE[:, 0] * FACE_PRESENT], axis=1) / 40
    for name in ("joint_hidden_0", "joint_hidden_1"):
        x = np.maximum(dense(model, name, x), 0)
    np.testing.assert_allclose(
        model.predict_on_batch(BATCH), dense(model, "joint_head", x), atol=1e-5
    )


def test_batch_norm_precedes_each_relu():
    model = built("concat_deep(hidden=(8, 4), batch_norm=True)")
    kinds = [type(layer).__name__ for layer in model.layers]
    part = [k for k in kinds if k in ("Dense", "BatchNormalization", "ReLU", "Dropout")]
    assert part == ["Dense", "BatchNormalization", "ReLU", "Dropout"] * 2 + ["Dense"]


def test_gate_in_closed_form():
    model = built("gated(units=7)")
    audio, face = level(AUDIO[:, 0]) * AUDIO_PRESENT, level(FACE[:, 0]) * FACE_PRESENT
    audio_part = np.tanh(dense(model, "joint_voice", audio))
    face_part = np.tanh(dense(model, "joint_look", face))
    gate = expit(dense(model, "joint_gate", np.concatenate([audio, face], axis=1)))
    mixed = np.stack(
        [
            gate[0] * audio_part[0] + (1 - gate[0]) * face_part[0],
            audio_part[1],
            face_part[2],
            0 * face_part[3],
        ]
    )
    expected = dense(model, "joint_head", mixed)
    np.testing.assert_allclose(model.predict_on_batch(BATCH), expected, atol=1e-5)


def test_a_saturated_gate_still_uses_the_present_modality():
    model = built("gated(units=7)")
    kernel, bias = model.get_layer("joint_gate").get_weights()
    logits = []
    for side in (-1e3, 1e3):  # all weight on the face, all on the audio
        model.get_layer("joint_gate").set_weights([kernel, bias + side])
        logits.append(model.predict_on_batch(BATCH))
    np.testing.assert_allclose(logits[0][1:], logits[1][1:], atol=1e-6)
    assert not np.allclose(logits[0][0], logits[1][0], atol=1e-3)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("concat_deep(hidden=())", r"hidden is \(\); it must be layer sizes above 0"),
        ("concat_deep(hidden=(8, 'x'))", "hidden is"),
        ("concat_deep(hidden=8)", "hidden is 8; it must be like"),
        ("concat_deep(scale=-1)", "scale is -1"),
        ("concat(units=-3)", "units is -3"),
        ("gated(units=0)", "units is 0"),
        ("gated(dropout=1.0)", "dropout is 1.0"),
    ],
)
def test_impossible_arguments(choice, message):
    with pytest.raises(UserError, match=message):
        built(choice)

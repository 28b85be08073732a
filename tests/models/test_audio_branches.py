"""The contract of every audio branch, looped over the table."""

from __future__ import annotations

import numpy as np
import onnx_made
import pytest
import tensorflow as tf
from audio_nets import answered, batch, built

from emorec_tf.config import choices
from emorec_tf.errors import UserError
from emorec_tf.models.audio.audio_branches import AUDIO_BRANCHES, never_empty

ENTRIES = choices.entries("audio")
SMALL = {name: onnx_made.placed(entry.facts.small) for name, entry in ENTRIES.items()}
# "none" keeps one token per frame
POOLED = [name for name, entry in ENTRIES.items() if entry.arguments.get("pool") == "attention"]
CASES = [f"{name}({arguments})" for name, arguments in SMALL.items()]
CASES += [
    f"{name}({SMALL[name]}, pool='{pool}')" for name in POOLED for pool in ("mean_std", "none")
]
CASES += [
    "lstm(units=3, layers=2, stride=3)",
    "stacked_lstm(units=3, layers=1)",
    "mfcc_cnn(width=0.05, dense=16, norm='batch')",
    "functionals(coefficients=6, parts=2, modulations=True)",
    "whisper(size='test', weights='none', layers='all', pool='attention')",
    "whisper(size='test', weights='none', layers='concat', pool='none')",
    *(f"embedding({SMALL['embedding']}, pool='{pool}')" for pool in ("attention", "none")),
]
# as the docstrings say, for the small arguments; other entries need no line here
SHAPES = {
    "conv1d()": (1, 16),
    "conv1d(pool='none')": (12, 8),
    # bands 4 M, cepstra 8 C + 4 C + 2 P C, pairs of 16 groups, 8 rhythms each, 5 of the extent
    "functionals()": (1, 4 * 16 + 8 * 6 + 2 * 2 * 6 + 120 + 128 + 5),
    "lstm()": (1, 16),
    "lstm(pool='none')": (12, 8),
    "fbank_conv()": (1, 2 * 4),
    "stacked_lstm()": (1, 4),
    "mfcc_cnn()": (1, 16),
    "logmel_image()": (1, 8),
    "resnet_se()": (1, 2 * 16),
    "resnet_se(pool='none')": (6, 16),  # 48 x 16 is halved three times, to 8 channels
    "whisper()": (1, 2 * 8),
    "whisper(layers='concat')": (1, 2 * 3 * 8),
    "whisper(layers='concat', pool='none')": (24, 3 * 8),
    "embedding()": (1, 2 * 6),
    "embedding(pool='none')": (23, 6),  # 768 samples, 64 every 32
    "embedding(output='mean')": (1, 6),
}


@pytest.mark.parametrize("choice", CASES)
def test_contract(choice, reloaded):
    model, inputs = built(choice), batch()
    values, mask = answered(model, inputs)
    assert values.shape[:2] == mask.shape == (3, mask.shape[1])
    assert values.ndim == 3
    assert values.dtype == mask.dtype == np.float32
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(mask.max(axis=1), [1, 1, 0])  # no audio gives no token
    # rows are independent
    alone = answered(model, {name: array[1:2] for name, array in inputs.items()})
    np.testing.assert_allclose(alone.values[0], values[1], atol=1e-5)
    # values beyond the end of the audio are ignored
    louder = {**inputs, "audio": np.where(inputs["audio_mask"][..., None] > 0, inputs["audio"], 9)}
    np.testing.assert_array_equal(answered(model, louder).values, values)
    again = answered(reloaded(model), inputs)
    np.testing.assert_array_equal(again.values, values)
    np.testing.assert_array_equal(again.mask, mask)


def trainable(choice: str) -> bool:
    return choices.needs_training("audio", choice)


@pytest.mark.parametrize("choice", [case for case in CASES if not trainable(case)])
def test_branches_listed_without_weights_have_none(choice):
    assert built(choice).weights == []


@pytest.mark.parametrize("choice", [case for case in CASES if trainable(case)])
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


@pytest.mark.parametrize(("choice", "shape"), SHAPES.items())
def test_documented_shapes(choice, shape):
    name, arguments = choices.parse(choice)
    arguments = {**choices.parse(f"{name}({SMALL[name]})")[1], **arguments}
    written = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    assert built(f"{name}({written})").outputs[0].shape[1:] == shape


@pytest.mark.parametrize("name", AUDIO_BRANCHES)
def test_documented(name):
    text = AUDIO_BRANCHES[name].function.__doc__ or ""
    assert "Shapes:" in text
    assert "Source:" in text
    assert all(f"{argument}:" in text for argument in ENTRIES[name].arguments)


@pytest.mark.parametrize("frames", [691, 692])
def test_fbank_conv_is_the_published_one(frames):
    model = built("fbank_conv", frames, 23)
    assert model.outputs[0].shape == (None, 1, 5760)
    assert model.count_params() == 10 * 23 * 128 + 128 == 29_568


def test_stacked_lstm_stops_at_the_end_of_the_audio():
    """The token of a padded clip is that of the clip alone, cut where it ends."""
    inputs = batch(2)
    padded = built("stacked_lstm(units=4)")
    whole = built("stacked_lstm(units=4)", 30)
    whole.set_weights(padded.get_weights())
    short = {name: array[:1, :30] for name, array in inputs.items()}
    expected = answered(whole, short).values[0]
    np.testing.assert_allclose(answered(padded, inputs).values[0], expected, atol=1e-6)


def test_lstm_mask_is_never_empty():
    """The mask that cuDNN needs: ones first, then zeros, and at least one."""
    mask = np.array([[1, 1, 0], [0, 0, 0]], np.float32)
    found = np.asarray(never_empty(mask))
    assert found.dtype == bool
    assert found.tolist() == [[True, True, False], [True, False, False]]


def test_wrong_arguments():
    with pytest.raises(UserError, match="pool is 'max'; it must be attention, mean_std or none"):
        built("conv1d(pool='max')")
    with pytest.raises(UserError, match="blocks is 9; it must be fewer for clips of 48 frames"):
        built("conv1d(blocks=9)")
    with pytest.raises(UserError, match="kernel is 40; it must be less for clips of 48 frames"):
        built("fbank_conv(kernel=40)")
    with pytest.raises(UserError, match="layers is 0; it must be at least 1"):
        built("stacked_lstm(layers=0)")

"""Audio branches on spectrogram images: published sizes, no effect of padding.

``test_audio_branches`` tests their contract with all the others.
"""

from __future__ import annotations

import itertools
import math

import keras
import numpy as np
import pytest
from audio_nets import BANDS, FRAMES, answered, batch, built

from emorec_tf.errors import UserError
from emorec_tf.models.audio import image_nets


def convolution(kernel: int, channels: int, filters: int) -> int:
    return kernel**2 * channels * filters + filters


def dense(inputs: int, units: int) -> int:
    return inputs * units + units


def test_mfcc_cnn_is_the_published_one():
    """5 x 5 x 128 twice, 3 x 3 of 128, 256, 256; 6 x 6 x 256 into 4096 twice."""
    sizes = [(5, 1, 128), (5, 128, 128), (3, 128, 128), (3, 128, 256), (3, 256, 256)]
    expected = sum(itertools.starmap(convolution, sizes))
    expected += dense(6 * 6 * 256, 4096) + dense(4096, 4096)
    model = built("mfcc_cnn", 282, 20)
    assert model.outputs[0].shape == (None, 1, 4096)
    assert model.count_params() == expected == 55_980_032
    pools = [x for x in model.layers if isinstance(x, keras.layers.MaxPooling2D)]
    assert [x.output.shape[1:] for x in pools] == [(140, 9, 128), (69, 4, 128), (34, 1, 256)]


def test_logmel_image_has_as_many_features_as_alexnet():
    model = built("logmel_image(dense=2, features=3)", 282, 128)
    flat = next(x for x in model.layers if isinstance(x, keras.layers.Flatten))
    assert flat.output.shape == (None, 6 * 6 * 256)
    strides = [x.strides for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert strides == [(4, 4), (1, 1), (1, 1), (1, 1), (1, 1)]
    assert built("logmel_image(width=0.1, dense=2)", 282, 128).outputs[0].shape == (None, 1, 1000)


@pytest.mark.parametrize("size", [1, 3, 5, 6, 13, 34, 36])
def test_averages_follow_torchs_rule(size):
    """Part i of 6 goes from floor(i n / 6) to ceil((i + 1) n / 6)."""
    series = np.random.default_rng(0).normal(size=(2, 3, size)).astype(np.float32)
    found = image_nets.averages(series, 6, axis=2)
    for i in range(6):
        part = series[..., math.floor(i * size / 6) : math.ceil((i + 1) * size / 6)]
        np.testing.assert_allclose(found[..., i], part.mean(axis=2), atol=1e-6)


def test_averages_of_a_long_input_equal_keras():
    image = np.random.default_rng(0).normal(size=(2, 34, 7, 3)).astype(np.float32)
    ours = image_nets.averages(image_nets.averages(image, 6, axis=1), 6, axis=2)
    theirs = keras.layers.AdaptiveAveragePooling2D(6)(image)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(("frames", "pool"), [(49, "attention"), (61, "mean_std"), (96, "none")])
def test_resnet_se_does_not_depend_on_the_padding(frames, pool):
    choice = f"resnet_se(width=4, blocks=(1, 2), pool='{pool}')"
    inputs = batch(2)
    short, long = built(choice), built(choice, frames)
    random = np.random.default_rng(0)
    long.set_weights([w + random.uniform(0.1, 0.5, w.shape) for w in short.get_weights()])
    short.set_weights(long.get_weights())  # shifts of the batch norms that fill the padding
    further = {
        name: np.pad(array, [(0, 0), (0, frames - FRAMES), (0, 0)][: array.ndim])
        for name, array in inputs.items()
    }
    ours, theirs = answered(short, inputs).values[0], answered(long, further).values[0]
    theirs = theirs[: len(ours)]  # without pooling there are more tokens, of padding
    np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-4)


def test_wrong_arguments():
    with pytest.raises(UserError, match="norm is 'layer'; it must be batch or none"):
        built("mfcc_cnn(norm='layer')")
    with pytest.raises(UserError, match="side of the image is 8; it must be at least 15"):
        built("mfcc_cnn", FRAMES, 8)
    for blocks in ("()", "(0, 1)", "(1.5,)"):
        with pytest.raises(UserError, match=r"blocks is .*; it must be whole numbers above 0"):
            built(f"resnet_se(blocks={blocks})", FRAMES, BANDS)

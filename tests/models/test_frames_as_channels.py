"""frames_as_channels: published sizes, one z-score for all pixels, zero where missing."""

from __future__ import annotations

from itertools import pairwise

import keras
import numpy as np
import pytest

from emorec_tf.errors import UserError
from emorec_tf.models.face.frames_as_channels import frames_as_channels, scalar_scores


def built(frames: int | None = 8, pixels: int = 100, channels: int = 1, **arguments) -> keras.Model:
    inputs = {
        "faces": keras.Input((frames, pixels, pixels, channels), name="faces", dtype="uint8"),
        "face_mask": keras.Input((frames,), name="face_mask"),
    }
    return keras.Model(inputs, list(frames_as_channels(inputs, **arguments)))


def trainable(model: keras.Model) -> int:
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


def test_eight_faces_of_100_pixels_have_the_published_sizes():
    model = built()
    assert model.output_shape[0] == (None, 1, 64 * 10 * 10)
    widths = (8, 16, 32, 64)
    weights = sum(25 * a * b + b for a, b in pairwise(widths))
    assert trainable(model) == weights == 67_312


def test_sizes_follow_the_arguments():
    model = built(frames=3, pixels=40, filters=4, blocks=2, kernel=3)
    assert trainable(model) == (9 * 3 * 4 + 4) + (9 * 4 * 8 + 8)
    assert model.output_shape[0] == (None, 1, 8 * 10 * 10)


def test_pixels_are_standardised_over_real_frames():
    pixels, mask = keras.Input((3, 25)), keras.Input((3,))
    model = keras.Model([pixels, mask], scalar_scores(pixels, mask))
    random = np.random.default_rng(0)
    values = random.normal(7, 3, (16, 3, 25)).astype(np.float32)
    real = np.ones((16, 3), np.float32)
    real[::2, 2] = 0
    values[::2, 2] = 1000  # would move the mean if it counted
    for _ in range(100):
        model([values, real], training=True)
    found = np.asarray(model([values, real]))
    real_pixels = values[real > 0]
    np.testing.assert_allclose(
        found[real > 0], (real_pixels - real_pixels.mean()) / real_pixels.std(), atol=1e-3
    )  # over all pixels at once
    assert not found[real == 0].any()
    assert not model.trainable_variables


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": None}, "frames_as_channels needs as many frames .* --train_frames 0"),
        ({"channels": 3}, "face_channels is 3; it must be 1 for frames_as_channels"),
        ({"pixels": 12}, "side of a crop is 12; it must be larger for 3 blocks of kernel 5"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        built(**arguments)

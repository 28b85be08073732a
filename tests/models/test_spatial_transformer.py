"""Affine sampling against closed forms and SciPy; the localisation net starts as identity."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from emorec_tf.models.face.spatial_transformer import AffineSampling, spatial_transformer

HEIGHT, WIDTH = 9, 13


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(size=(2, HEIGHT, WIDTH, 3)).astype(np.float32)


def sampled(images, change) -> np.ndarray:
    changes = np.broadcast_to(np.array(change, np.float32), (len(images), 6))
    return np.asarray(AffineSampling()(images, changes))


def test_identity(images):
    np.testing.assert_allclose(sampled(images, np.zeros(6)), images, atol=1e-6)


def test_shift_by_whole_pixels_repeats_the_edge(images):
    shift = [0, 0, 2 * 3 / (WIDTH - 1), 0, 0, -2 * 2 / (HEIGHT - 1)]  # 3 to the right, 2 up
    rows = np.clip(np.arange(HEIGHT) - 2, 0, None)
    columns = np.clip(np.arange(WIDTH) + 3, None, WIDTH - 1)
    np.testing.assert_allclose(sampled(images, shift), images[:, rows][:, :, columns], atol=1e-5)


def test_half_a_pixel_is_the_mean_of_two(images):
    found = sampled(images, [0, 0, 1 / (WIDTH - 1), 0, 0, 0])[:, :, :-1]
    np.testing.assert_allclose(found, (images[:, :, :-1] + images[:, :, 1:]) / 2, atol=1e-5)


def test_mirror(images):
    np.testing.assert_allclose(sampled(images, [-2, 0, 0, 0, 0, 0]), images[:, :, ::-1], atol=1e-5)


def test_sampling_equals_scipy(images):
    change = np.random.default_rng(1).normal(0, 0.2, (2, 3))
    affine = change + np.eye(2, 3)
    half = np.array([WIDTH - 1, HEIGHT - 1]) / 2  # -1 ... 1 to pixels, x then y
    turn = (half[:, None] * affine[:, :2] / half)[::-1, ::-1]  # y then x
    start = (half * (affine[:, 2] + 1))[::-1] - turn @ half[::-1]
    found = sampled(images, change.ravel())
    for image, got in zip(images, found, strict=True):
        for channel in range(3):
            wanted = scipy.ndimage.affine_transform(
                image[..., channel], turn, start, order=1, mode="nearest"
            )
            np.testing.assert_allclose(got[..., channel], wanted, atol=1e-4)


def test_gradient_on_a_slope():
    rows, columns = np.linspace(-1, 1, HEIGHT), np.linspace(-1, 1, WIDTH)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    slope = (3 * x - 2 * y + 1).astype(np.float32)[None, :, :, None]
    weights = np.random.default_rng(2).normal(size=slope.shape).astype(np.float32)
    change = tf.Variable([[-0.3, 0.05, 0.1, 0.02, -0.2, -0.1]])  # never beyond the image
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(AffineSampling()(slope, change) * weights)
    sums = [(weights[0, ..., 0] * along).sum() for along in (x, y, np.ones_like(x))]
    wanted = [*(3 * s for s in sums), *(-2 * s for s in sums)]
    np.testing.assert_allclose(tape.gradient(loss, change)[0], wanted, rtol=1e-3, atol=1e-3)


def test_a_new_net_changes_nothing_and_a_moved_one_is_saved(reloaded):
    faces = np.random.default_rng(0).uniform(size=(3, 48, 48, 1)).astype(np.float32)
    entry = keras.Input((48, 48, 1))
    model = keras.Model(entry, spatial_transformer(entry))
    assert model.count_params() == 520 + 10_020 + (9 * 9 * 20 * 20 + 20) + 126
    np.testing.assert_allclose(model(faces), faces, atol=1e-5)
    for weight in model.layers[-2].weights:  # of the localisation
        weight.assign(np.random.default_rng(1).normal(0, 0.1, weight.shape))
    moved = np.asarray(model(faces))
    assert np.abs(moved - faces).max() > 0.1
    np.testing.assert_array_equal(reloaded(model)(faces), moved)

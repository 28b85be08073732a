"""landmark_distances: six distances by hand, independent of size; the published weight count."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from emorec_tf.errors import UserError
from emorec_tf.models.face.landmark_distances import landmark_distances, six_distances


def built(frames: int | None = 8, **arguments) -> keras.Model:
    inputs = {
        "face_mask": keras.Input((frames,), name="face_mask"),
        "mesh": keras.Input((frames, 478, 3), name="mesh"),
        "mesh_mask": keras.Input((frames,), name="mesh_mask"),
    }
    return keras.Model(inputs, list(landmark_distances(inputs, **arguments)))


def test_with_a_class_layer_it_has_the_published_number_of_weights():
    model = built()
    logits = keras.layers.Dense(4)(model.outputs[0][:, 0])
    whole = keras.Model(model.inputs, logits)
    found = sum(int(np.prod(v.shape)) for v in whole.trainable_variables)
    assert found == (48 * 128 + 128) + (128 * 128 + 128) + (128 * 4 + 4) == 23_300


def test_six_distances_by_hand():
    points = np.random.default_rng(0).normal(size=(68, 3)).astype(np.float32)
    p = points[:, :2].astype(float)

    def d(one: int, other: int) -> float:
        return float(np.hypot(*(p[one] - p[other])))

    wanted = [
        (d(39, 18) + d(39, 19) + d(39, 20) + d(39, 21)) / d(21, 39),
        (d(42, 22) + d(42, 23) + d(42, 24) + d(42, 25)) / d(22, 42),
        (d(33, 48) + d(33, 49) + d(33, 50)) / d(33, 51),
        (d(33, 52) + d(33, 53) + d(33, 54)) / d(33, 51),
        d(48, 54) / d(36, 45),
        d(51, 57) / d(36, 45),
    ]
    np.testing.assert_allclose(np.asarray(six_distances(points)), wanted, rtol=1e-4)


def test_neither_size_nor_place_nor_depth_counts():
    points = np.random.default_rng(0).normal(100, 30, (2, 68, 3)).astype(np.float32)
    other = points * 3 + 50
    other[..., 2] = 0
    found = np.asarray(six_distances(points))
    np.testing.assert_allclose(np.asarray(six_distances(other)), found, rtol=1e-4)


def test_coinciding_points_give_finite_distances():
    assert np.isfinite(np.asarray(six_distances(np.zeros((1, 68, 3), np.float32)))).all()


def test_a_varying_number_of_frames_is_refused():
    with pytest.raises(UserError, match=r"landmark_distances needs as many .* --train_frames 0"):
        built(frames=None)

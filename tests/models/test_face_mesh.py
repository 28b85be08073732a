"""face_mesh: features are independent of position, size, tilt and identity."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from emorec_tf.errors import UserError
from emorec_tf.features.mesh_points import LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS
from emorec_tf.models.face.mesh import face_mesh, mesh_features
from emorec_tf.models.face.mesh_geometry import upright
from emorec_tf.models.layers import Tokens

PARTS_POINTS, LOCAL = 92, 281


def mesh(seed: int = 0, clips: int = 2, count: int = 3) -> np.ndarray:
    points = np.random.default_rng(seed).normal(100, 20, (clips, count, 478, 3))
    points[..., LEFT_EYE_CORNERS, :2] += [-60, 0]
    points[..., RIGHT_EYE_CORNERS, :2] += [60, 0]
    return points.astype(np.float32)


def built(frames: int | None = 3, **arguments) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = {
        "face_mask": keras.Input((frames,), name="face_mask"),
        "mesh": keras.Input((frames, 478, 3), name="mesh"),
        "mesh_mask": keras.Input((frames,), name="mesh_mask"),
    }
    return keras.Model(inputs, list(face_mesh(inputs, **arguments)))


@pytest.mark.parametrize(
    ("arguments", "width"),
    [
        ({"subset": "all", "deltas": False, "local": False}, 478 * 3),
        ({"subset": "parts", "deltas": True, "local": False}, 2 * PARTS_POINTS * 3),
        ({"subset": "parts", "deltas": True, "local": True}, 2 * PARTS_POINTS * 3 + LOCAL),
    ],
)
def test_widths(arguments, width):
    found = mesh_features(mesh(), np.ones((2, 3), np.float32), **arguments)
    assert found.shape == (2, 3, width)


def test_motion_features_do_not_depend_on_identity():
    mask = np.array([[1, 1, 0], [1, 1, 1]], np.float32)
    still = np.asarray(upright(mesh()))
    eyes = [*LEFT_EYE_CORNERS, *RIGHT_EYE_CORNERS]  # upright coordinates are unchanged
    identity = np.random.default_rng(1).normal(0, 0.3, (2, 1, 478, 3)).astype(np.float32)
    identity[:, :, eyes] = 0
    arguments: dict[str, Any] = {"subset": "all", "deltas": True, "local": False}
    one, other = (
        np.asarray(mesh_features(points, mask, **arguments))[..., 478 * 3 :]
        for points in (still, still + identity)
    )
    np.testing.assert_allclose(one, other, atol=1e-4)
    np.testing.assert_allclose((one * mask[..., None]).sum(axis=1), 0, atol=1e-3)


def test_place_size_and_tilt_change_no_token():
    model, points = built(units=8), mesh()
    turn = np.array([[0.8, -0.6], [0.6, 0.8]]) * 1.7
    other = np.concatenate([points[..., :2] @ turn.T + 40, points[..., 2:] * 1.7], axis=-1)
    masks = {"face_mask": np.ones((2, 3)), "mesh_mask": np.ones((2, 3))}
    one, moved = (
        Tokens(*model.predict_on_batch({**masks, "mesh": p.astype(np.float32)}))
        for p in (points, other)
    )
    np.testing.assert_allclose(one.values, moved.values, atol=1e-3)


def test_any_number_of_frames():
    model = built(frames=None, units=8)
    masks = {"face_mask": np.ones((2, 5)), "mesh_mask": np.ones((2, 5))}
    assert model.predict_on_batch({**masks, "mesh": mesh(count=5)})[0].shape == (2, 5, 8)


def test_an_unknown_subset_is_refused():
    with pytest.raises(UserError, match="subset is 'nose'; it must be all or parts"):
        built(subset="nose")

"""mesh_geometry: the effect of shifting, scaling and rotating the image."""

from __future__ import annotations

import numpy as np
import pytest

from emorec_tf.errors import UserError
from emorec_tf.features.mesh_points import LEFT_EYE_CORNERS, PARTS, RIGHT_EYE_CORNERS
from emorec_tf.models.face import mesh_geometry


def face(seed: int = 0, count: int = 2) -> np.ndarray:
    """Random points with plausible eyes: [1, count, 478, 3]."""
    mesh = np.random.default_rng(seed).normal(100, 20, (1, count, 478, 3)).astype(np.float32)
    mesh[..., LEFT_EYE_CORNERS, :2] = [[60, 80], [80, 82]]
    mesh[..., RIGHT_EYE_CORNERS, :2] = [[140, 84], [120, 81]]
    return mesh


def moved(mesh: np.ndarray, angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    flat = mesh[..., :2] @ turn.T + shift
    return np.concatenate([flat, mesh[..., 2:] * scale], axis=-1).astype(np.float32)


def test_upright_puts_the_eyes_level_and_one_unit_apart():
    found = np.asarray(mesh_geometry.upright(face()))[0, 0]
    left, right = (found[list(c)].mean(0) for c in (LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS))
    np.testing.assert_allclose(left[:2], [-0.5, 0], atol=1e-5)
    np.testing.assert_allclose(right[:2], [0.5, 0], atol=1e-5)


def test_upright_undoes_place_size_and_tilt():
    mesh = face()
    found = np.asarray(mesh_geometry.upright(moved(mesh, 0.4, 2.5, (30, -70))))
    np.testing.assert_allclose(found, np.asarray(mesh_geometry.upright(mesh)), atol=1e-4)


def test_parts_are_in_their_own_coordinates():
    mesh = np.asarray(mesh_geometry.upright(face()))
    found = np.asarray(mesh_geometry.by_part(mesh))
    assert found.shape == (1, 2, 3 * sum(map(len, PARTS.values())) + len(PARTS))
    raised = mesh.copy()
    raised[..., PARTS["left brow"], :] = mesh[..., PARTS["left brow"], :] * 1.5 + [0.1, -0.4, 0.2]
    other = np.asarray(mesh_geometry.by_part(raised))
    np.testing.assert_allclose(other[..., :-5], found[..., :-5], atol=1e-4)
    sizes = (other - found)[..., -5:]
    brow = list(PARTS).index("left brow")
    np.testing.assert_allclose(sizes[..., brow], np.log(1.5), atol=1e-4)
    np.testing.assert_allclose(np.delete(sizes, brow, axis=-1), 0, atol=1e-5)


def test_no_mesh_gives_finite_numbers():
    nothing = np.zeros((1, 2, 478, 3), np.float32)
    assert np.isfinite(np.asarray(mesh_geometry.by_part(mesh_geometry.upright(nothing)))).all()
    assert not np.asarray(mesh_geometry.upright(nothing)).any()


def test_a_hidden_face_hides_its_mesh():
    inputs = {
        "mesh": face(),
        "mesh_mask": np.ones((2, 2), np.float32),
        "face_mask": np.array([[0, 1], [0, 0]], np.float32),
    }
    _, mask = mesh_geometry.mesh_of(inputs, "face_mesh")
    np.testing.assert_array_equal(np.asarray(mask), [[1, 1], [0, 0]])


def test_without_mesh_the_error_names_the_flag():
    message = "face branch face_mesh needs mesh points; prepare with --face_mesh"
    with pytest.raises(UserError, match=message):
        mesh_geometry.mesh_of({"faces": np.zeros(1)}, "face_mesh")

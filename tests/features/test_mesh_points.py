"""mesh_points: mirror images, parts and dlib's points, against MediaPipe's tables and a face."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from places import DATA

from emorec_tf.features.mesh_points import DLIB_68, MESH_POINTS, MIDDLE, MIRRORED, PARTS

CLIP = "ravdess/clips/Actor_02/01-01-08-02-01-01-02.mp4"

# The same face in a mirror, by dlib's places: jaw, brows, nose, eyes, lips.
DLIB_MIRRORED = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *(27, 28, 29, 30, 35, 34, 33, 32, 31),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
    *(64, 63, 62, 61, 60, 67, 66, 65),
)


def connections(name: str) -> set[tuple[int, int]]:
    """MediaPipe's own lines of the mesh, wherever the installed version keeps them."""
    try:
        module = importlib.import_module("mediapipe.python.solutions.face_mesh_connections")
        lines = getattr(module, f"FACEMESH_{name.upper()}")
        return {(min(line), max(line)) for line in lines}
    except ImportError:
        vision = pytest.importorskip("mediapipe").tasks.vision
        lines = getattr(vision.FaceLandmarksConnections, f"FACE_LANDMARKS_{name.upper()}")
        return {(min(x.start, x.end), max(x.start, x.end)) for x in lines}


def test_mirroring_twice_is_the_identity():
    mirror = np.array(MIRRORED)
    np.testing.assert_array_equal(mirror[mirror], np.arange(MESH_POINTS))
    assert set(np.flatnonzero(mirror == np.arange(MESH_POINTS))) == set(MIDDLE)


def test_the_mesh_is_the_same_in_a_mirror():
    lines = connections("tesselation")
    mirrored = {tuple(sorted((MIRRORED[a], MIRRORED[b]))) for a, b in lines}
    assert len(lines) > 1300
    assert len(lines & mirrored) >= len(lines) - 6  # six squares are halved the other way


@pytest.mark.parametrize(
    ("part", "outline"),
    [
        ("lips", "lips"),
        ("left eye", "right_eye"),
        ("right eye", "left_eye"),
        ("left brow", "right_eyebrow"),
        ("right brow", "left_eyebrow"),
    ],
)
def test_parts_are_those_of_mediapipe(part, outline):
    found = {point for line in connections(outline) for point in line}
    assert set(PARTS[part]) == found
    assert len(PARTS[part]) == len(found)


def test_parts_of_left_and_right_are_mirror_images():
    assert sorted(MIRRORED[p] for p in PARTS["lips"]) == sorted(PARTS["lips"])
    for part in ("eye", "brow"):
        assert [MIRRORED[p] for p in PARTS[f"left {part}"]] == list(PARTS[f"right {part}"])


def test_dlibs_points_are_mirrored_as_dlib_counts_them():
    assert len(set(DLIB_68)) == len(DLIB_68) == 68
    assert [MIRRORED[p] for p in DLIB_68] == [DLIB_68[i] for i in DLIB_MIRRORED]


@pytest.mark.data(CLIP)
def test_points_on_a_real_face():
    from emorec_tf.features import face_detection
    from emorec_tf.media import decode

    video = decode.decode(
        str(DATA / CLIP), sample_rate_hz=8000, clip_seconds=4.0, frame_count=3, want_audio=False
    )
    mesh = face_detection.face_mesh()(video.frames[1])
    assert mesh is not None
    x, y = mesh[list(DLIB_68), :2].T  # an almost frontal, level face
    for group in (range(2, 15), range(17, 27), range(31, 36), (36, 39, 42, 45), range(48, 55)):
        assert (np.diff(x[list(group)]) > 0).all(), f"{group} run from the image's left to right"
    assert (np.diff(y[:9]) > 0).all(), "the jaw goes down to the chin"
    assert (np.diff(y[8:17]) < 0).all()
    assert (np.diff(y[27:34][[0, 1, 2, 3, 6]]) > 0).all(), "the nose goes down"
    assert y[17:27].max() < y[36:48].min(), "brows are above the eyes"
    assert (y[[37, 38, 43, 44]] < y[[41, 40, 47, 46]]).all(), "upper lids above lower"
    assert y[30] < y[33] < y[51] < y[62] < y[66] < y[57] < y[8], "nose, lips, chin"
    middle = [i for i in range(68) if DLIB_MIRRORED[i] == i]
    assert np.ptp(x[middle]) < 0.1 * (x[45] - x[36]), "the middle line is upright"

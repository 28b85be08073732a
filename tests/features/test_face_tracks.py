"""face_tracks: regions in closed form, tracks as arrays, mesh positions."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from drawn_frames import EYES, drawn_face, gradients

from emorec_tf.features import face_detection, face_tracks
from emorec_tf.features.face_detection import Face
from emorec_tf.features.face_tracks import REGION_PIXELS, region_of, track_frame


def test_a_region_is_the_square_of_two_boxes_around_the_face() -> None:
    frame = track_frame(gradients(), Face(150, 100, 50, 60, 1.0), 0.5)
    region = region_of(frame)
    assert region.shape == (120, 120, 3)
    assert (frame.left, frame.top) == (115, 70)
    assert (frame.face.x, frame.face.y, frame.face.width) == (35, 30, 50)
    rows, columns = np.mgrid[70:190, 115:235]
    assert np.abs(region[..., 0] * 2.0 - columns).max() <= 8  # JPEG
    assert np.abs(region[..., 1] * 2.0 - rows).max() <= 8


def test_a_region_is_cut_at_the_frames_edge() -> None:
    frame = track_frame(gradients(), Face(-20, 260, 60, 60, 1.0), 0.0)
    assert region_of(frame).shape == (70, 70, 3)
    assert (frame.left, frame.top) == (0, 230)
    assert (frame.face.x, frame.face.y) == (-20, 30)
    outside = track_frame(gradients(), Face(900, 900, 60, 60, 1.0), 0.0)
    assert region_of(outside).shape == (1, 1, 3)


def test_large_regions_are_reduced_and_the_face_with_them() -> None:
    image = cv2.resize(drawn_face(), (3200, 2400))
    eyes = [(10 * x + 4.5, 10 * y + 4.5) for x, y in EYES]
    face = Face(980, 400, 1240, 1600, 1.0, *eyes)
    frame = track_frame(image, face, 0.0)
    region = region_of(frame)
    assert max(region.shape[:2]) == REGION_PIXELS
    # Iris and pupil are the darkest where the eyes should be.
    for x, y in (frame.face.left_eye, frame.face.right_eye):
        assert region[round(y), round(x)].max() < 40
    settings: dict[str, Any] = {"size_pixels": 48, "margin": 0.1, "align": True}
    straight = face_detection.crop(image, face, **settings).astype(float)
    kept = face_tracks.crop_of(frame, channels=3, **settings)
    assert np.abs(kept - straight).mean() < 5
    grey = face_tracks.crop_of(frame, channels=1, **settings)[..., 0]
    assert np.abs(grey - straight @ [0.299, 0.587, 0.114]).mean() < 5


@pytest.mark.parametrize("size_pixels", [16, 40, 90, 200])
@pytest.mark.parametrize("align", [False, True])
def test_a_crop_is_the_same_however_small_the_jpeg_is_read(size_pixels: int, align: bool) -> None:
    face = Face(98, 40, 124, 160, 1.0, *EYES)
    frame = track_frame(drawn_face(), face, 0.0)
    settings: dict[str, Any] = {"size_pixels": size_pixels, "margin": 0.2, "align": align}
    wanted = face_detection.crop(region_of(frame), frame.face, **settings).astype(float)
    got = face_tracks.crop_of(frame, channels=3, **settings)
    assert got.shape == (size_pixels, size_pixels, 3)
    assert np.abs(got - wanted).mean() < 5
    shifted = np.abs(np.roll(got, 1, axis=1) - wanted).mean()  # half a pixel of error would show
    assert np.abs(got - wanted).mean() < shifted / 2


def test_mesh_eyes_are_in_pixels_of_the_region() -> None:
    face = Face(980, 400, 1240, 1600, 1.0, *((1280.0, 980.0), (1920.0, 980.0)))
    frame = track_frame(gradients(2200, 3000), face, 0.0)
    assert frame.scale_x < 1
    points = np.zeros((478, 3), np.float32)
    points[[33, 133], 0], points[[263, 362], 0] = (1200, 1360), (2000, 1840)
    points[:, 1] = 980.5  # counted from edges: the middle of the pixel 980
    moved = face_tracks.by_mesh(frame, points).face
    wanted = face_tracks.within(
        Face(980, 400, 1240, 1600, 1.0, (1279.5, 980.0), (1919.5, 980.0)),
        frame.left,
        frame.top,
        frame.scale_x,
        frame.scale_y,
    )
    np.testing.assert_allclose(moved.left_eye, wanted.left_eye)
    np.testing.assert_allclose(moved.right_eye, wanted.right_eye)
    assert face_tracks.by_mesh(track_frame(gradients(60, 80), None, 0.0), points).face is None


def test_without_a_face_the_whole_frame_is_kept() -> None:
    frame = track_frame(gradients(600, 800), None, 0.0)
    assert region_of(frame).shape == (288, 384, 3)
    assert face_tracks.crop_of(frame, size_pixels=8, margin=0, align=True, channels=1) is None


def test_a_track_follows_the_face_and_comes_back_from_arrays() -> None:
    far, near = Face(300, 0, 80, 80, 0.9), Face(10, 10, 60, 60, 0.8, (20, 30), (50, 30))
    answers = [[near], [], [far, near], [far]]
    frames = face_tracks.track(((i / 6, gradients()) for i in range(4)), lambda _: answers.pop(0))
    assert [frame.left for frame in frames] == [0, 0, 0, 260]
    assert [frame.face is None for frame in frames] == [False, True, False, False]
    assert frames[3].face.left_eye is None
    assert face_tracks.from_arrays(face_tracks.to_arrays(frames)) == frames
    assert face_tracks.from_arrays(face_tracks.to_arrays([])) == []


def test_mesh_of_a_small_face_fits_its_eyes() -> None:
    mesh = face_detection.face_mesh()
    image = np.full((720, 1280, 3), 205, np.uint8)
    image[400:460, 900:980] = cv2.resize(drawn_face(), (80, 60), interpolation=cv2.INTER_AREA)
    assert mesh(image) is None
    points = face_tracks.points_of(track_frame(image, Face(925, 415, 30, 35, 1.0), 0.0), mesh)
    expected = np.array(EYES) / 4 + (900, 400)
    np.testing.assert_allclose(points[[468, 473], :2], expected, atol=3)
    large = cv2.resize(drawn_face(), (3200, 2400))
    points = face_tracks.points_of(track_frame(large, Face(980, 400, 1240, 1600, 1.0), 0.0), mesh)
    np.testing.assert_allclose(points[[468, 473], :2], np.array(EYES) * 10, atol=60)
    assert face_tracks.points_of(track_frame(gradients(), None, 0.0), mesh) is None


def test_the_main_face_is_followed_where_the_frames_size_changes() -> None:
    left, right = Face(40, 60, 60, 80, 0.9), Face(250, 40, 100, 130, 0.9)
    halves = [face_tracks.resized(face, (300, 400), (150, 200)) for face in (right, left)]
    found: dict[tuple[int, ...], list[Any]] = {
        (300, 400): [left],
        (150, 200): halves,
        (600, 200): [],
    }

    def detect(image: np.ndarray) -> list[Face]:
        return found[image.shape[:2]]

    sizes = [(300, 400), (150, 200), (600, 200), (150, 200)]
    images = [(float(at), gradients(*size)) for at, size in enumerate(sizes)]
    tracked = face_tracks.track(images, detect)
    widths = [round(frame.face.width / frame.scale_x) for frame in tracked if frame.face]
    assert widths == [60, 30, 30]  # not the larger face, which came later


def test_a_face_of_another_size_of_frame_has_its_place() -> None:
    face = Face(40, 60, 60, 80, 0.9, (60.5, 90.5), (80.5, 90.5))
    assert face_tracks.resized(face, (300, 400), (300, 400)) is face
    assert face_tracks.resized(None, (300, 400), (30, 40)) is None
    assert face_tracks.resized(face, None, (30, 40)) is face
    moved = face_tracks.resized(face, (300, 400), (600, 200))
    assert moved == Face(20, 120, 30, 160, 0.9, (30.0, 181.5), (40.0, 181.5))

"""MediaPipe's face networks run by LiteRT: against MediaPipe itself, OpenCV and what is shipped."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_frames import EYES, drawn_face
from places import DATA, ROOT

from emorec_tf.errors import SetupError
from emorec_tf.features import attention_mesh, blazeface, face_detection, mediapipe_faces
from emorec_tf.features.lite_net import FACE_MODELS
from emorec_tf.features.mesh_points import PARTS
from emorec_tf.media import decode

CLIPS = DATA / "ravdess" / "clips"
NATIVE = "ravdess/native/Actor_01"
needs_whole_mediapipe = pytest.mark.skipif(
    not mediapipe_faces.is_complete(), reason="no MediaPipe that contains the mesh"
)


def real_frames() -> list[np.ndarray]:
    """Frames of 224 pixels whose faces fill them, and of 1280 x 720."""
    paths = [CLIPS / f"Actor_{a}" / f"01-01-05-01-01-01-{a}.mp4" for a in ("01", "08", "17", "19")]
    paths += sorted((DATA / NATIVE).glob("*.mp4"))[:1]
    wanted = {"sample_rate_hz": 16_000, "clip_seconds": None, "frame_count": 4}
    return [image for path in paths for image in decode.decode(str(path), **wanted).frames]


@pytest.fixture
def without_mediapipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mediapipe_faces, "is_complete", lambda: False)
    monkeypatch.setitem(sys.modules, "mediapipe", None)


def test_the_shipped_files_are_those_of_the_checksums() -> None:
    lines = (FACE_MODELS / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    sums = {name: content for content, name in (line.split("  ") for line in lines)}
    assert set(sums) == {path.name for path in FACE_MODELS.glob("*.tflite")}
    for name, wanted in sums.items():
        assert hashlib.sha256((FACE_MODELS / name).read_bytes()).hexdigest() == wanted
    notice = (FACE_MODELS / "NOTICE").read_text(encoding="utf-8")
    assert all(name in notice for name in sums)
    assert "Apache License" in (FACE_MODELS / "LICENSE").read_text(encoding="utf-8")


@needs_whole_mediapipe
def test_the_shipped_files_are_made_of_mediapipes(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("made", ROOT / "scripts" / "face_models.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for name, content in script.models().items():
        assert content == (FACE_MODELS / name).read_bytes(), name


@pytest.mark.usefixtures("without_mediapipe")
def test_a_drawn_face_is_found_without_mediapipe() -> None:
    detect, mesh = face_detection.mediapipe(None), face_detection.face_mesh()
    (face,) = detect(drawn_face())
    np.testing.assert_allclose([face.left_eye, face.right_eye], EYES, atol=10)
    np.testing.assert_allclose(mesh(drawn_face())[[468, 473], :2], EYES, atol=8)
    grey = np.full((120, 160, 3), 128, np.uint8)
    assert detect(grey) == []
    assert mesh(grey) is None


@needs_whole_mediapipe
@pytest.mark.data("ravdess/clips", NATIVE)
def test_boxes_eyes_and_points_are_mediapipes(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = face_detection.mediapipe(None), face_detection.face_mesh()
    monkeypatch.setattr(mediapipe_faces, "is_complete", lambda: False)
    own = face_detection.mediapipe(None), face_detection.face_mesh()
    frames = [*real_frames(), drawn_face()]
    for image in frames:
        pairs = list(zip(theirs[0](image), own[0](image), strict=True))
        assert pairs
        for a, b in pairs:
            assert (a.x, a.y, a.width, a.height) == (b.x, b.y, b.width, b.height)
            np.testing.assert_allclose((*a.left_eye, *a.right_eye), (*b.left_eye, *b.right_eye),
                                       atol=1e-3)  # fmt: skip
            assert a.score == pytest.approx(b.score, abs=1e-5)
        np.testing.assert_allclose(theirs[1](image), own[1](image), atol=0.1)


def test_parts_are_those_of_the_mesh() -> None:
    assert set(attention_mesh.LIPS) > set(PARTS["lips"])
    for side, eye in (("left", attention_mesh.LEFT_EYE), ("right", attention_mesh.RIGHT_EYE)):
        assert set(eye[: attention_mesh.RIM]) == set(PARTS[f"{side} eye"])
        assert set(eye) > set(PARTS[f"{side} brow"])


@pytest.mark.parametrize("is_repeated", [True, False])
def test_reading_an_image_is_opencvs(is_repeated: bool) -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    corner, across, down = np.array([[-7.3, 12.1], [101.7, 33.0], [-33.0, 101.7]])
    found = blazeface.read(image, corner, across, down, 64, is_repeated=is_repeated)
    corners = np.array([corner, corner + across, corner + down, corner + across + down])
    targets = np.array([(0, 0), (64, 0), (0, 64), (64, 64)], np.float32)
    border = cv2.BORDER_REPLICATE if is_repeated else cv2.BORDER_CONSTANT
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), targets)
    wanted = cv2.warpPerspective(image, matrix, (64, 64), borderMode=border)
    # a place between two of 32 may go to either; OpenCV 5 does not round places
    assert np.abs(found - wanted).max() <= 1 + 255 / 32
    assert np.abs(found - wanted).mean() < (0.1 if cv2.__version__ < "5" else 1.0)


def test_anchors_stand_in_the_middle_of_their_cells() -> None:
    anchors = blazeface.anchors_of(blazeface.GRIDS)
    assert anchors.shape == (896, 2)
    np.testing.assert_allclose(anchors[[0, 1, 2]], [[1 / 32] * 2, [1 / 32] * 2, [3 / 32, 1 / 32]])
    np.testing.assert_allclose(anchors[-1], [15 / 16] * 2)


def test_boxes_of_one_face_become_their_weighted_mean() -> None:
    rows = np.zeros((3, 8, 2))
    rows[0, :2] = [[0, 0], [0.5, 0.5]]
    rows[1, :2] = [[0.1, 0], [0.6, 0.5]]
    rows[2, :2] = [[0.7, 0.7], [0.9, 0.9]]
    (first, row), (second, alone) = blazeface.blended(np.array([0.6, 0.9, 0.7]), rows)
    assert (first, second) == (0.9, 0.7)
    np.testing.assert_allclose(row[:2], [[0.06, 0], [0.56, 0.5]])
    np.testing.assert_allclose(alone, rows[2])


@pytest.mark.usefixtures("without_mediapipe")
def test_another_file_that_is_no_model(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.tflite"
    wrong.write_text("not a model")
    with pytest.raises(SetupError, match=r"wrong\.tflite: cannot be loaded as a model"):
        face_detection.mediapipe(str(wrong))


@pytest.mark.usefixtures("without_mediapipe")
def test_a_bundle_of_mediapipes_takes_mediapipe(tmp_path: Path) -> None:
    bundle = tmp_path / "face_landmarker.task"
    bundle.write_text("never read")
    with pytest.raises(SetupError, match=r"pip install 'emorec-tf\[mediapipe\]'"):
        face_detection.face_mesh(str(bundle))

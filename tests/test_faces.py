"""Crops in closed form, detectors on a drawn face and on real clips, and checked downloads."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from emorec_tf import faces, media, model_files
from emorec_tf.cache_folder import CACHE_VARIABLE
from emorec_tf.clip import SetupError, UserError
from emorec_tf.faces import Face
from emorec_tf.schema import MESH_POINTS

SHARED = Path(__file__).resolve().parents[2] / "shared"
YUNET_FILE = SHARED / "models" / "yunet" / "yunet_s_640_640.onnx"
CLIPS = SHARED / "ravdess" / "clips"
EYES = ((128.0, 105.0), (192.0, 105.0))

needs_yunet = pytest.mark.skipif(not YUNET_FILE.is_file(), reason="no YuNet beside the project")

# Not importorskip: a plain import of MediaPipe brings in TensorFlow, for many seconds.
needs_mediapipe = pytest.mark.skipif(
    importlib.util.find_spec("mediapipe") is None, reason="no MediaPipe"
)


def drawn_face() -> np.ndarray:
    """A face of 320x240 with its eyes at EYES, drawn four times larger and reduced."""
    canvas = np.full((960, 1280, 3), (200, 205, 210), np.uint8)

    def oval(x: float, y: float, rx: float, ry: float, colour: tuple[int, ...]) -> None:
        centre, axes = (round(4 * x), round(4 * y)), (round(4 * rx), round(4 * ry))
        cv2.ellipse(canvas, centre, axes, 0, 0, 360, colour, -1, cv2.LINE_AA)

    oval(160, 95, 72, 88, (60, 40, 30))
    oval(160, 250, 110, 60, (70, 90, 140))
    cv2.rectangle(canvas, (540, 700), (740, 860), (205, 160, 130), -1)
    oval(160, 120, 62, 80, (225, 180, 150))
    oval(160, 52, 58, 22, (60, 40, 30))
    for x, y in EYES:
        cv2.ellipse(canvas, (round(4 * x), 364), (66, 20), 0, 180, 360, (60, 40, 30), 14)
        oval(x, y, 14, 8, (250, 250, 250))
        oval(x, y, 7, 7, (80, 60, 40))
        oval(x, y, 3, 3, (10, 10, 10))
    cv2.polylines(
        canvas, [np.array([(640, 440), (610, 560), (670, 560)])], False, (170, 120, 95), 8
    )
    oval(160, 168, 24, 8, (180, 80, 80))
    cv2.line(canvas, (550, 670), (730, 670), (120, 40, 40), 6, cv2.LINE_AA)
    return cv2.resize(canvas, (320, 240), interpolation=cv2.INTER_AREA)


def gradients(height: int = 300, width: int = 400) -> np.ndarray:
    """Red tells the column and green the row, so a crop tells where each pixel came from."""
    rows, columns = np.mgrid[:height, :width]
    return np.dstack([columns / 2, rows / 2, rows * 0]).round().astype(np.uint8)


@pytest.mark.parametrize("size_pixels", [32, 64, 150])
def test_plain_crop_shows_the_square_around_the_box(size_pixels: int) -> None:
    face = Face(100, 80, 90, 120, 1.0)
    cut = faces.crop(gradients(), face, size_pixels=size_pixels, margin=0.25, align=False)
    assert cut.shape == (size_pixels, size_pixels, 3)
    assert cut.dtype == np.uint8
    side = 120 * 1.5
    middles = (np.arange(size_pixels) + 0.5) * side / size_pixels - 0.5
    np.testing.assert_allclose(cut[3, :, 0] * 2.0, 145 - side / 2 + middles, atol=2.5)
    np.testing.assert_allclose(cut[:, 3, 1] * 2.0, 140 - side / 2 + middles, atol=2.5)


def test_crop_of_its_own_size_is_the_picture_itself() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    cut = faces.crop(picture, Face(10, 20, 32, 32, 1.0), size_pixels=32, margin=0.0, align=False)
    np.testing.assert_array_equal(cut, picture[20:52, 10:42])


def test_halving_takes_means() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    cut = faces.crop(picture, Face(0, 0, 64, 64, 1.0), size_pixels=32, margin=0.0, align=False)
    means = picture.reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(cut - means).max() <= 1


def test_crop_beyond_the_picture_repeats_its_edge() -> None:
    picture = gradients()
    cut = faces.crop(picture, Face(-50, -50, 100, 100, 1.0), size_pixels=100, margin=0, align=True)
    np.testing.assert_array_equal(cut[:50, :50], np.broadcast_to(picture[0, 0], (50, 50, 3)))
    np.testing.assert_array_equal(cut[50:, 50:], picture[:50, :50])


def spot(cut: np.ndarray, channel: int) -> np.ndarray:
    weights = cut[..., channel].astype(float)
    rows, columns = np.mgrid[: cut.shape[0], : cut.shape[1]]
    return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()


@pytest.mark.parametrize("degrees", [-40, -10, 0, 25, 170])
@pytest.mark.parametrize(("distance", "size_pixels"), [(30, 96), (80, 96), (300, 64)])
def test_aligned_eyes_are_level_and_in_their_places(
    degrees: float, distance: float, size_pixels: int
) -> None:
    turn = distance / 2 * np.exp(1j * np.deg2rad(degrees))
    eyes = [complex(410, 390) - turn, complex(410, 390) + turn]
    picture = np.zeros((800, 800, 3), np.uint8)
    for channel, eye in enumerate(eyes):
        colour = [255 * (channel == other) for other in range(3)]
        centre = (round(eye.real), round(eye.imag))
        cv2.circle(picture, centre, max(3, round(distance / 15)), colour, -1)
        eyes[channel] = complex(*centre)
    left, right = ((eye.real, eye.imag) for eye in eyes)
    face = Face(0, 0, 1, 1, 1.0, left, right)
    cut = faces.crop(picture, face, size_pixels=size_pixels, margin=0.3, align=True)
    places = faces.eye_places(size_pixels, 0.3)
    assert places[0][1] == places[1][1]
    for channel in (0, 1):
        assert np.abs(spot(cut, channel) - places[channel]).max() < 1


def test_pick_follows_the_face_before() -> None:
    large, small = Face(0, 0, 100, 100, 0.9), Face(200, 0, 50, 50, 0.9)
    assert faces.pick([], large) is None
    assert faces.pick([large, small], None) is large
    assert faces.pick([large, small], Face(205, 5, 50, 50, 0.5)) is small
    assert faces.pick([large, small], Face(500, 500, 50, 50, 0.5)) is large


def check_drawn(found: list[Face]) -> None:
    assert len(found) == 1
    (face,) = found
    assert abs(face.x + face.width / 2 - 160) < 20
    assert 60 < face.width < 180
    if face.left_eye and face.right_eye:
        np.testing.assert_allclose([face.left_eye, face.right_eye], EYES, atol=10)


@needs_mediapipe
def test_mediapipe_finds_a_drawn_face_and_nothing_on_grey() -> None:
    inside = model_files.import_mediapipe().__file__
    model = Path(inside).parent / "modules/face_detection/face_detection_short_range.tflite"
    if not model.is_file():
        pytest.skip("this MediaPipe carries no model")
    detect = faces.FACE_DETECTORS["mediapipe"](None)
    check_drawn(detect(drawn_face()))
    assert detect(np.full((120, 160, 3), 128, np.uint8)) == []


@needs_yunet
def test_yunet_finds_a_drawn_face_at_any_size() -> None:
    detect = faces.FACE_DETECTORS["yunet"](str(YUNET_FILE))
    check_drawn(detect(drawn_face()))
    large = cv2.resize(drawn_face(), (1600, 1200))
    (face,) = detect(large)
    np.testing.assert_allclose(face.left_eye, np.multiply(EYES[0], 5), atol=50)
    assert detect(np.full((120, 160, 3), 128, np.uint8)) == []


def test_dlib_finds_a_drawn_face_at_any_size() -> None:
    pytest.importorskip("dlib")
    detect = faces.FACE_DETECTORS["dlib"](None)
    check_drawn(detect(drawn_face()))
    (small,) = detect(cv2.resize(drawn_face(), (400, 300), interpolation=cv2.INTER_AREA))
    (large,) = detect(cv2.resize(drawn_face(), (1600, 1200)))
    np.testing.assert_allclose([large.x, large.y], np.multiply([small.x, small.y], 4), atol=25)
    assert large.width == pytest.approx(4 * small.width, abs=25)


@pytest.fixture(scope="module")
def mesh() -> faces.Mesh:
    if importlib.util.find_spec("mediapipe") is None:
        pytest.skip("no MediaPipe")
    if not hasattr(model_files.import_mediapipe(), "solutions"):
        pytest.skip("this MediaPipe carries no mesh model")
    return faces.face_mesh()


def test_mesh_points_lie_on_the_eyes(mesh: faces.Mesh) -> None:
    points = mesh(drawn_face())
    assert points.shape == (MESH_POINTS, 3)
    assert points.dtype == np.float32
    np.testing.assert_allclose(points[[468, 473], :2], EYES, atol=8)  # the irises' centres
    assert mesh(np.full((120, 160, 3), 128, np.uint8)) is None


@needs_yunet
@pytest.mark.skipif(not CLIPS.is_dir(), reason="no RAVDESS beside the project")
def test_detectors_agree_on_real_clips(mesh: faces.Mesh) -> None:
    detectors = [
        faces.FACE_DETECTORS["mediapipe"](None),
        faces.FACE_DETECTORS["yunet"](str(YUNET_FILE)),
    ]
    for actor in ("01", "08", "19"):
        path = CLIPS / f"Actor_{actor}" / f"01-01-05-01-01-01-{actor}.mp4"
        film = media.decode(str(path), sample_rate_hz=16_000, clip_seconds=None, frame_count=3)
        for picture in film.frames:
            found = [faces.pick(detect(picture), None) for detect in detectors]
            irises = mesh(picture)[[468, 473], :2]
            for face in found:
                np.testing.assert_allclose([face.left_eye, face.right_eye], irises, atol=12)


def test_fetch_is_checked_and_whole_or_nothing(tmp_path: Path) -> None:
    source, target = tmp_path / "a.bin", tmp_path / "cache" / "b.bin"
    source.write_bytes(b"model")
    right = hashlib.sha256(b"model").hexdigest()
    with pytest.raises(UserError, match="sha256"):
        model_files.fetch(source.as_uri(), "0" * 64, target)
    with pytest.raises(UserError, match="cannot be downloaded"):
        model_files.fetch((tmp_path / "none").as_uri(), right, target)
    assert list(target.parent.iterdir()) == []
    model_files.fetch(source.as_uri(), right, target)
    assert target.read_bytes() == b"model"


def test_known_models_come_from_the_cache_or_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "a.bin"
    source.write_bytes(b"model")
    known = ("c.bin", source.as_uri(), hashlib.sha256(b"model").hexdigest())
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    path = Path(model_files.model_path(None, known))
    path.write_bytes(b"spoilt")
    assert Path(model_files.model_path(None, known)).read_bytes() == b"model"
    source.unlink()
    assert model_files.model_path(None, known) == str(path)  # no address needed any more
    path.unlink()
    with pytest.raises(SetupError, match="--face_model FILE"):
        model_files.model_path(None, known)


@pytest.mark.parametrize("detector", ["mediapipe", "yunet"])
def test_wrong_model_files(tmp_path: Path, detector: str) -> None:
    if detector == "mediapipe" and importlib.util.find_spec("mediapipe") is None:
        pytest.skip("no MediaPipe")
    with pytest.raises(SetupError, match="no such file"):
        faces.FACE_DETECTORS[detector](str(tmp_path / "none.onnx"))
    wrong = tmp_path / "wrong.onnx"
    wrong.write_text("not a model")
    with pytest.raises(SetupError, match=r"wrong\.onnx"):
        faces.FACE_DETECTORS[detector](str(wrong))


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(SetupError, match="pip install dlib-bin"):
        faces.FACE_DETECTORS["dlib"](None)


@needs_mediapipe
def test_loading_is_quiet_and_leaves_tensorflow_out(tmp_path: Path) -> None:
    np.save(tmp_path / "face.npy", drawn_face())
    code = (
        "import sys, numpy\n"
        "from emorec_tf import faces, model_files\n"
        "mp = model_files.import_mediapipe()\n"
        "assert 'tensorflow' not in sys.modules\n"
        "assert 'tensorflow.tools.docs' not in sys.modules\n"
        "picture = numpy.load(sys.argv[1])\n"
        "if hasattr(mp, 'solutions'):\n"
        "    assert faces.mediapipe(None)(picture)\n"
        "    assert faces.face_mesh()(picture) is not None\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path / "face.npy")],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[1],
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")

"""Crops in closed form, detectors on drawn and real faces, and verified downloads."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_frames import EYES, drawn_face, gradients
from places import DATA, ROOT

from emorec_tf.config.schema import MESH_POINTS
from emorec_tf.errors import SetupError, UserError
from emorec_tf.features import face_detection
from emorec_tf.features.face_detection import Face
from emorec_tf.media import decode
from emorec_tf.storage import downloads
from emorec_tf.storage.cache_dir import CACHE_VARIABLE

YUNET = "models/yunet/yunet_s_640_640.onnx"
YUNET_FILE = DATA / YUNET
CLIPS = DATA / "ravdess" / "clips"

# Not importorskip: a plain import of MediaPipe brings in TensorFlow, for many seconds.
needs_mediapipe = pytest.mark.skipif(
    importlib.util.find_spec("mediapipe") is None, reason="no MediaPipe"
)


@pytest.mark.parametrize("size_pixels", [32, 64, 150])
def test_plain_crop_shows_the_square_around_the_box(size_pixels: int) -> None:
    face = Face(100, 80, 90, 120, 1.0)
    cut = face_detection.crop(gradients(), face, size_pixels=size_pixels, margin=0.25, align=False)
    assert cut.shape == (size_pixels, size_pixels, 3)
    assert cut.dtype == np.uint8
    side = 120 * 1.5
    middles = (np.arange(size_pixels) + 0.5) * side / size_pixels - 0.5
    np.testing.assert_allclose(cut[3, :, 0] * 2.0, 145 - side / 2 + middles, atol=2.5)
    np.testing.assert_allclose(cut[:, 3, 1] * 2.0, 140 - side / 2 + middles, atol=2.5)


def test_crop_of_its_own_size_is_the_image_itself() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    cut = face_detection.crop(
        image, Face(10, 20, 32, 32, 1.0), size_pixels=32, margin=0.0, align=False
    )
    np.testing.assert_array_equal(cut, image[20:52, 10:42])


def test_halving_takes_means() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    cut = face_detection.crop(
        image, Face(0, 0, 64, 64, 1.0), size_pixels=32, margin=0.0, align=False
    )
    means = image.reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(cut - means).max() <= 1


def test_crop_beyond_the_image_repeats_its_edge() -> None:
    image = gradients()
    cut = face_detection.crop(
        image, Face(-50, -50, 100, 100, 1.0), size_pixels=100, margin=0, align=True
    )
    np.testing.assert_array_equal(cut[:50, :50], np.broadcast_to(image[0, 0], (50, 50, 3)))
    np.testing.assert_array_equal(cut[50:, 50:], image[:50, :50])


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
    image = np.zeros((800, 800, 3), np.uint8)
    for channel, eye in enumerate(eyes):
        colour = [255 * (channel == other) for other in range(3)]
        centre = (round(eye.real), round(eye.imag))
        cv2.circle(image, centre, max(3, round(distance / 15)), colour, -1)
        eyes[channel] = complex(*centre)
    left, right = ((eye.real, eye.imag) for eye in eyes)
    face = Face(0, 0, 1, 1, 1.0, left, right)
    cut = face_detection.crop(image, face, size_pixels=size_pixels, margin=0.3, align=True)
    places = face_detection.eye_places(size_pixels, 0.3)
    assert places[0][1] == places[1][1]
    for channel in (0, 1):
        assert np.abs(spot(cut, channel) - places[channel]).max() < 1


def test_pick_follows_the_previous_face() -> None:
    large, small = Face(0, 0, 100, 100, 0.9), Face(200, 0, 50, 50, 0.9)
    assert face_detection.pick([], large) is None
    assert face_detection.pick([large, small], None) is large
    assert face_detection.pick([large, small], Face(205, 5, 50, 50, 0.5)) is small
    assert face_detection.pick([large, small], Face(500, 500, 50, 50, 0.5)) is large


def check_drawn(found: list[Face]) -> None:
    assert len(found) == 1
    (face,) = found
    assert abs(face.x + face.width / 2 - 160) < 20
    assert 60 < face.width < 180
    if face.left_eye and face.right_eye:
        np.testing.assert_allclose([face.left_eye, face.right_eye], EYES, atol=10)


def test_mediapipe_finds_a_drawn_face_and_nothing_on_grey() -> None:
    detect = face_detection.FACE_DETECTORS["mediapipe"](None)
    check_drawn(detect(drawn_face()))
    assert detect(np.full((120, 160, 3), 128, np.uint8)) == []


@pytest.mark.data(YUNET)
def test_yunet_finds_a_drawn_face_at_any_size() -> None:
    detect = face_detection.FACE_DETECTORS["yunet"](str(YUNET_FILE))
    check_drawn(detect(drawn_face()))
    large = cv2.resize(drawn_face(), (1600, 1200))
    (face,) = detect(large)
    np.testing.assert_allclose(face.left_eye, np.multiply(EYES[0], 5), atol=50)
    assert detect(np.full((120, 160, 3), 128, np.uint8)) == []


def test_dlib_finds_a_drawn_face_at_any_size() -> None:
    pytest.importorskip("dlib")
    detect = face_detection.FACE_DETECTORS["dlib"](None)
    check_drawn(detect(drawn_face()))
    (small,) = detect(cv2.resize(drawn_face(), (400, 300), interpolation=cv2.INTER_AREA))
    (large,) = detect(cv2.resize(drawn_face(), (1600, 1200)))
    np.testing.assert_allclose([large.x, large.y], np.multiply([small.x, small.y], 4), atol=25)
    assert large.width == pytest.approx(4 * small.width, abs=25)


@pytest.fixture(scope="module")
def mesh() -> face_detection.Mesh:
    return face_detection.face_mesh()


def test_mesh_points_lie_on_the_eyes(mesh: face_detection.Mesh) -> None:
    points = mesh(drawn_face())
    assert points.shape == (MESH_POINTS, 3)
    assert points.dtype == np.float32
    np.testing.assert_allclose(points[[468, 473], :2], EYES, atol=8)  # the irises' centres
    assert mesh(np.full((120, 160, 3), 128, np.uint8)) is None


@pytest.mark.data(YUNET, "ravdess/clips")
def test_detectors_agree_on_real_clips(mesh: face_detection.Mesh) -> None:
    detectors = [
        face_detection.FACE_DETECTORS["mediapipe"](None),
        face_detection.FACE_DETECTORS["yunet"](str(YUNET_FILE)),
    ]
    for actor in ("01", "08", "19"):
        path = CLIPS / f"Actor_{actor}" / f"01-01-05-01-01-01-{actor}.mp4"
        video = decode.decode(str(path), sample_rate_hz=16_000, clip_seconds=None, frame_count=3)
        for image in video.frames:
            found = [face_detection.pick(detect(image), None) for detect in detectors]
            irises = mesh(image)[[468, 473], :2]
            for face in found:
                np.testing.assert_allclose([face.left_eye, face.right_eye], irises, atol=12)


def test_downloads_are_verified_and_complete(tmp_path: Path) -> None:
    source, target = tmp_path / "a.bin", tmp_path / "cache" / "b.bin"
    source.write_bytes(b"model")
    right = hashlib.sha256(b"model").hexdigest()
    with pytest.raises(UserError, match="sha256"):
        downloads.fetch(source.as_uri(), "0" * 64, target)
    with pytest.raises(UserError, match="cannot be downloaded"):
        downloads.fetch((tmp_path / "none").as_uri(), right, target)
    assert list(target.parent.iterdir()) == []
    downloads.fetch(source.as_uri(), right, target)
    assert target.read_bytes() == b"model"


def test_known_models_come_from_the_cache_or_explain_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "a.bin"
    source.write_bytes(b"model")
    known = ("c.bin", source.as_uri(), hashlib.sha256(b"model").hexdigest())
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    path = Path(downloads.model_path(None, known))
    path.write_bytes(b"spoilt")
    assert Path(downloads.model_path(None, known)).read_bytes() == b"model"
    source.unlink()
    assert downloads.model_path(None, known) == str(path)  # no address needed any more
    path.unlink()
    with pytest.raises(SetupError, match="--face_model FILE"):
        downloads.model_path(None, known)


@pytest.mark.parametrize("detector", ["mediapipe", "yunet"])
def test_wrong_model_files(tmp_path: Path, detector: str) -> None:
    with pytest.raises(SetupError, match="no such file"):
        face_detection.FACE_DETECTORS[detector](str(tmp_path / "none.onnx"))
    wrong = tmp_path / "wrong.onnx"
    wrong.write_text("not a model")
    with pytest.raises(SetupError, match=r"wrong\.onnx"):
        face_detection.FACE_DETECTORS[detector](str(wrong))


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(SetupError, match="pip install dlib-bin"):
        face_detection.FACE_DETECTORS["dlib"](None)


@needs_mediapipe
def test_loading_is_quiet_and_leaves_tensorflow_out(tmp_path: Path) -> None:
    np.save(tmp_path / "face.npy", drawn_face())
    code = (
        "import sys, numpy\n"
        "from emorec_tf.features import face_detection as faces\n"
        "from emorec_tf.storage import downloads as model_files\n"
        "mp = model_files.import_mediapipe()\n"
        "assert 'tensorflow' not in sys.modules\n"
        "assert 'tensorflow.tools.docs' not in sys.modules\n"
        "image = numpy.load(sys.argv[1])\n"
        "assert faces.mediapipe(None)(image)\n"
        "assert faces.face_mesh()(image) is not None\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path / "face.npy")],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")

"""Detect faces, crop them, find mesh points. Images are uint8 RGB [height, width, 3]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from emorec_tf.features import attention_mesh, blazeface, mediapipe_faces
from emorec_tf.storage.downloads import YUNET, given_file, import_package, loading, model_path

Point = tuple[float, float]

# Where the eyes of an aligned crop without margin stand, as shares of its side. Medians of
# MediaPipe's boxes, so that aligned and plain crops show about as much.
EYE_DISTANCE, EYE_HEIGHT = 0.45, 0.30
SAME_FACE_OVERLAP = 0.2  # intersection over union with the face of the previous frame
YUNET_SIDE_PIXELS = 640
YUNET_SCORE = 0.7
DLIB_PIXELS = 400  # wider images are reduced; upsampling smaller ones twofold costs little


@dataclass(frozen=True)
class Face:
    """A face's box in pixels; it may reach beyond the image. Left and right are the image's."""

    x: float
    y: float
    width: float
    height: float
    score: float
    left_eye: Point | None = None
    right_eye: Point | None = None


Detector = Callable[[np.ndarray], list[Face]]
Mesh = Callable[[np.ndarray], np.ndarray | None]  # see face_mesh


def single_thread() -> None:
    """Keep OpenCV to one thread: one process for each core is quicker than threads."""
    cv2.setNumThreads(1)


def mediapipe(model_file: str | None) -> Detector:
    """MediaPipe's short-range detector (BlazeFace): for faces that fill much of the image.

    Where MediaPipe with the mesh is installed, it runs the network, else LiteRT: boxes are the
    same, and eyes to a thousandth of a pixel.
    """
    model = given_file(model_file) or str(blazeface.DETECTOR)
    if mediapipe_faces.is_complete():
        find = mediapipe_faces.detector(model)
        return lambda image: _sorted([Face(*row) for row in find(image)])
    with loading(model):
        own = blazeface.detector(model)
    return lambda image: _sorted([_face_of(found, image.shape) for found in own(image)])


def _face_of(found: blazeface.Found, shape: tuple[int, ...]) -> Face:
    """Round a box as MediaPipe does: whole pixels, no side longer than the image's."""
    left, top, right, bottom = found.box.tolist()
    height, width = shape[:2]
    corner = max(0, int(left)), max(0, int(top))
    sides = min(int(right - left), width), min(int(bottom - top), height)
    eyes = [(x - 0.5, y - 0.5) for x, y in found.points[:2].tolist()]
    return Face(*corner, *sides, found.score, *eyes)


def yunet(model_file: str | None) -> Detector:
    """OpenCV's YuNet: also for small faces; images are reduced to 640 pixels a side."""
    model = model_path(model_file, YUNET)
    with loading(model):
        detector = cv2.FaceDetectorYN.create(model, "", (64, 64), score_threshold=YUNET_SCORE)

    def detect(image: np.ndarray) -> list[Face]:
        scale = min(1.0, YUNET_SIDE_PIXELS / max(image.shape[:2]))
        size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        detector.setInputSize(size)
        _, rows = detector.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        back = np.array(image.shape[1::-1], float) / size
        faces = []
        for row in [] if rows is None else rows.astype(float):
            x, y, width, height, *eyes = (row[:8].reshape(4, 2) * back).ravel()
            faces.append(Face(x, y, width, height, row[14], tuple(eyes[:2]), tuple(eyes[2:])))
        return _sorted(faces)

    return detect


def dlib_hog(model_file: str | None) -> Detector:
    """Dlib's frontal HOG detector; it finds no eyes and needs no model file.

    Images are reduced to a width of 400 pixels.
    """
    dlib = import_package("dlib", "dlib-bin")
    detector = dlib.get_frontal_face_detector()

    def detect(image: np.ndarray) -> list[Face]:
        height, width = image.shape[:2]
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if width > DLIB_PIXELS:
            size = (DLIB_PIXELS, max(1, round(height * DLIB_PIXELS / width)))
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        boxes, scores, _ = detector.run(grey, 0, 0.0)
        if not boxes and max(height, width) <= DLIB_PIXELS:
            boxes, scores, _ = detector.run(grey, 1, 0.0)
        x, y = width / grey.shape[1], height / grey.shape[0]
        found = zip(boxes, scores, strict=True)
        return _sorted(
            [
                Face(b.left() * x, b.top() * y, b.width() * x, b.height() * y, float(score))
                for b, score in found
            ]
        )

    return detect


def whole_image(image: np.ndarray) -> list[Face]:
    """The whole image as the box of a face, for images that are faces cut out already."""
    height, width = image.shape[:2]
    return [Face(0.0, 0.0, width, height, 1.0)]


def no_face(_: np.ndarray) -> list[Face]:
    """No face in any image, for models that only use audio."""
    return []


def _sorted(faces: list[Face]) -> list[Face]:
    return sorted(faces, key=lambda face: (-face.score * face.width * face.height, face.x, face.y))


def pick(faces: Sequence[Face], previous: Face | None) -> Face | None:
    """The main face: the one that overlaps most with the previous face, else the best one."""
    if previous is not None:
        same = [face for face in faces if overlap(face, previous) >= SAME_FACE_OVERLAP]
        faces = sorted(same, key=lambda face: -overlap(face, previous)) or faces
    return faces[0] if faces else None


def overlap(a: Face, b: Face) -> float:
    """Intersection over union of two boxes."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    common = max(0.0, width) * max(0.0, height)
    return common / max(a.width * a.height + b.width * b.height - common, 1e-9)


def eye_places(size_pixels: int, margin: float) -> tuple[Point, Point]:
    """Where an aligned crop shows the image's left and right eye, in its pixels."""
    reach = EYE_DISTANCE / 2 / (1 + 2 * margin)
    height = 0.5 + (EYE_HEIGHT - 0.5) / (1 + 2 * margin)
    y = height * size_pixels - 0.5
    return ((0.5 - reach) * size_pixels - 0.5, y), ((0.5 + reach) * size_pixels - 0.5, y)


def crop(
    image: np.ndarray, face: Face, *, size_pixels: int, margin: float, align: bool
) -> np.ndarray:
    """Cut a square [size_pixels, size_pixels, ...] around a face, the image's edge repeated.

    ``margin`` is added on each side, as a share of the box's longer side. ``align`` turns and
    scales the image so that the eyes come to ``eye_places``; without eyes it is not turned.
    """
    turn, shift = _placed(face, size_pixels, margin, align)
    # Bilinear reading skips pixels when it reduces: read finely, then take means of whole blocks.
    fine = max(1, min(round(1 / abs(turn)), 4096 // size_pixels))
    turn, shift = turn * fine, shift * fine + (fine - 1) / 2 * (1 + 1j)
    matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    sides = (size_pixels * fine, size_pixels * fine)
    cut = cv2.warpAffine(image, matrix, sides, borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(cut, (size_pixels, size_pixels), interpolation=cv2.INTER_AREA)


def reduction(face: Face, *, size_pixels: int, margin: float, align: bool) -> float:
    """Number of image pixels along one pixel of the crop."""
    return 1 / abs(_placed(face, size_pixels, margin, align)[0])


def _placed(face: Face, size_pixels: int, margin: float, align: bool) -> tuple[complex, complex]:
    """Turn and shift: a pixel at the complex z of the image comes to turn * z + shift."""
    if align and face.left_eye and face.right_eye:
        (left, y), (right, _) = eye_places(size_pixels, margin)
        eyes = complex(*face.left_eye), complex(*face.right_eye)
        turn = (right - left) / ((eyes[1] - eyes[0]) or 1e-6)
        return turn, complex(left, y) - turn * eyes[0]
    side = max(face.width, face.height, 1.0) * (1 + 2 * margin)
    turn = complex(size_pixels / side)
    # Boxes count from pixel edges, warpAffine from pixel centres.
    middle = complex(face.x + face.width / 2 - 0.5, face.y + face.height / 2 - 0.5)
    return turn, complex(size_pixels / 2 - 0.5, size_pixels / 2 - 0.5) - turn * middle


def face_mesh(model_file: str | None = None) -> Mesh:
    """MediaPipe's face mesh with irises.

    The returned function takes an image mostly filled by one face and detects that face itself. It
    gives float32 [478, 3], x, y and z in pixels, z smaller towards the camera, or ``None``. Where
    MediaPipe with the mesh is installed, it runs the networks, else LiteRT: the points are the
    same to a tenth of a pixel. ``model_file`` is another mesh, which takes MediaPipe.
    """
    bundle = given_file(model_file, "--mesh_model")
    if not bundle and not mediapipe_faces.is_complete():
        with loading(str(attention_mesh.MESH)):
            return attention_mesh.mesh_finder()
    found = mediapipe_faces.mesh_of_bundle(bundle) if bundle else mediapipe_faces.mesh_inside()

    def mesh(image: np.ndarray) -> np.ndarray | None:
        points = found(image)
        if points is None:
            return None
        height, width = image.shape[:2]
        return points * np.array([width, height, width], np.float32)

    return mesh


FACE_DETECTORS: dict[str, Callable[[str | None], Detector]] = {
    "mediapipe": mediapipe,
    "yunet": yunet,
    "dlib": dlib_hog,
}

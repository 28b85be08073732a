"""Detect faces, crop them, find mesh points. Images are uint8 RGB [height, width, 3]."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from emorec_tf.storage.downloads import (
    YUNET,
    given_file,
    import_mediapipe,
    import_package,
    loading,
    model_path,
)
from emorec_tf.storage.quiet import quiet

Point = tuple[float, float]

# Their origin and licence: NOTICE in that folder.
SHIPPED = Path(__file__).parent / "face_models"
BLAZEFACE = SHIPPED / "face_detection_short_range.tflite"
LANDMARKER = SHIPPED / "face_landmarker.task"

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
    """MediaPipe's short-range detector (BlazeFace): for faces that fill much of the image."""
    model = given_file(model_file) or str(BLAZEFACE)
    mp = import_mediapipe()
    vision = mp.tasks.vision
    options = vision.FaceDetectorOptions(
        base_options=_options_of(mp, model), running_mode=vision.RunningMode.IMAGE
    )
    with loading(model):
        detector = vision.FaceDetector.create_from_options(options)
        detector.detect(_image(mp, np.zeros((128, 128, 3), np.uint8)))  # the first one logs

    def detect(image: np.ndarray) -> list[Face]:
        height, width = image.shape[:2]
        faces = []
        for found in detector.detect(_image(mp, image)).detections:
            box = found.bounding_box
            eyes = [(p.x * width - 0.5, p.y * height - 0.5) for p in found.keypoints[:2]]
            score = found.categories[0].score
            faces.append(Face(box.origin_x, box.origin_y, box.width, box.height, score, *eyes))
        return _sorted(faces)

    weakref.finalize(detect, _closed, detector)
    return detect


def _options_of(mp: Any, model: str) -> Any:
    """Name the model file. MediaPipe from 1.0 on reports its use to Google; this keeps it quiet."""

    class Unreported(mp.tasks.BaseOptions):  # type: ignore[misc]
        def to_ctypes(self) -> Any:
            made = super().to_ctypes()
            made.ca_bundle_path = os.devnull.encode()  # no server is trusted, so none is told
            return made

    return Unreported(model_asset_path=model)


def _closed(task: Any) -> None:
    """Close a task of MediaPipe; when Python ends, its threads are gone before, and it complains."""
    try:
        task.close()
    except RuntimeError:
        task._handle = None  # or it tries once more


def _image(mp: Any, image: np.ndarray) -> Any:
    return mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(image))


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
    gives float32 [478, 3], x, y and z in pixels, z smaller towards the camera, or ``None``.
    MediaPipe 0.10.21 contains the mesh; later ones take the same weights from this package, and
    their points lie within half a pixel of it.
    """
    given = given_file(model_file, "--mesh_model")
    mp = import_mediapipe()
    inside = getattr(getattr(mp, "solutions", None), "face_mesh", None)
    by_file = given or not inside
    find = _mesh_of_file(mp, given or str(LANDMARKER)) if by_file else _mesh_inside(inside)

    def mesh(image: np.ndarray) -> np.ndarray | None:
        with quiet(stdout=False):  # each call may print warnings that only concern MediaPipe
            found = find(image)
        if not found:
            return None
        height, width = image.shape[:2]
        points = np.array([(p.x, p.y, p.z) for p in found[0]], np.float32)
        return points * np.array([width, height, width], np.float32)

    return mesh


def _mesh_inside(module: Any) -> Callable[[np.ndarray], list[Any]]:
    with quiet(stdout=False):
        graph = module.FaceMesh(static_image_mode=True, max_num_faces=1, refine_landmarks=True)
        graph.process(np.zeros((192, 192, 3), np.uint8))

    def find(image: np.ndarray) -> list[Any]:
        found = graph.process(image).multi_face_landmarks
        return [face.landmark for face in found or []]

    return find


def _mesh_of_file(mp: Any, model: str) -> Callable[[np.ndarray], list[Any]]:
    vision = mp.tasks.vision
    options = vision.FaceLandmarkerOptions(base_options=_options_of(mp, model), num_faces=1)
    with loading(model):
        landmarker = vision.FaceLandmarker.create_from_options(options)
        landmarker.detect(_image(mp, np.zeros((192, 192, 3), np.uint8)))  # the first one logs

    def find(image: np.ndarray) -> list[Any]:
        found: list[Any] = landmarker.detect(_image(mp, image)).face_landmarks
        return found

    weakref.finalize(find, _closed, landmarker)
    return find


FACE_DETECTORS: dict[str, Callable[[str | None], Detector]] = {
    "mediapipe": mediapipe,
    "yunet": yunet,
    "dlib": dlib_hog,
}

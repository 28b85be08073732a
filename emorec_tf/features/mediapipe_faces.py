"""Faces by MediaPipe itself, as far as it is installed: its detector and its mesh.

Only versions that contain the mesh are used by themselves; of the others we run the same networks
without MediaPipe (``blazeface``, ``attention_mesh``).
"""

from __future__ import annotations

import importlib.util
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf.storage.downloads import import_mediapipe, loading
from emorec_tf.storage.quiet import quiet

MESH_INSIDE = "python/solutions/face_mesh.py"


def is_complete() -> bool:
    """Say whether the installed MediaPipe contains the mesh, without importing it."""
    spec = importlib.util.find_spec("mediapipe")
    places = spec.submodule_search_locations if spec else None
    return bool(places) and any((Path(place) / MESH_INSIDE).is_file() for place in places or ())


def detector(model: str) -> Callable[[np.ndarray], list[tuple[Any, ...]]]:
    """Load a detector's model file; the function gives the fields of ``Face`` for each face."""
    mp = import_mediapipe()
    vision = mp.tasks.vision
    options = vision.FaceDetectorOptions(
        base_options=_options_of(mp, model), running_mode=vision.RunningMode.IMAGE
    )
    with loading(model):
        task = vision.FaceDetector.create_from_options(options)
        task.detect(_image(mp, np.zeros((128, 128, 3), np.uint8)))  # the first one logs

    def detect(image: np.ndarray) -> list[tuple[Any, ...]]:
        height, width = image.shape[:2]
        faces = []
        for found in task.detect(_image(mp, image)).detections:
            box, score = found.bounding_box, found.categories[0].score
            eyes = [(p.x * width - 0.5, p.y * height - 0.5) for p in found.keypoints[:2]]
            faces.append((box.origin_x, box.origin_y, box.width, box.height, score, *eyes))
        return faces

    weakref.finalize(detect, _close, task)
    return detect


def mesh_inside() -> Callable[[np.ndarray], np.ndarray | None]:
    """MediaPipe's own mesh: uint8 RGB -> float32 [478, 3] in shares of the image, or None."""
    module = import_mediapipe().solutions.face_mesh
    with quiet(stdout=False):
        graph = module.FaceMesh(static_image_mode=True, max_num_faces=1, refine_landmarks=True)
        graph.process(np.zeros((192, 192, 3), np.uint8))

    def find(image: np.ndarray) -> np.ndarray | None:
        with quiet(stdout=False):  # each call may print warnings that only concern MediaPipe
            found = graph.process(image).multi_face_landmarks
        return _points_of(found[0].landmark) if found else None

    return find


def mesh_of_bundle(model: str) -> Callable[[np.ndarray], np.ndarray | None]:
    """The mesh of a bundle for MediaPipe's FaceLandmarker; the function as ``mesh_inside``'s."""
    mp = import_mediapipe()
    vision = mp.tasks.vision
    options = vision.FaceLandmarkerOptions(base_options=_options_of(mp, model), num_faces=1)
    with loading(model):
        task = vision.FaceLandmarker.create_from_options(options)

    def find(image: np.ndarray) -> np.ndarray | None:
        with quiet(stdout=False):
            found = task.detect(_image(mp, image)).face_landmarks
        return _points_of(found[0]) if found else None

    weakref.finalize(find, _close, task)
    return find


def _points_of(landmarks: Any) -> np.ndarray:
    return np.array([(p.x, p.y, p.z) for p in landmarks], np.float32)


def _image(mp: Any, image: np.ndarray) -> Any:
    return mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(image))


def _options_of(mp: Any, model: str) -> Any:
    """Name the model file. MediaPipe from 1.0 on reports its use to a server; this stops it."""

    class Unreported(mp.tasks.BaseOptions):
        def to_ctypes(self) -> Any:
            made = super().to_ctypes()
            made.ca_bundle_path = os.devnull.encode()  # no server is trusted, so none is told
            return made

    return Unreported(model_asset_path=model)


def _close(task: Any) -> None:
    """Close a task of MediaPipe, which complains when Python has ended its threads before."""
    try:
        task.close()
    except RuntimeError:
        task._handle = None  # or it tries once more

"""Foreign models and packages: found, fetched and checked, and loaded without chatter."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
import tempfile
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2

from emorec_tf.errors import SetupError, UserError
from emorec_tf.storage.cache_dir import cache_folder

DOWNLOAD_SECONDS = 60.0  # without a byte, then it is given up

# Name, public address, sha256 or as much of it as its publisher names.
BLAZEFACE = (
    "blaze_face_short_range.tflite",
    "https://storage.googleapis.com/mediapipe-models/face_detector/blaze_face_short_range/"
    "float16/1/blaze_face_short_range.tflite",
    "b4578f35940bf5a1a655214a1cce5cab13eba73c1297cd78e1a04c2380b0152f",
)
YUNET = (
    "face_detection_yunet_2023mar.onnx",
    "https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/"
    "face_detection_yunet_2023mar.onnx",
    "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
)
LANDMARKER = (
    "face_landmarker.task",
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/"
    "face_landmarker.task",
    "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
)


def model_path(
    model_file: str | None, known: tuple[str, str, str], option: str = "--face_model"
) -> str:
    """The user's model file, else the cached copy of the known one, downloaded where missing.

    Raises:
        SetupError: the user's file is missing, or the known one cannot be had.
    """
    if model_file:
        if not Path(model_file).is_file():
            raise SetupError(f"{model_file}: no such file; {option} needs a model file")
        return model_file
    name, address, sha256 = known
    path = cache_folder("models", name)
    if not (path.is_file() and _sha256(path).startswith(sha256)):
        try:
            fetch(address, sha256, path)
        except UserError as error:
            raise SetupError(f"{error}; fetch it elsewhere and pass {option} FILE") from error
    return str(path)


def fetch(url: str, sha256: str, path: Path) -> None:
    """Download a file, whole or not at all: it appears under ``path`` only once it is checked.

    Raises:
        UserError: it cannot be reached or written, or its sha256 differs.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            urllib.request.urlopen(url, timeout=DOWNLOAD_SECONDS) as reply,
            tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file,
        ):
            temporary = Path(file.name)
            while block := reply.read(1 << 20):
                file.write(block)
        found = _sha256(temporary)
        if not found.startswith(sha256):
            raise UserError(f"{url} has sha256 {found[:12]}..., expected {sha256[:12]}...")
        temporary.replace(path)
    except (OSError, ValueError) as error:  # URLError is an OSError
        raise UserError(f"{url} cannot be downloaded to {path} ({error})") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def import_package(name: str, package: str) -> Any:
    """Import an optional package, or tell how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SetupError(
            f"the Python package {name} cannot be imported ({error}); pip install {package}"
        ) from error


def import_mediapipe() -> Any:
    """Import MediaPipe without its log lines, and without TensorFlow.

    MediaPipe 0.10 imports TensorFlow where it is installed, for a marker of its documentation
    only: seconds and half a gigabyte for each worker process. Hidden, it does without.
    """
    os.environ.setdefault("GLOG_minloglevel", "2")
    marker = () if "tensorflow" in sys.modules else ("tensorflow.tools.docs",)
    with hidden(*marker), quiet():
        return import_package("mediapipe", "mediapipe")


@contextmanager
def hidden(*names: str) -> Iterator[None]:
    """Let modules seem not to be installed, unless they are loaded already."""
    names = tuple(name for name in names if name not in sys.modules)
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in names:
            sys.modules.pop(name, None)


@contextmanager
def quiet() -> Iterator[None]:
    """Drop warnings and what native code writes to stderr; Python's exceptions pass."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def loading(model: str) -> Iterator[None]:
    """Load a model quietly; a file that is not one becomes a SetupError."""
    try:
        with quiet():
            yield
    except (RuntimeError, ValueError, OSError, cv2.error) as error:
        reason = " ".join(str(error).split())[:160]
        raise SetupError(f"{model}: cannot be loaded as a model ({reason}); check it") from error

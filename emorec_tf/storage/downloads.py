"""Models and packages of others: found, downloaded and checked, and loaded without their output."""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from emorec_tf.errors import SetupError, UserError
from emorec_tf.storage.cache_dir import cache_folder
from emorec_tf.storage.quiet import quiet

DOWNLOAD_SECONDS = 60  # without a byte, then the download fails

# File name, public URL, sha256 or as much of it as the publisher gives.
YUNET = (
    "face_detection_yunet_2023mar.onnx",
    "https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/"
    "face_detection_yunet_2023mar.onnx",
    "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
)


def model_path(
    model_file: str | None, known: tuple[str, str, str], option: str = "--face_model"
) -> str:
    """The user's model file, else the cached copy of the known one, downloaded if missing.

    Raises:
        SetupError: the user's file is missing, or the known one cannot be downloaded.
    """
    given = given_file(model_file, option)
    if given:
        return given
    name, address, sha256 = known
    path = cache_folder("models", name)
    if not is_whole(path, sha256):
        try:
            fetch(address, sha256, path)
        except UserError as error:
            raise SetupError(f"{error}; download it elsewhere and pass {option} FILE") from error
    return str(path)


def given_file(model_file: str | None, option: str = "--face_model") -> str | None:
    """The user's model file, where one is given.

    Raises:
        SetupError: it is missing.
    """
    if model_file and not Path(model_file).is_file():
        raise SetupError(f"{model_file}: no such file; {option} needs a model file")
    return model_file or None


def fetch(url: str, sha256: str, path: Path) -> None:
    """Download a file: it appears as ``path`` only once it is complete and its hash is checked.

    Args:
        url: https, http or file.
        sha256: hash of the content in hexadecimal, or its beginning where only that is published.
        path: where it goes; a file there is replaced.

    Raises:
        UserError: it cannot be downloaded or written, or its hash differs.
    """
    import pooch

    def download(url: str, target: Any, _: Any) -> None:
        if url.startswith("file:"):  # pooch has no downloader for it
            shutil.copyfile(url2pathname(urlsplit(url).path), target)
        else:
            pooch.HTTPDownloader(timeout=DOWNLOAD_SECONDS)(url, target, None)
        found = pooch.file_hash(str(target))
        if not found.startswith(sha256):  # pooch itself compares whole hashes only
            raise UserError(f"{url} has sha256 {found[:12]}..., expected {sha256[:12]}...")

    pooch.get_logger().setLevel("WARNING")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".download-") as folder:
            checked = pooch.retrieve(url, None, path.name, folder, downloader=download)
            Path(checked).replace(path)
    except (OSError, ValueError) as error:  # requests' errors are OSErrors
        raise UserError(f"{url} cannot be downloaded ({_reason(error, url)})") from error


def _reason(error: OSError | ValueError, url: str) -> str:
    """Say in a few words why a download failed; requests gives whole chains of exceptions."""
    from requests import exceptions

    host = urlsplit(url).hostname
    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return f"{host} answers with status {error.response.status_code}"
    if isinstance(error, exceptions.ReadTimeout):
        return f"{host} does not answer"
    if isinstance(error, exceptions.ConnectionError):
        return f"no connection to {host}"
    if isinstance(error, exceptions.ChunkedEncodingError):
        return f"connection to {host} was lost"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return " ".join(str(error).split())[:120]


def is_whole(path: Path, sha256: str) -> bool:
    """Whether a file is there and its hash begins like this."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().startswith(sha256)


def import_package(name: str, package: str) -> Any:
    """Import an optional package.

    Raises:
        SetupError: it is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SetupError(
            f"the Python package {name} cannot be imported ({error}); pip install {package}"
        ) from error


def import_mediapipe() -> Any:
    """Import MediaPipe without its log lines, and without TensorFlow.

    MediaPipe 0.10 imports TensorFlow where it is installed, only for a marker in its
    documentation: seconds and half a gigabyte for each worker process. It works without.
    """
    os.environ.setdefault("GLOG_minloglevel", "2")
    marker = () if "tensorflow" in sys.modules else ("tensorflow.tools.docs",)
    with hidden(*marker), quiet(stdout=False):
        return import_package("mediapipe", "'emorec-tf[mediapipe]'")


@contextmanager
def hidden(*names: str) -> Iterator[None]:
    """Make modules look as if not installed, unless they are loaded already."""
    names = tuple(name for name in names if name not in sys.modules)
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in names:
            sys.modules.pop(name, None)


@contextmanager
def loading(model: str) -> Iterator[None]:
    """Load a model quietly.

    Raises:
        SetupError: the file is not a model.
    """
    import cv2

    try:
        with quiet(stdout=False):
            yield
    except (RuntimeError, ValueError, OSError, cv2.error) as error:
        reason = " ".join(str(error).split())[:160]
        raise SetupError(f"{model}: cannot be loaded as a model ({reason}); check it") from error

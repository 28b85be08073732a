"""Versions, as the packages report them."""

from __future__ import annotations

import platform
from importlib import metadata

import cv2
import yaml

import emorec_tf
from emorec_tf.storage.versions import versions


def test_loaded_modules_installed_packages_and_python() -> None:
    found = versions("emorec_tf", "cv2", "python", "PyYAML", "yaml", "no-such-package")
    assert list(found) == ["emorec_tf", "cv2", "python", "PyYAML", "yaml"]
    assert found["emorec_tf"] == emorec_tf.__version__
    assert found["cv2"] == cv2.__version__
    assert found["python"] == platform.python_version()
    assert found["PyYAML"] == metadata.version("PyYAML")
    assert found["yaml"] == yaml.__version__

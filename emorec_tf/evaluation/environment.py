"""Versions and machine that scores were made with."""

from __future__ import annotations

import os
import platform

from emorec_tf import __version__


def versions() -> dict[str, str]:
    """Versions of what decides the scores."""
    import keras
    import tensorflow as tf

    return {
        "emorec_tf": __version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
    }


def machine() -> str:
    """Name the kind of machine, not the machine."""
    import tensorflow as tf

    graphics = [
        tf.config.experimental.get_device_details(d).get("device_name", "GPU")
        for d in tf.config.list_physical_devices("GPU")
    ]
    parts = [platform.system(), platform.machine(), f"{os.cpu_count()} cores", *graphics]
    return ", ".join(parts)

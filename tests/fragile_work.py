"""Replaces decoding in worker processes: light to import, and able to crash its process."""

from __future__ import annotations

import os
import time
from typing import Any

from emorec_tf.config.clip import Clip
from emorec_tf.errors import SetupError


def work(clip: Clip) -> tuple[bytes, dict[str, Any]]:
    """Crash at clips named crash, raise SetupError at setup; otherwise return the clip's name."""
    if clip.clip_id.startswith("crash"):
        os._exit(3)
    if clip.clip_id.startswith("setup"):
        raise SetupError("no face model here; fetch it")
    return clip.clip_id.encode(), {}


def sleep(seconds: float) -> None:
    """Work for a while."""
    time.sleep(seconds)

"""Small images on disk, each of its own content."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np


def draw(folder: Path, count: int, pixels: int = 48, low: int = 0, high: int = 256) -> None:
    """Write ``image0.png`` and so on: grey noise between ``low`` and ``high``."""
    folder.mkdir(parents=True)
    seed = int(hashlib.sha256("/".join(folder.parts[-2:]).encode()).hexdigest()[:8], 16)
    random = np.random.default_rng(seed)
    for number in range(count):
        image = random.integers(low, high, (pixels, pixels), np.uint8)
        cv2.imwrite(str(folder / f"image{number}.png"), image)

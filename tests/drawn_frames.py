"""Frames drawn for tests: a face with known eye positions, and gradients that encode positions."""

from __future__ import annotations

import cv2
import numpy as np

EYES = ((128.0, 105.0), (192.0, 105.0))


def drawn_face() -> np.ndarray:
    """A face of 320x240 with its eyes at EYES, drawn four times larger and reduced."""
    canvas = np.full((960, 1280, 3), (200, 205, 210), np.uint8)

    def oval(x: float, y: float, rx: float, ry: float, colour: tuple[int, ...]) -> None:
        centre, axes = (round(4 * x), round(4 * y)), (round(4 * rx), round(4 * ry))
        cv2.ellipse(canvas, centre, axes, 0, 0, 360, colour, -1, cv2.LINE_AA)

    oval(160, 95, 72, 88, (60, 40, 30))
    oval(160, 250, 110, 60, (70, 90, 140))
    cv2.rectangle(canvas, (540, 700), (740, 860), (205, 160, 130), -1)
    oval(160, 120, 62, 80, (225, 180, 150))
    oval(160, 52, 58, 22, (60, 40, 30))
    for x, y in EYES:
        cv2.ellipse(canvas, (round(4 * x), 364), (66, 20), 0, 180, 360, (60, 40, 30), 14)
        oval(x, y, 14, 8, (250, 250, 250))
        oval(x, y, 7, 7, (80, 60, 40))
        oval(x, y, 3, 3, (10, 10, 10))
    cv2.polylines(
        canvas, [np.array([(640, 440), (610, 560), (670, 560)])], False, (170, 120, 95), 8
    )
    oval(160, 168, 24, 8, (180, 80, 80))
    cv2.line(canvas, (550, 670), (730, 670), (120, 40, 40), 6, cv2.LINE_AA)
    return cv2.resize(canvas, (320, 240), interpolation=cv2.INTER_AREA)


def gradients(height: int = 300, width: int = 400) -> np.ndarray:
    """Red encodes the column and green the row: a crop shows where each pixel came from."""
    rows, columns = np.mgrid[:height, :width]
    return np.dstack([columns / 2, rows / 2, rows * 0]).round().astype(np.uint8)

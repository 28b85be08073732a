"""BlazeFace's short-range detector without MediaPipe: the same network, run by LiteRT.

Images are uint8 RGB [height, width, 3]; places count in pixels, from their edges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emorec_tf.features.lite_net import FACE_MODELS, LiteNet

DETECTOR = FACE_MODELS / "face_detection_short_range.tflite"
SIDE_PIXELS = 128
# Side of each grid, and how many anchors stand in the middle of each of its cells.
GRIDS = ((16, 2), (8, 6))
PLACES = 32  # between two pixels, at which images are read
LEAST_SCORE, SAME_OVERLAP = 0.5, 0.3
STEEPEST = 80.0  # logits beyond it would overflow


@dataclass(frozen=True)
class Found:
    """A face: its box [left, top, right, bottom], and its points [6, 2], the eyes first."""

    score: float
    box: np.ndarray
    points: np.ndarray


def detector(model_file: str | Path = DETECTOR) -> Callable[[np.ndarray], list[Found]]:
    """Load the network; return the function that finds faces, the surest first."""
    net, anchors = LiteNet(model_file), anchors_of(GRIDS)

    def detect(image: np.ndarray) -> list[Found]:
        height, width = image.shape[:2]
        side = max(height, width)
        raw = net(squared(image)[None] / np.float32(127.5) - np.float32(1))
        scores = 1 / (1 + np.exp(-raw["classificators"][0, :, 0].clip(-STEEPEST, STEEPEST)))
        sure = np.flatnonzero(scores >= LEAST_SCORE)
        numbers = raw["regressors"][0, sure].reshape(-1, 8, 2) / SIDE_PIXELS
        centres, sizes = numbers[:, 0] + anchors[sure], numbers[:, 1]
        points = numbers[:, 2:] + anchors[sure, None]
        rows = np.concatenate([(centres - sizes / 2)[:, None], (centres + sizes / 2)[:, None],
                               points], axis=1)  # fmt: skip
        moved = np.array([side - width, side - height]) / 2
        return [
            Found(score, (row[:2] * side - moved).ravel(), row[2:] * side - moved)
            for score, row in blended(scores[sure], rows)
        ]

    return detect


def anchors_of(grids: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Middles of the anchors: float32 [N, 2], x and y in shares of the side."""
    parts = []
    for side, count in grids:
        rows, columns = np.mgrid[:side, :side]
        middles = (np.stack([columns, rows], axis=-1).reshape(-1, 2) + 0.5) / side
        parts.append(np.repeat(middles, count, axis=0))
    return np.concatenate(parts).astype(np.float32)


def squared(image: np.ndarray) -> np.ndarray:
    """The image in the middle of a black square, reduced: float32 [128, 128, 3], 0 to 255."""
    height, width = image.shape[:2]
    side = max(height, width)
    corner = np.array([(width - side) / 2, (height - side) / 2])
    across, down = np.array([(side, 0), (0, side)])
    return read(image, corner, across, down, SIDE_PIXELS, is_repeated=False)


def read(
    image: np.ndarray,
    corner: np.ndarray,
    across: np.ndarray,
    down: np.ndarray,
    size: int,
    *,
    is_repeated: bool,
) -> np.ndarray:
    """Read a square out of an image as MediaPipe does: float32 [size, size, 3], 0 to 255.

    Bilinear, at places rounded to 1/32 pixel, to whole levels: as OpenCV's warpPerspective up to
    4.x. Later ones round otherwise, and a level more or less moves points by half a pixel.

    Args:
        image: uint8 RGB [height, width, 3].
        corner: the square's top left in pixels, x and y.
        across: from there to its top right.
        down: from there to its bottom left.
        size: pixels a side of the result.
        is_repeated: the image's edge is repeated beyond it; otherwise it is black there.
    """
    shares = np.arange(size) / size
    x, y = (
        np.rint((corner[axis] + shares * across[axis] + shares[:, None] * down[axis]) * PLACES)
        for axis in (0, 1)
    )
    height, width = image.shape[:2]
    pixels, total = image.reshape(-1, 3), np.full((size * size, 3), 0.5, np.float32)
    for right, below in np.ndindex(2, 2):
        column, row = (x // PLACES + right).astype(np.int32), (y // PLACES + below).astype(np.int32)
        weight = near(x, right) * near(y, below)
        if not is_repeated:
            weight *= (column >= 0) & (column < width) & (row >= 0) & (row < height)
        index = row.clip(0, height - 1) * width + column.clip(0, width - 1)
        total += pixels.take(index.ravel(), axis=0) * weight.astype(np.float32).reshape(-1, 1)
    return np.floor(total).reshape(size, size, 3)


def near(places: np.ndarray, is_next: int) -> np.ndarray:
    """How near places lie to the pixel before them, or to the next one: 0 to 1."""
    share = places % PLACES / PLACES
    return share if is_next else 1 - share


def blended(scores: np.ndarray, rows: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Join boxes of one face to their mean, weighted by score.

    Shapes:
        scores [N], rows [N, 8, 2]: two corners, six points -> score and row of each face
    """
    found = []
    left = np.argsort(-scores, kind="stable")
    while len(left):
        overlaps = overlaps_of(rows[left[0], :2], rows[left, :2])
        same = left[overlaps > SAME_OVERLAP]
        if not len(same):  # a box without an area
            left = left[1:]
            continue
        weights = scores[same, None, None]
        found.append((float(scores[left[0]]), (rows[same] * weights).sum(0) / weights.sum()))
        left = left[overlaps <= SAME_OVERLAP]
    return found


def overlaps_of(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of one box [2, 2] and each of boxes [N, 2, 2], by their corners."""
    low, high = np.maximum(box[0], boxes[:, 0]), np.minimum(box[1], boxes[:, 1])
    common = (high - low).clip(0).prod(1)
    areas = (boxes[:, 1] - boxes[:, 0]).clip(0).prod(1)
    both = (box[1] - box[0]).clip(0).prod() + areas - common
    return common / np.maximum(both, 1e-12)

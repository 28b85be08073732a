"""MediaPipe's face mesh with attention, without MediaPipe: the same networks, run by LiteRT.

One network places 468 points roughly; a second one looks at lips and eyes again, each cut out of
the first one's features, and finds the irises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emorec_tf.features import blazeface
from emorec_tf.features.lite_net import FACE_MODELS, LiteNet

MESH, PARTS_NET = FACE_MODELS / "face_mesh.tflite", FACE_MODELS / "face_mesh_parts.tflite"
SIDE_PIXELS, FEATURE_PIXELS, PART_PIXELS = 192, 48, 16
REACH = 1.5  # side of what is cut out, in the longer sides of the face's box
LEAST_PRESENCE = 0.5
RIM = 16  # points of an eye's outline, as deep as which the iris lies

LIPS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409),
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415),
    *(76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408),
    *(62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407),
)
LEFT_EYE = (
    *(33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173),
    *(130, 25, 110, 24, 23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190),
    *(226, 31, 228, 229, 230, 231, 232, 233, 244, 113, 225, 224, 223, 222, 221, 189),
    *(35, 124, 46, 53, 52, 65, 143, 111, 117, 118, 119, 120, 121, 128, 245),
    *(156, 70, 63, 105, 66, 107, 55, 193),
)
RIGHT_EYE = (
    *(263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398),
    *(359, 255, 339, 254, 253, 252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414),
    *(446, 261, 448, 449, 450, 451, 452, 453, 464, 342, 445, 444, 443, 442, 441, 413),
    *(265, 353, 276, 283, 282, 295, 372, 340, 346, 347, 348, 349, 350, 357, 465),
    *(383, 300, 293, 334, 296, 336, 285, 417),
)
LEFT_IRIS, RIGHT_IRIS = tuple(range(468, 473)), tuple(range(473, 478))


@dataclass(frozen=True)
class Part:
    """A part of the face that is looked at again.

    ``points`` are its points in the network's order; the line between the two ``level`` is turned
    level; ``outputs`` are the second network's, with the points each of them places.
    """

    points: tuple[int, ...]
    level: tuple[int, int]
    outputs: dict[str, tuple[int, ...]]


PARTS = (
    Part(LIPS, (61, 291), {"reshape_1": LIPS}),
    Part(LEFT_EYE, (33, 133), {"reshape_3": LEFT_EYE, "reshape_4": LEFT_IRIS}),
    Part(RIGHT_EYE, (362, 263), {"reshape_6": RIGHT_EYE, "reshape_7": RIGHT_IRIS}),
)


def mesh_finder(
    mesh: Path = MESH, parts: Path = PARTS_NET
) -> Callable[[np.ndarray], np.ndarray | None]:
    """Load the networks; return the function that finds the surest face's points in an image.

    Shapes:
        uint8 RGB [height, width, 3] -> float32 [478, 3] in pixels, or None
    """
    detect, rough, fine = blazeface.detector(), LiteNet(mesh), LiteNet(parts)

    def find(image: np.ndarray) -> np.ndarray | None:
        faces = detect(image)
        if not faces:
            return None
        middle, side, angle = square_around(faces[0])
        across = side * np.array([np.cos(angle), np.sin(angle)])
        down = np.array([-across[1], across[0]])
        corner = middle - (across + down) / 2
        cut = blazeface.read(image, corner, across, down, SIDE_PIXELS, is_repeated=True)
        first = rough(cut[None] / np.float32(255))
        if 1 / (1 + np.exp(-first["conv_faceflag"].item())) <= LEAST_PRESENCE:
            return None
        points = refined(first["output_mesh"].reshape(-1, 3), first["p_re_lu_3"][0], fine)
        share = points / SIDE_PIXELS
        flat = corner + share[:, :1] * across + share[:, 1:2] * down
        return np.hstack([flat, share[:, 2:] * side]).astype(np.float32)

    return find


def square_around(face: blazeface.Found) -> tuple[np.ndarray, float, float]:
    """Middle, side and turn in radians of the square that is cut out for a face."""
    corners = face.box.reshape(2, 2)
    (x, y) = face.points[1] - face.points[0]
    return corners.mean(0), REACH * float(np.max(corners[1] - corners[0])), float(np.arctan2(y, x))


def refined(points: np.ndarray, features: np.ndarray, fine: LiteNet) -> np.ndarray:
    """Place lips, eyes and irises again.

    Shapes:
        points [468, 3], features [48, 48, 32] -> [478, 3]
    """
    scale = FEATURE_PIXELS / SIDE_PIXELS
    matrices = [to_part(points[:, :2] * scale, part) for part in PARTS]
    found = fine(*(sampled(features, matrix)[None] for matrix in matrices))
    result = np.zeros((len(points) + len(LEFT_IRIS + RIGHT_IRIS), 3), np.float32)
    result[: len(points)] = points
    for part, matrix in zip(PARTS, matrices, strict=True):
        for name, places in part.outputs.items():
            result[list(places), :2] = found[name][0] @ matrix[:, :2].T + matrix[:, 2] / scale
    for eye, iris in ((LEFT_EYE, LEFT_IRIS), (RIGHT_EYE, RIGHT_IRIS)):
        result[list(iris), 2] = points[list(eye[:RIM]), 2].mean()
    return result


def to_part(points: np.ndarray, part: Part) -> np.ndarray:
    """The matrix [2, 3] from a part's crop, 16 pixels a side, to the features' pixels.

    The crop is the box around the part's points, turned level, half as large again.
    """
    first, last = points[list(part.level)]
    angle = np.arctan2(*(last - first)[::-1])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    level = points[list(part.points)] @ turn  # turned back by the angle
    low, high = level.min(0), level.max(0)
    middle = turn @ ((low + high) / 2)
    matrix = turn * (REACH * (high - low) / PART_PIXELS)
    shift = middle - matrix @ np.full(2, PART_PIXELS / 2)
    return np.hstack([matrix, shift[:, None]])


def sampled(features: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Read features [48, 48, C] bilinearly at a crop's pixels: [16, 16, C], 0 beyond the edge."""
    rows, columns = np.mgrid[:PART_PIXELS, :PART_PIXELS] + 0.5
    places = np.stack([columns, rows], axis=-1) @ matrix[:, :2].T + matrix[:, 2] - 0.5
    last = np.array(features.shape[1::-1]) - 1
    inside = ((places >= 0) & (places <= last)).all(-1, keepdims=True)
    floor = np.floor(places).astype(int).clip(0, last)
    ceiling = (floor + 1).clip(0, last)
    x, y = np.moveaxis(places - floor, -1, 0)[..., None]
    (left, top), (right, bottom) = np.moveaxis(floor, -1, 0), np.moveaxis(ceiling, -1, 0)
    upper = features[top, left] * (1 - x) + features[top, right] * x
    lower = features[bottom, left] * (1 - x) + features[bottom, right] * x
    return np.where(inside, upper * (1 - y) + lower * y, 0).astype(np.float32)

"""Draw a cartoon face by its identity (``Face``), its ``Expression`` and its ``Pose``.

Everything is laid out in head units (1 = half the width of a plain head, x right, y down, origin
between the eyes and the nose), drawn at four times the size and reduced by area, which is what
smooths the edges. The images serve the demo corpus; they are no evidence about real faces.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH_PIXELS = 320
HEIGHT_PIXELS = 240
HEAD_UNIT_PIXELS = 60.0  # half the width of a plain head in the finished image
CHIN = (0.0, 1.2)
ARC = np.linspace(0, 1, 40)  # an ellipse is a polygon of this many points

Points = NDArray[np.float64]
Image = NDArray[np.uint8]
Colour = tuple[int, int, int]  # red, green, blue


@dataclass(frozen=True)
class Face:
    """The appearance of one drawn actor. Lengths are factors of a plain head's."""

    skin: Colour
    hair: Colour
    iris: Colour
    shirt: Colour
    background: Colour
    hair_style: str
    beard: bool
    head_width: float
    head_height: float
    jaw: float  # 0 (oval) to 0.3 (pointed)
    eye_size: float
    eye_distance: float
    brow_thickness: float
    nose_length: float
    lip_fullness: float


@dataclass(frozen=True)
class Expression:
    """What the face does, 0 being at rest. The numbers add and scale like vectors."""

    brow_raise: float = 0.0
    brow_inner: float = 0.0  # inner ends up (worry) or down (frown)
    eye_open: float = 0.0
    mouth_curve: float = 0.0  # corners up or down
    mouth_open: float = 0.0
    mouth_width: float = 0.0
    wrinkle: float = 0.0  # nose and folds beside it
    blush: float = 0.0


@dataclass(frozen=True)
class Pose:
    """Where the head is: shift in pixels of the finished image, roll in degrees."""

    right_pixels: float = 0.0
    down_pixels: float = 0.0
    roll_degrees: float = 0.0


def mix(*weighted: tuple[float, Expression]) -> Expression:
    """The weighted sum of expressions."""
    names = [entry.name for entry in fields(Expression)]
    return Expression(**{n: sum(w * getattr(e, n) for w, e in weighted) for n in names})


def backdrop(face: Face) -> Image:
    """Background and shoulders, which do not move: uint8 (960, 1280, 3), four times the size."""
    canvas, still = np.empty((4 * HEIGHT_PIXELS, 4 * WIDTH_PIXELS, 3), np.uint8), Pose()
    canvas[:] = face.background
    _fill(canvas, _oval(0, -0.1, 2.25, 2.0), _tint(face.background, 1.06), still)
    _fill(canvas, _oval(0, 2.75, 1.85, 1.15), face.shirt, still)
    _fill(canvas, _oval(0, 1.72, 0.62, 0.34), _tint(face.shirt, 0.82), still)
    return canvas


def draw(face: Face, expression: Expression, pose: Pose, behind: Image) -> Image:
    """One image, uint8 (240, 320, 3), of the face before ``backdrop(face)``."""
    canvas = behind.copy()
    _draw_back_hair(canvas, face, pose)
    neck = np.array([(-0.4, 0.8), (0.4, 0.8), (0.46, 1.6), (0, 1.86), (-0.46, 1.6)])
    _fill(canvas, neck, _tint(face.skin, 0.84), pose)
    for ear in (-face.head_width, face.head_width):
        _fill(canvas, _oval(ear, 0.1, 0.15, 0.25), _tint(face.skin, 0.92), pose)
    _fill(canvas, _head(face), face.skin, pose)
    if face.beard:
        _draw_beard(canvas, face, pose)
    _draw_cheeks_and_nose(canvas, face, expression, pose)
    for side in (-1, 1):
        _draw_eye(canvas, face, expression, pose, side)
        _draw_brow(canvas, face, expression, pose, side)
    _draw_mouth(canvas, face, expression, pose)
    _draw_fringe(canvas, face, pose)
    # Halving twice takes a quarter of the time of one reduction to a quarter.
    half = cv2.resize(canvas, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(half, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))


def _place(points: Points, pose: Pose) -> NDArray[np.int32]:
    """Head units to pixels of the large canvas. The head rolls about its chin."""
    angle = np.deg2rad(pose.roll_degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned = ((points - CHIN) @ turn + CHIN) * HEAD_UNIT_PIXELS
    centre = (WIDTH_PIXELS / 2 + pose.right_pixels, HEIGHT_PIXELS * 0.475 + pose.down_pixels)
    return np.rint((turned + centre) * 4).astype(np.int32)


def _fill(canvas: Image, points: Points, colour: Colour, pose: Pose) -> None:
    cv2.fillPoly(canvas, [_place(points, pose)], colour)


def _stroke(canvas: Image, points: Points, colour: Colour, pose: Pose, thick: float) -> None:
    pixels = max(1, round(thick * HEAD_UNIT_PIXELS * 4))
    cv2.polylines(canvas, [_place(points, pose)], False, colour, pixels)


def _tint(colour: Colour, factor: float, towards: Colour = (0, 0, 0), part: float = 0.0) -> Colour:
    """A lighter or darker colour, then ``part`` of the way towards another."""
    pairs = zip(colour, towards, strict=True)
    r, g, b = (int(min(255.0, c * factor * (1 - part) + t * part)) for c, t in pairs)
    return r, g, b


def _oval(x: float, y: float, rx: float, ry: float, start: float = 0, stop: float = 360) -> Points:
    """Points on an ellipse from one angle to another, in degrees, clockwise from the right."""
    angles = np.deg2rad(start + (stop - start) * ARC)
    return np.array([x + rx * np.cos(angles), y + ry * np.sin(angles)]).T


def _band(x: Points, above: Points, below: Points) -> Points:
    """The outline of what lies between two curves over the same ``x``."""
    return np.concatenate([np.array([x, above]).T, np.array([x, below]).T[::-1]])


def _head(face: Face, start: float = 0, stop: float = 360, scale: float = 1.0) -> Points:
    """The outline of the head, narrowing towards the chin."""
    x, y = _oval(0, 0, scale, scale, start, stop).T
    narrowing = 1 - face.jaw * np.clip(y, 0, None) ** 2
    return np.array([x * face.head_width * narrowing, y * 1.3 * face.head_height]).T


def _draw_back_hair(canvas: Image, face: Face, pose: Pose) -> None:
    curls = np.linspace(-np.pi - 0.4, 0.4, 11)
    shapes = {
        "long": [_oval(0, 0.1, 1.26, 1.5), _oval(0, 1.0, 1.2, 0.95)],
        "bob": [_oval(0, -0.05, 1.28, 1.38), _oval(0, 0.62, 1.24, 0.6)],
        "bun": [_oval(0, -1.5, 0.42, 0.36), _oval(0, -0.15, 1.1, 1.27)],
        "curls": [_oval(np.cos(a), -0.35 + 0.95 * np.sin(a), 0.42, 0.42) for a in curls],
        "swept": [_oval(0.06, -0.25, 1.1, 1.22)],
        "short": [_oval(0, -0.22, 1.07, 1.2)],
    }
    for shape in shapes[face.hair_style]:
        _fill(canvas, shape, _tint(face.hair, 0.88), pose)


def _draw_fringe(canvas: Image, face: Face, pose: Pose) -> None:
    top = _head(face, 205, 335, 1.035)
    hairlines = {
        "long": [(0.6, -0.66), (0.12, -1.02), (-0.5, -0.8)],
        "bob": [(0.8, -0.66), (0.3, -0.74), (-0.3, -0.74), (-0.8, -0.66)],
        "bun": [(0.62, -0.84), (0, -0.98), (-0.62, -0.84)],
        "curls": [(0.66, -0.78), (0.36, -0.92), (0, -0.84), (-0.36, -0.92), (-0.66, -0.78)],
        "swept": [(0.78, -0.82), (0.2, -0.72), (-0.5, -0.98), (-0.84, -0.66)],
        "short": [(0.74, -0.78), (0.4, -0.9), (-0.4, -0.9), (-0.74, -0.78)],
    }
    hairline = np.array(hairlines[face.hair_style]) * (face.head_width, face.head_height)
    _fill(canvas, np.concatenate([top, hairline]), face.hair, pose)


def _draw_beard(canvas: Image, face: Face, pose: Pose) -> None:
    inner = _oval(0, 0.78, 0.62, 0.28, 180, 360) * (face.head_width, face.head_height)
    outline = np.concatenate([_head(face, 12, 168, 1.01), inner])
    _fill(canvas, outline, _tint(face.hair, 1.0, face.skin, 0.35), pose)


def _draw_cheeks_and_nose(canvas: Image, face: Face, shown: Expression, pose: Pose) -> None:
    shade = _tint(face.skin, 0.8)
    blush = _tint(face.skin, 1.0, (226, 96, 92), 0.12 + 0.16 * float(np.clip(shown.blush, 0, 1)))
    tip = 0.42 * face.nose_length - 0.05 * shown.wrinkle
    for side in (-1, 1):
        if not face.beard:
            _fill(canvas, _oval(side * 0.62 * face.head_width, 0.4, 0.2, 0.15), blush, pose)
        _fill(canvas, _oval(side * 0.1, tip - 0.02, 0.075, 0.055), shade, pose)
        if shown.wrinkle > 0.15:
            fold = [(0.2, tip - 0.08), (0.36, tip + 0.1), (0.44, tip + 0.3)]
            thick = 0.03 * min(shown.wrinkle, 1.2)
            for line in (np.array(fold), np.array([(0.07, -0.42), (0.05, -0.24)])):
                _stroke(canvas, line * (float(side), 1.0), shade, pose, thick)
    _fill(canvas, _oval(0, tip - 0.05, 0.12, 0.09), _tint(face.skin, 0.93), pose)
    bridge = np.array([(0.1, -0.12), (0.06, 0.1), (0.13, tip - 0.1)])
    _stroke(canvas, bridge, _tint(face.skin, 0.88), pose, 0.035)
    _fill(canvas, _oval(-0.03, tip - 0.08, 0.05, 0.04), _tint(face.skin, 1.06), pose)


def _draw_eye(canvas: Image, face: Face, shown: Expression, pose: Pose, side: int) -> None:
    x, y = side * 0.44 * face.eye_distance, -0.1
    width = 0.21 * face.eye_size
    # At rest the upper lid covers the iris's top; wide open, white shows above it.
    upper = width * float(np.clip(0.62 + 0.34 * shown.eye_open, 0.05, 1.0))
    lower = width * float(np.clip(0.46 + 0.14 * shown.eye_open, 0.05, 0.6))
    _fill(canvas, _oval(x, y - 0.02, width * 1.2, upper + 0.09), _tint(face.skin, 0.92), pose)
    lids = np.concatenate([_oval(x, y, width, upper, 180, 360), _oval(x, y, width, lower, 0, 180)])
    _fill(canvas, lids, (248, 246, 242), pose)
    for radius, colour in ((0.56 * width, face.iris), (0.3 * width, (18, 14, 14))):
        disc = _oval(x, y, radius, radius)
        room = np.sqrt(np.clip(1 - ((disc[:, 0] - x) / width) ** 2, 0, 1))
        disc[:, 1] = np.clip(disc[:, 1], y - upper * room, y + lower * room)
        _fill(canvas, disc, colour, pose)
    if upper > 0.3 * width:
        _fill(canvas, _oval(x + 0.035, y - 0.04, 0.02, 0.02), (255, 255, 255), pose)
    _stroke(canvas, _oval(x, y, width * 1.04, upper, 178, 362), (40, 28, 26), pose, 0.04)
    _stroke(canvas, _oval(x, y, width, lower, 20, 160), _tint(face.skin, 0.7), pose, 0.018)


def _draw_brow(canvas: Image, face: Face, shown: Expression, pose: Pose, side: int) -> None:
    along = np.linspace(0, 1, 12)  # from the inner end to the outer one
    x = side * (0.2 + 0.5 * along - 0.05 * max(0.0, -shown.brow_inner)) * face.eye_distance
    height = 0.44 + 0.13 * shown.brow_raise + 0.07 * np.sin(np.pi * along**0.8)
    height += 0.17 * shown.brow_inner * (1 - 1.35 * along)
    half = 0.055 * face.brow_thickness * (1.0 - 0.6 * along)
    _fill(canvas, _band(x, -height - half, -height + half), _tint(face.hair, 0.8), pose)


def _draw_mouth(canvas: Image, face: Face, shown: Expression, pose: Pose) -> None:
    across = np.linspace(-1, 1, 33)
    half_width = 0.34 * float(np.clip(1 + 0.35 * shown.mouth_width, 0.45, 1.5))
    gap = (1 - across**2) ** 0.6 * float(np.clip(shown.mouth_open, 0, 1.3))
    x = across * half_width
    middle = 0.76 * face.head_height + 0.16 * shown.mouth_curve * (0.45 - across**2)
    upper, lower = middle - 0.1 * gap, middle + 0.26 * gap
    lip = 0.075 * face.lip_fullness * (1 - np.abs(across) ** 2.5)
    bow = 1 - 0.3 * np.exp(-((across / 0.16) ** 2))  # the dip in the upper lip
    red = _tint(face.skin, 0.82, (186, 62, 70), 0.42)
    teeth = np.minimum(upper + 0.1, middle + 0.1 * gap)
    _fill(canvas, _band(x, upper - lip * bow, lower + 1.25 * lip), red, pose)
    _fill(canvas, _band(x, upper, lower), (78, 26, 30), pose)
    _fill(canvas, _band(x, upper, teeth), (250, 248, 244), pose)
    _stroke(canvas, np.array([x, upper]).T, (104, 40, 40), pose, 0.022)
    _stroke(canvas, np.array([x, lower]).T, (104, 40, 40), pose, 0.018)

"""Face tracks: a few frames a second of a video, each cut to the face found in it.

A track holds everything that face features are computed from. Its frames are stored as JPEG, and
crops and mesh points are always computed from that form, so it does not matter whether a track
comes from the video or from a cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

import cv2
import numpy as np

from emorec_tf.features import face_detection
from emorec_tf.features.face_detection import Detector, Face, Mesh
from emorec_tf.features.mesh_points import LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS

TRACK_RATE_HZ = 6.0  # distinct frames a second at most
TRACK_SECONDS = 12.0  # the middle of longer clips, unless examples are longer too
REGION_BOXES = 2.0  # side of what is kept around a face, in the longer sides of its box
REGION_PIXELS = 384  # side at most
JPEG_QUALITY = 95
FACE_NUMBERS = 9  # box, score, two eyes
READ = {  # flags that read a JPEG at 1 / key of its size: in colour, in grey
    1: (cv2.IMREAD_COLOR, cv2.IMREAD_GRAYSCALE),
    2: (cv2.IMREAD_REDUCED_COLOR_2, cv2.IMREAD_REDUCED_GRAYSCALE_2),
    4: (cv2.IMREAD_REDUCED_COLOR_4, cv2.IMREAD_REDUCED_GRAYSCALE_4),
    8: (cv2.IMREAD_REDUCED_COLOR_8, cv2.IMREAD_REDUCED_GRAYSCALE_8),
}


@dataclass(frozen=True)
class TrackFrame:
    """One video frame of a track.

    ``region`` is a JPEG of what lies around the face, or of the whole frame where none was found;
    ``face`` is in its pixels. The region's corner (``left``, ``top``) is in the video's pixels;
    each of these is ``scale_x`` by ``scale_y`` pixels of the region.
    """

    seconds: float
    region: bytes
    face: Face | None
    left: float
    top: float
    scale_x: float
    scale_y: float


def track(images: Iterable[tuple[float, np.ndarray]], detect: Detector) -> list[TrackFrame]:
    """Follow the main face through images, uint8 RGB [height, width, 3], with their seconds.

    Their size may change: the face's place counts in shares of the image.
    """
    frames, previous, size = [], None, None
    for seconds, image in images:
        previous, size = resized(previous, size, image.shape[:2]), image.shape[:2]
        face = face_detection.pick(detect(image), previous)
        previous = face or previous
        frames.append(track_frame(image, face, seconds))
    return frames


def track_frame(image: np.ndarray, face: Face | None, seconds: float) -> TrackFrame:
    """Cut the region out of an image, reduce it and keep it as JPEG."""
    height, width = image.shape[:2]
    left, top, right, bottom = 0, 0, width, height
    if face is not None:
        reach = REGION_BOXES / 2 * max(face.width, face.height, 1.0)
        x, y = face.x + face.width / 2, face.y + face.height / 2
        left, right = span(x - reach, x + reach, width)
        top, bottom = span(y - reach, y + reach, height)
    part = image[top:bottom, left:right]
    shrink = min(1.0, REGION_PIXELS / max(part.shape[:2]))
    size = [max(1, round(side * shrink)) for side in part.shape[1::-1]]
    if shrink < 1:
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    scale_x, scale_y = size[0] / (right - left), size[1] / (bottom - top)
    quality = (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY)
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(part, cv2.COLOR_RGB2BGR), quality)
    moved = face and within(face, left, top, scale_x, scale_y)
    return TrackFrame(seconds, jpeg.tobytes(), moved, left, top, scale_x, scale_y)


def span(low: float, high: float, length: int) -> tuple[int, int]:
    """Whole pixels from ``low`` to ``high`` that lie within the image: one at least."""
    first = min(max(0, round(low)), length - 1)
    return first, min(max(first + 1, round(high)), length)


def within(face: Face, left: float, top: float, scale_x: float, scale_y: float) -> Face:
    """The face in a region's pixels. Boxes count from pixels' edges, eyes from their centres."""
    eyes = [
        eye and ((eye[0] + 0.5 - left) * scale_x - 0.5, (eye[1] + 0.5 - top) * scale_y - 0.5)
        for eye in (face.left_eye, face.right_eye)
    ]
    x, y = (face.x - left) * scale_x, (face.y - top) * scale_y
    return Face(x, y, face.width * scale_x, face.height * scale_y, face.score, *eyes)


def resized(
    face: Face | None, size: tuple[int, ...] | None, wanted: tuple[int, ...]
) -> Face | None:
    """Move a face of an image of ``size`` to the same place of one of another; heights first."""
    if face is None or size is None or size == wanted:
        return face
    return within(face, 0, 0, wanted[1] / size[1], wanted[0] / size[0])


def region_of(frame: TrackFrame, reduce: int = 1, channels: int = 3) -> np.ndarray:
    """The region, reduced by a whole factor: uint8 [height, width, 3] RGB, [height, width] grey.

    Grey is the JPEG's own: the weighted sum of ITU-R BT.601.
    """
    colour, grey = READ[reduce]
    data = np.frombuffer(frame.region, np.uint8)
    image = cv2.imdecode(data, grey if channels == 1 else colour)
    return image if channels == 1 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def crop_of(
    frame: TrackFrame, *, size_pixels: int, margin: float, align: bool, channels: int
) -> np.ndarray | None:
    """Cut the face out: uint8 [size_pixels, size_pixels, channels], or ``None`` without one."""
    if frame.face is None:
        return None
    wanted = face_detection.reduction(
        frame.face, size_pixels=size_pixels, margin=margin, align=align
    )
    reduce = max(step for step in READ if step <= max(1.0, wanted))  # decoding reduces for free
    face = within(frame.face, 0, 0, 1 / reduce, 1 / reduce)
    region = region_of(frame, reduce, channels)
    cut = face_detection.crop(region, face, size_pixels=size_pixels, margin=margin, align=align)
    return cut.reshape(size_pixels, size_pixels, channels)


def by_mesh(frame: TrackFrame, points: np.ndarray) -> TrackFrame:
    """Take a face's eyes from the mesh's eye corners; points [478, 3] in the video's pixels."""
    if frame.face is None:
        return frame
    scale, corner = np.array([frame.scale_x, frame.scale_y]), np.array([frame.left, frame.top])
    eyes: list[Any] = [
        tuple((points[list(corners), :2].mean(0) - corner) * scale - 0.5)
        for corners in (LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS)
    ]
    return replace(frame, face=replace(frame.face, left_eye=eyes[0], right_eye=eyes[1]))


def points_of(frame: TrackFrame, mesh: Mesh) -> np.ndarray | None:
    """Mesh points float32 [478, 3] in the video's pixels, or ``None`` without a face."""
    points = mesh(region_of(frame))
    if points is None:
        return None
    scale = np.array([frame.scale_x, frame.scale_y, frame.scale_x], np.float32)
    return points / scale + np.array([frame.left, frame.top, 0], np.float32)


def to_arrays(frames: Sequence[TrackFrame]) -> dict[str, np.ndarray]:
    """Convert a track to arrays; absent faces and eyes are NaN."""
    numbers = np.full((len(frames), FACE_NUMBERS), np.nan)
    for row, frame in zip(numbers, frames, strict=True):
        if frame.face:
            flat = np.hstack([part for part in astuple(frame.face) if part is not None])
            row[: len(flat)] = flat
    places = [(f.seconds, f.left, f.top, f.scale_x, f.scale_y) for f in frames]
    return {
        "faces": numbers,
        "places": np.array(places, np.float64).reshape(-1, 5),
        "lengths": np.array([len(frame.region) for frame in frames], np.int64),
        "regions": np.frombuffer(b"".join(frame.region for frame in frames), np.uint8),
    }


def from_arrays(arrays: Mapping[str, np.ndarray]) -> list[TrackFrame]:
    """Convert the arrays of ``to_arrays`` back to a track."""
    ends = np.cumsum(arrays["lengths"])
    frames = []
    for numbers, place, end, length in zip(
        arrays["faces"].tolist(), arrays["places"].tolist(), ends, arrays["lengths"], strict=True
    ):
        box, eyes = numbers[:5], (tuple(numbers[5:7]), tuple(numbers[7:9]))
        known = (None, None) if np.isnan(numbers[5]) else eyes
        face = None if np.isnan(box[0]) else Face(*box, *known)
        seconds, left, top, scale_x, scale_y = place
        region = arrays["regions"][end - length : end].tobytes()
        frames.append(TrackFrame(seconds, region, face, left, top, scale_x, scale_y))
    return frames

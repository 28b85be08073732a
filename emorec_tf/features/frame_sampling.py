"""Which frames of a face track become an example: the choices of ``face_sampling``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.errors import UserError


@dataclass(frozen=True)
class TrackTimes:
    """Inputs of a choice of frames; times are seconds from the start of decoding.

    ``seconds`` is float64 [frames], growing; ``face_found`` bool [frames]; the example's
    window lasts ``window_seconds`` from ``start_seconds`` on.
    """

    name: str
    seconds: np.ndarray
    face_found: np.ndarray
    start_seconds: float
    window_seconds: float


def even(times: TrackTimes, features: FeaturesConfig) -> list[int]:
    """Evenly spaced in time: ``face_frames`` moments, each with the frame nearest to it."""
    count = features.face_frames
    moments = (np.arange(count) + 0.5) * times.window_seconds / count
    return nearest(times, moments)


def rate(times: TrackTimes, features: FeaturesConfig) -> list[int]:
    """``face_rate_hz`` a second from the window's start, none twice, at most ``face_frames``."""
    # The factor keeps a moment at the window's very end out, however the division is rounded.
    count = int(np.ceil(times.window_seconds * features.face_rate_hz * (1 - 1e-9)))
    chosen = nearest(times, np.arange(count) / features.face_rate_hz)
    return sorted(set(chosen))[: features.face_frames]


def adaptive(times: TrackTimes, features: FeaturesConfig) -> list[int]:
    """Every n-th of the frames with a face, of the whole track: exactly ``face_frames``.

    Raises:
        UserError: the track shows fewer faces.
    """
    faces = np.flatnonzero(times.face_found)
    count = features.face_frames
    if len(faces) < count:
        raise UserError(
            f"{times.name}: shows a face in {len(faces)} frames, face_sampling adaptive needs "
            f"{count}; lower --face_frames or use --face_sampling even"
        )
    return [int(index) for index in faces[:: len(faces) // count][:count]]


def nearest(times: TrackTimes, moments: np.ndarray) -> list[int]:
    """Index of the frame nearest to each moment, in seconds of the window."""
    gaps = np.abs(times.start_seconds + moments[:, None] - times.seconds)
    return [int(index) for index in gaps.argmin(1)]


SAMPLINGS: dict[str, Callable[[TrackTimes, FeaturesConfig], list[int]]] = {
    "even": even,
    "rate": rate,
    "adaptive": adaptive,
}

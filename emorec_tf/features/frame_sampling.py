"""Which pictures of a film become an example: the choices of ``face_sampling``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.errors import UserError


@dataclass(frozen=True)
class Shown:
    """What a choice may look at; times are seconds from where decoding began.

    ``seconds`` is float64 [pictures], growing; ``face_found`` bool [pictures]; the example's
    window lasts ``window_seconds`` from ``start_seconds`` on.
    """

    path: str
    seconds: np.ndarray
    face_found: np.ndarray
    start_seconds: float
    window_seconds: float


def even(shown: Shown, features: FeaturesConfig) -> list[int]:
    """Evenly spaced in time: ``face_frames`` moments, each with the picture nearest to it."""
    count = features.face_frames
    moments = (np.arange(count) + 0.5) * shown.window_seconds / count
    return nearest(shown, moments)


def rate(shown: Shown, features: FeaturesConfig) -> list[int]:
    """``face_rate_hz`` a second from the window's start, none twice, at most ``face_frames``."""
    # The share keeps a moment at the window's very end out, however the division is rounded.
    count = int(np.ceil(shown.window_seconds * features.face_rate_hz * (1 - 1e-9)))
    chosen = nearest(shown, np.arange(count) / features.face_rate_hz)
    return sorted(set(chosen))[: features.face_frames]


def adaptive(shown: Shown, features: FeaturesConfig) -> list[int]:
    """Each so-manieth of the pictures with a face, of the whole film: exactly ``face_frames``.

    Raises:
        UserError: the film shows fewer faces.
    """
    faces = np.flatnonzero(shown.face_found)
    count = features.face_frames
    if len(faces) < count:
        raise UserError(
            f"{shown.path}: shows a face in {len(faces)} pictures, face_sampling adaptive needs "
            f"{count}; lower --face_frames or use --face_sampling even"
        )
    return [int(index) for index in faces[:: len(faces) // count][:count]]


def nearest(shown: Shown, moments: np.ndarray) -> list[int]:
    """Index of the picture nearest to each moment, in seconds of the window."""
    gaps = np.abs(shown.start_seconds + moments[:, None] - shown.seconds)
    return [int(index) for index in gaps.argmin(1)]


SAMPLINGS: dict[str, Callable[[Shown, FeaturesConfig], list[int]]] = {
    "even": even,
    "rate": rate,
    "adaptive": adaptive,
}

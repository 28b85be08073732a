"""A window's pictures become a film of each person in view, as a clip's become one of its face.

Each picture is looked at once, though windows share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from emorec_tf.features import face_detection, face_tracks
from emorec_tf.features.decoded import Film
from emorec_tf.features.face_tracks import Look
from emorec_tf.inference import person_tracking
from emorec_tf.inference.person_tracking import Person
from emorec_tf.media import decode, samplers
from emorec_tf.media.decode import Recording

LEAST_PICTURES = 3  # of a window (or all it has) that show a person's face
PORTRAIT_PIXELS = 96


@dataclass(frozen=True)
class Shot:
    """A picture once looked at: whose faces it shows, and the look that goes with each.

    ``key`` is the frame; ``others`` is the look for whoever is not in the picture.
    """

    key: Any
    seconds: float
    looks: dict[int, Look]
    others: Look


@dataclass
class Watcher:
    """What is remembered of a film from window to window: the people, and pictures just seen."""

    detect: face_detection.Detector
    crowd: list[Person] = field(default_factory=list)
    shots: list[Shot] = field(default_factory=list)
    best: dict[int, tuple[float, Look]] = field(default_factory=dict)


def films(recording: Recording, watcher: Watcher) -> Iterator[tuple[int | None, Film | None]]:
    """Give the film of each person in view, or once none, with the person's index."""
    shots = list(shots_of(recording, watcher))
    least = min(LEAST_PICTURES, len(shots))
    there = sorted({number for shot in shots for number in shot.looks})
    there = [n for n in there if sum(n in shot.looks for shot in shots) >= least]
    for number in there:
        looks = [look_of(shot, number) for shot in shots]
        yield number, Film(looks, recording.seconds, (), "")
    if not there:
        # Where no detector found a face, the mesh may, as it may in a clip.
        alone = bool(shots) and not any(shot.looks for shot in shots)
        yield None, Film([look_of(s) for s in shots], recording.seconds, (), "") if alone else None


def look_of(shot: Shot, number: int | None = None) -> Look:
    """Give the look at one person, by the window's time."""
    look = shot.others if number is None else shot.looks.get(number, shot.others)
    return replace(look, seconds=shot.seconds)


def shots_of(recording: Recording, watcher: Watcher) -> Iterator[Shot]:
    """Look at each picture of a window once, also if windows share it."""
    convert = samplers.converter(recording.path)
    known = {id(shot.key): shot for shot in watcher.shots}
    shots: list[Shot] = []
    for frame, seconds in zip(recording.shown, recording.frame_seconds.tolist(), strict=True):
        if shots and shots[-1].key is frame:
            continue
        shot = known.get(id(frame))
        if shot is None:
            with decode.blamed(recording.path):
                picture = convert(frame)
            shot = shot_of(picture, frame, recording.start_seconds + seconds, watcher)
        shots.append(replace(shot, seconds=seconds))
        yield shots[-1]
    watcher.shots = shots


def shot_of(picture: np.ndarray, frame: Any, seconds: float, watcher: Watcher) -> Shot:
    """Find the faces of a picture, and whose they are."""
    found = person_tracking.assign(watcher.crowd, seconds, watcher.detect(picture))
    looks = {number: face_tracks.look_at(picture, face, seconds) for number, face in found.items()}
    for number, face in found.items():
        value = worth(face)
        if value > watcher.best.get(number, (0.0, None))[0]:
            watcher.best[number] = value, looks[number]
    # Where others are in view, somebody's mesh must not be found in a neighbour's face.
    plain = picture if not looks else np.zeros((1, 1, 3), np.uint8)
    return Shot(frame, seconds, looks, face_tracks.look_at(plain, None, seconds))


def worth(face: face_detection.Face) -> float:
    """How well a face would do for a portrait: sure of being one, and large enough."""
    return float(face.score * min(face.width * face.height, PORTRAIT_PIXELS**2))


def portrait(look: Look) -> np.ndarray:
    """Cut a face out for people to look at: uint8 RGB."""
    crop = face_tracks.crop_of(
        look, size_pixels=PORTRAIT_PIXELS, margin=0.25, align=False, channels=3
    )
    return np.zeros((1, 1, 3), np.uint8) if crop is None else crop


def lazy(load: Callable[[], face_detection.Detector]) -> face_detection.Detector:
    """Load a detector when the first picture comes."""
    kept: list[face_detection.Detector] = []

    def detect(picture: np.ndarray) -> list[face_detection.Face]:
        if not kept:
            kept.append(load())
        return kept[0](picture)

    return detect

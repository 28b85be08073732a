"""A window's frames become a face track of each person in view, as a clip's become one of its face.

Faces are looked for once in each frame, though windows share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from emorec_tf.features import face_detection, face_tracks
from emorec_tf.features.decoded import FaceTrack
from emorec_tf.features.face_detection import Face
from emorec_tf.features.face_tracks import TrackFrame
from emorec_tf.inference import person_tracking
from emorec_tf.inference.person_tracking import Person
from emorec_tf.media import samplers
from emorec_tf.media.container import media_errors
from emorec_tf.media.decode import Recording

LEAST_FRAMES = 3  # of a window (or all it has) that show a person's face
PORTRAIT_PIXELS = 96


@dataclass(frozen=True)
class Shot:
    """A frame in which faces were looked for: the track frame of each person in it.

    ``key`` is FFmpeg's frame; ``others`` is the track frame of people who are not in view.
    """

    key: Any
    seconds: float
    people: dict[int, TrackFrame]
    others: TrackFrame

    def frame_of(self, person: int | None) -> TrackFrame:
        """Give the track frame of one person, or of none, by the window's time."""
        frame = self.others if person is None else self.people.get(person, self.others)
        return replace(frame, seconds=self.seconds)


@dataclass
class Watcher:
    """What is kept of a video from window to window: the people, and the last window's shots.

    ``best`` holds each person's best face so far, with its score. ``size`` is the first frame's
    height and width: people's places count in its pixels, whatever size later frames have.
    ``check`` is called before each frame is looked at; what it raises stops the work.
    """

    detect: face_detection.Detector
    check: Callable[[], None] = lambda: None
    crowd: list[Person] = field(default_factory=list)
    shots: list[Shot] = field(default_factory=list)
    best: dict[int, tuple[float, TrackFrame]] = field(default_factory=dict)
    size: tuple[int, ...] | None = None


def tracks(recording: Recording, watcher: Watcher) -> Iterator[tuple[int | None, FaceTrack | None]]:
    """Give the face track of each person in view, or once none, with the person's index."""
    shots = list(shots_of(recording, watcher))
    least = min(LEAST_FRAMES, len(shots))
    people = sorted({number for shot in shots for number in shot.people})
    people = [n for n in people if sum(n in shot.people for shot in shots) >= least]
    for number in people:
        yield number, FaceTrack([shot.frame_of(number) for shot in shots], recording.seconds)
    if not people:
        # Where no detector found a face, the mesh may, as it may in a clip.
        empty = bool(shots) and not any(shot.people for shot in shots)
        frames = [shot.frame_of(None) for shot in shots]
        yield None, FaceTrack(frames, recording.seconds) if empty else None


def shots_of(recording: Recording, watcher: Watcher) -> Iterator[Shot]:
    """Look for faces in each frame of a window, once also if windows share it."""
    convert = samplers.converter(recording.name)
    known = {id(shot.key): shot for shot in watcher.shots}
    shots: list[Shot] = []
    for frame, seconds in zip(recording.av_frames, recording.frame_seconds.tolist(), strict=True):
        if shots and shots[-1].key is frame:
            continue
        shot = known.get(id(frame))
        if shot is None:
            watcher.check()
            with media_errors(recording.name):
                image = convert(frame)
            shot = shot_of(image, frame, recording.start_seconds + seconds, watcher)
        shots.append(replace(shot, seconds=seconds))
        yield shots[-1]
    watcher.shots = shots


def shot_of(image: np.ndarray, frame: Any, seconds: float, watcher: Watcher) -> Shot:
    """Find the faces of an image, and the person of each."""
    found = people_in(image, seconds, watcher)
    people = {n: face_tracks.track_frame(image, face, seconds) for n, face in found.items()}
    for number, face in found.items():
        value = portrait_score(face)
        if value > watcher.best.get(number, (0.0, None))[0]:
            watcher.best[number] = value, people[number]
    # Where others are in view, a person's mesh must not be found in a neighbour's face.
    plain = image if not people else np.zeros((1, 1, 3), np.uint8)
    return Shot(frame, seconds, people, face_tracks.track_frame(plain, None, seconds))


def people_in(image: np.ndarray, seconds: float, watcher: Watcher) -> dict[int, Face]:
    """Find the faces of an image, by the index of the person, in the image's own pixels."""
    size = image.shape[:2]
    watcher.size = watcher.size or size
    faces = watcher.detect(image)
    placed = [face_tracks.resized(face, size, watcher.size) or face for face in faces]
    own = {id(place): face for place, face in zip(placed, faces, strict=True)}
    found = person_tracking.assign(watcher.crowd, seconds, placed)
    return {number: own[id(place)] for number, place in found.items()}


def portrait_score(face: face_detection.Face) -> float:
    """How well a face would do for a portrait: surely a face, and large enough."""
    return float(face.score * min(face.width * face.height, PORTRAIT_PIXELS**2))


def portrait(frame: TrackFrame) -> np.ndarray:
    """Cut a face out for people to look at: uint8 RGB."""
    crop = face_tracks.crop_of(
        frame, size_pixels=PORTRAIT_PIXELS, margin=0.25, align=False, channels=3
    )
    return np.zeros((1, 1, 3), np.uint8) if crop is None else crop


def portrait_of(faces: FaceTrack | None) -> dict[int, np.ndarray]:
    """The face of a clip, cut from its best frame: uint8 RGB of person 1, or none."""
    frames = faces.frames if faces else []
    scored = [(portrait_score(frame.face), frame) for frame in frames if frame.face is not None]
    return {1: portrait(max(scored, key=lambda pair: pair[0])[1])} if scored else {}

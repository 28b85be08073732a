"""Faces found in a video's frames become people.

A person is a place that moves little from frame to frame. Faces are not recognised: a person
who leaves and comes back elsewhere is a new one, and one who takes another's place is taken for
them.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from emorec_tf.features.face_detection import SAME_FACE_OVERLAP, Face, overlap

NEAR_SIDES = 0.75  # so far, in sides of its box, a face may jump between two frames
NEAR_SECONDS = 1.0
LEAST_SIZE_RATIO = 0.5
REMEMBERED_SECONDS = 10.0  # a face that was out of view is the same one at the same place
TWICE_FOUND_OVERLAP = 0.4  # detectors now and then give one face twice


@dataclass
class Person:
    """When and where a face was seen, by time; boxes in the pixels of the video's first frame."""

    seconds: list[float] = field(default_factory=list)
    faces: list[Face] = field(default_factory=list)

    def see(self, seconds: float, face: Face) -> None:
        """Add a sighting, once."""
        at = bisect.bisect_left(self.seconds, seconds)
        if at == len(self.seconds) or self.seconds[at] != seconds:
            self.seconds.insert(at, seconds)
            self.faces.insert(at, face)

    def nearest(self, seconds: float) -> int:
        """Index of the sighting nearest in time."""
        at = bisect.bisect_left(self.seconds, seconds)
        around = [i for i in (at - 1, at) if 0 <= i < len(self.seconds)]
        return min(around, key=lambda i: abs(self.seconds[i] - seconds))


def assign(crowd: list[Person], seconds: float, found: Sequence[Face]) -> dict[int, Face]:
    """Give each face of a frame to a person, and add to ``crowd`` those who are new.

    Frames may come a little out of order. Of all ways to pair people and faces the one with the
    greatest sum of ``closeness`` is taken; where that is 0, the face is a new person's.

    Returns:
        The face of each person who is in the frame, by index in ``crowd``.
    """
    faces = deduplicated(found)
    scores = np.array([[closeness(one, seconds, face) for face in faces] for one in crowd])
    pairs = paired(scores) if crowd and faces else ()
    person_of = {int(face): int(one) for one, face in pairs if scores[one, face] > 0}
    for index in sorted(set(range(len(faces))) - set(person_of), key=lambda i: faces[i].x):
        person_of[index] = len(crowd)
        crowd.append(Person())
    for index, number in person_of.items():
        crowd[number].see(seconds, faces[index])
    return {number: faces[index] for index, number in sorted(person_of.items())}


def paired(scores: np.ndarray) -> list[tuple[int, int]]:
    """Pair rows and columns of [people, faces] so that the sum of their scores is greatest."""
    if 1 in scores.shape:
        one, face = np.unravel_index(scores.argmax(), scores.shape)
        return [(int(one), int(face))]
    from scipy.optimize import linear_sum_assignment  # slow to load, and few clips need it

    return [*zip(*map(np.ndarray.tolist, linear_sum_assignment(scores, True)), strict=True)]


def deduplicated(found: Sequence[Face]) -> list[Face]:
    """Leave out boxes that lie on another one; the better of two comes first and stays."""
    kept: list[Face] = []
    for face in found:
        if all(overlap(face, other) < TWICE_FOUND_OVERLAP for other in kept):
            kept.append(face)
    return kept


def closeness(person: Person, seconds: float, face: Face) -> float:
    """From 0 (another one) to 1: the overlap with the person's box at the nearest time.

    Within a second a face may also be a little beside where it was, when its size is about the
    same; that counts less than any overlap.
    """
    nearest = person.nearest(seconds)
    gap, known = abs(person.seconds[nearest] - seconds), person.faces[nearest]
    if gap > REMEMBERED_SECONDS:
        return 0.0
    common = overlap(face, known)
    if common >= SAME_FACE_OVERLAP:
        return common
    sides = sorted(max(f.width, f.height, 1.0) for f in (face, known))
    across = face.x + face.width / 2 - known.x - known.width / 2
    down = face.y + face.height / 2 - known.y - known.height / 2
    far = (across**2 + down**2) ** 0.5 / sides[1] / NEAR_SIDES
    near = gap <= NEAR_SECONDS and far < 1 and sides[0] >= LEAST_SIZE_RATIO * sides[1]
    return SAME_FACE_OVERLAP * (1 - far) if near else 0.0


def in_order(crowd: Sequence[Person], seen: Sequence[int]) -> dict[int, int]:
    """Number the people who were ``seen`` from 1: by first appearance, then from left to right."""
    first = sorted(seen, key=lambda i: (crowd[i].seconds[0], crowd[i].faces[0].x, i))
    return {index: number for number, index in enumerate(first, 1)}

"""People are kept apart by position and time alone."""

from __future__ import annotations

import numpy as np

from emorec_tf.features.face_detection import Face
from emorec_tf.inference import person_tracking


def face(x: float, y: float = 50.0, side: float = 80.0, score: float = 0.9) -> Face:
    return Face(x, y, side, side, score)


def test_two_people_who_sway_stay_two():
    random = np.random.default_rng(0)
    crowd: list[person_tracking.Person] = []
    for step in range(200):
        left, right = (face(x + random.normal(0, 6), 50 + random.normal(0, 6)) for x in (60, 300))
        found = [left, right] if random.random() < 0.5 else [right, left]
        assert person_tracking.assign(crowd, step / 6, found) == {0: left, 1: right}
    assert person_tracking.in_order(crowd, [0, 1]) == {0: 1, 1: 2}
    assert [len(person.seconds) for person in crowd] == [200, 200]


def test_numbers_follow_appearance_then_left_to_right():
    crowd: list[person_tracking.Person] = []
    person_tracking.assign(crowd, 0.0, [face(500)])
    person_tracking.assign(crowd, 0.2, [face(500), face(300), face(100)])
    assert person_tracking.in_order(crowd, [0, 1, 2]) == {0: 1, 1: 2, 2: 3}
    assert [person.faces[0].x for person in crowd] == [500, 100, 300]
    assert person_tracking.in_order(crowd, [1, 2]) == {1: 1, 2: 2}


def test_a_face_that_returns_soon_in_place_is_the_same_person():
    crowd: list[person_tracking.Person] = []
    person_tracking.assign(crowd, 0.0, [face(100)])
    assert list(person_tracking.assign(crowd, 8.0, [face(110)])) == [0]
    assert list(person_tracking.assign(crowd, 30.0, [face(110)])) == [1]
    assert list(person_tracking.assign(crowd, 31.5, [face(250)])) == [2]


def test_a_quick_move_is_followed_but_not_for_long():
    crowd: list[person_tracking.Person] = []
    person_tracking.assign(crowd, 0.0, [face(100)])
    assert list(person_tracking.assign(crowd, 0.2, [face(158)])) == [0]  # hardly any overlap
    assert list(person_tracking.assign(crowd, 3.0, [face(216)])) == [1]


def test_frames_may_come_out_of_order_or_twice():
    crowd: list[person_tracking.Person] = []
    for seconds, x in ((0.0, 100), (1.0, 140), (0.5, 120), (1.0, 140), (2.0, 180)):
        assert list(person_tracking.assign(crowd, seconds, [face(x)])) == [0]
    assert crowd[0].seconds == [0.0, 0.5, 1.0, 2.0]
    assert [f.x for f in crowd[0].faces] == [100, 120, 140, 180]


def test_a_face_found_twice_is_one():
    crowd: list[person_tracking.Person] = []
    best = face(100)
    assert person_tracking.assign(crowd, 0.0, [best, face(108, side=90, score=0.4)]) == {0: best}


def greedy(crowd: list[person_tracking.Person], seconds: float, faces: list[Face]) -> float:
    """Sum of closeness where the best pair is made first."""
    pairs = sorted(
        (-person_tracking.closeness(person, seconds, face), number, index)
        for number, person in enumerate(crowd)
        for index, face in enumerate(faces)
    )
    total, taken = 0.0, set[tuple[str, int]]()
    for score, number, index in pairs:
        if score < 0 and not {("person", number), ("face", index)} & taken:
            taken |= {("person", number), ("face", index)}
            total -= score
    return total


def test_matching_is_never_worse_than_greedy_and_never_beyond_the_bound():
    random = np.random.default_rng(1)
    better = 0
    for _ in range(300):
        crowd: list[person_tracking.Person] = []
        person_tracking.assign(crowd, 0.0, [face(x) for x in random.uniform(0, 400, 4)])
        faces = person_tracking.deduplicated([face(x) for x in random.uniform(0, 400, 4)])
        before, wanted = len(crowd), greedy(crowd, 0.5, faces)
        known = [person_tracking.Person([0.0], list(one.faces)) for one in crowd]
        found = person_tracking.assign(crowd, 0.5, faces)
        assert sorted(f.x for f in found.values()) == sorted(f.x for f in faces)
        scores = [
            person_tracking.closeness(known[number], 0.5, one)
            for number, one in found.items()
            if number < before
        ]
        assert min(scores, default=1) > 0
        assert sum(scores) >= wanted - 1e-9
        better += sum(scores) > wanted + 1e-9
    assert better > 0


def test_two_people_who_move_are_both_kept():
    """The best pair alone would leave the other person without a face."""
    crowd: list[person_tracking.Person] = []
    person_tracking.assign(crowd, 0.0, [face(100), face(170)])
    moved = [face(140), face(215)]
    assert person_tracking.assign(crowd, 0.2, moved) == {0: moved[0], 1: moved[1]}

"""Drawn faces: an independent detector, MediaPipe, must recognise them as faces."""

from __future__ import annotations

import numpy as np
import pytest

from emorec_tf.datasets.demo.drawn_faces import Expression, Face, Image, Pose, backdrop, draw, mix
from emorec_tf.datasets.demo.takes import EXPRESSIONS, face_of
from emorec_tf.features import face_detection

POSES = (Pose(), Pose(5, 2.5, 3), Pose(-5, -2.5, -3))


def drawn(face: Face, expression: Expression, pose: Pose = POSES[0]) -> Image:
    return draw(face, expression, pose, backdrop(face))


@pytest.fixture(scope="module")
def faces() -> list[Face]:
    return [face_of(actor, np.random.default_rng(actor)) for actor in range(8)]


def test_image_has_the_stated_shape_and_is_repeatable(faces: list[Face]) -> None:
    first, second = (drawn(faces[0], EXPRESSIONS["smiling"]) for _ in range(2))
    assert first.shape == (240, 320, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, second)


def test_shoulders_hold_still_while_the_head_moves(faces: list[Face]) -> None:
    still, moved = (drawn(faces[0], Expression(), pose) for pose in POSES[:2])
    assert np.any(still[:180] != moved[:180])
    np.testing.assert_array_equal(still[225:, :110], moved[225:, :110])
    assert len(np.unique(still[225:, :110].reshape(-1, 3), axis=0)) > 1


def test_head_shift_is_in_pixels_of_the_finished_image(faces: list[Face]) -> None:
    here = drawn(faces[0], Expression())[60:140, 100:220].astype(int)
    shifted = drawn(faces[0], Expression(), Pose(right_pixels=5))[60:140, 105:225].astype(int)
    assert np.abs(here - shifted).mean() < 0.5


def test_expressions_differ_where_they_should(faces: list[Face]) -> None:
    for face in faces:
        at_rest = drawn(face, Expression()).astype(int)
        changed = {name: np.abs(drawn(face, e) - at_rest).sum() for name, e in EXPRESSIONS.items()}
        assert changed.pop("resting") == 0
        assert min(changed.values()) > 10_000, changed


def test_mix_is_linear() -> None:
    smile = EXPRESSIONS["smiling"]
    assert mix((0.25, smile), (0.75, smile)) == smile
    assert mix((0.0, smile)) == Expression()


def test_mediapipe_finds_every_actor_in_every_expression_and_pose(faces: list[Face]) -> None:
    detect = face_detection.mediapipe(None)
    found = [
        len(detect(drawn(face, expression, pose))) == 1
        for face in faces
        for expression in EXPRESSIONS.values()
        for pose in POSES
    ]
    assert np.mean(found) >= 0.97

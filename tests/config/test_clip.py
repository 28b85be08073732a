"""Clip: an immutable value that can be sent to other processes."""

from __future__ import annotations

import dataclasses

import pytest

from emorec_tf.config.clip import EMOTIONS, Clip


def test_emotions_are_distinct():
    assert len(set(EMOTIONS)) == len(EMOTIONS) == 9


def test_a_clip_is_a_value():
    one, same = (Clip("id", "1", "sad", traits={"sex": "female"}) for _ in range(2))
    assert one == same
    assert hash(one) == hash(same)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.emotion = "happy"  # type: ignore[misc]
    assert dataclasses.replace(one, emotion="happy") != one

"""Joining corpora: what must be unique is prefixed, only common emotions stay."""

from __future__ import annotations

import logging

import pytest

from emorec_tf.config.clip import EMOTIONS, Clip
from emorec_tf.datasets.labels import class_names, common, merge_classes
from emorec_tf.errors import UserError


def clips(*emotions: str) -> list[Clip]:
    return [Clip(f"{n}", "1", emotion, session="1") for n, emotion in enumerate(emotions)]


def test_class_names_are_in_the_order_of_emotions():
    assert class_names(["sad", "neutral", "sad"]) == ("neutral", "sad")
    assert class_names(reversed(EMOTIONS)) == EMOTIONS
    assert class_names([]) == ()


def test_common(caplog):
    with caplog.at_level(logging.WARNING):
        joined = common({"b": clips("sad", "calm"), "a": clips("boredom", "sad")}, None)
    assert [(c.clip_id, c.speaker, c.session) for c in joined] == [
        ("a/1", "a/1", "a/1"),
        ("b/0", "b/1", "b/1"),
    ]
    assert "{'calm': 1, 'boredom': 1}" in caplog.text
    assert common({"a": clips("sad")}, None)[0].session == "a/1"
    with pytest.raises(UserError, match="a and b have no emotion in common"):
        common({"a": clips("sad"), "b": clips("calm")}, None)


def test_calm_becomes_neutral_before_the_choice():
    joined = common({"a": clips("calm"), "b": clips("neutral")}, "7")
    assert [c.emotion for c in joined] == ["neutral", "neutral"]
    with pytest.raises(UserError, match="no emotion in common"):
        common({"a": clips("calm"), "b": clips("neutral")}, "8")


def test_merging_leaves_the_input_alone():
    eight = clips(*EMOTIONS[:8])
    before = list(eight)
    assert len(class_names(c.emotion for c in merge_classes(eight, "7"))) == 7
    assert eight == before

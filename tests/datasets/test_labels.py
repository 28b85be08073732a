"""Joining corpora: what must be unique is prefixed, only common emotions stay."""

from __future__ import annotations

import logging

import pytest

from emorec_tf.config.clip import EMOTIONS, Clip
from emorec_tf.config.config import DataConfig
from emorec_tf.datasets.labels import (
    check_map,
    class_names,
    common,
    labelled,
    map_line,
    mapped,
    merge_classes,
)
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


def test_a_label_map_merges_and_drops_for_one_corpus_and_several():
    given = clips("calm", "neutral", "boredom", "sad")
    found = mapped(given, "calm=neutral, boredom=")
    assert [c.emotion for c in found] == ["neutral", "neutral", "sad"]
    assert mapped(given, None) == given
    assert mapped(found, "calm=neutral, boredom=") == found  # once more changes nothing
    assert map_line(given, "calm=neutral,boredom=,happy=sad") == (
        "calm as neutral (1 clips), boredom left out (1 clips)"
    )
    assert map_line(found, "calm=neutral") == ""
    data = DataConfig(label_map="calm=neutral,boredom=", classes="neutral")
    assert [c.emotion for c in labelled(given, data)] == ["neutral", "neutral"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("calm", "'calm' is no pair"),
        ("=sad", "is no pair"),
        ("calm=neutral,", "'' is no pair"),
        ("calm=a=b", "is no pair"),
        ("calm=neutral,calm=sad", "mapped twice"),
        ("calm=neutral, Calm =sad", "mapped twice"),
        ("calm=neutral,Neutral=sad", "mapped itself"),
        ('"very, calm"=neutral', "quotes that do not fit"),
        ("calm=neutral,neutral=sad", "mapped itself"),
    ],
)
def test_label_maps_that_are_refused_before_any_clip(text, message):
    with pytest.raises(UserError, match=message):
        DataConfig(label_map=text)


def test_label_maps_that_do_not_fit_the_clips():
    with pytest.raises(UserError, match=r"no clip is 'clam'; did you mean 'calm'"):
        check_map(["calm", "sad"], "clam=neutral")
    check_map(["calm"], "boredom=,wearied=sad")  # one map serves many corpora
    check_map(["frustrated"], "frustration=frustrated")  # was applied before
    with pytest.raises(UserError, match=r"label_map: 'speech' cannot be a class"):
        mapped(clips("calm"), "calm=speech")
    with pytest.raises(UserError, match="no clip is left"):
        mapped(clips("calm"), "calm=")


def test_shared_and_union_of_prepared_corpora():
    joined = common({"a": clips("sad", "calm"), "b": clips("sad", "boredom")}, "union")
    assert len(joined) == 4
    assert [c.clip_id for c in merge_classes(joined, "shared")] == ["a/0", "b/0"]
    assert merge_classes(joined, "union") == joined
    alone = clips("sad", "calm")
    assert merge_classes(alone, "shared") == merge_classes(alone, "union") == alone
    with pytest.raises(UserError, match="a and b have no emotion in common"):
        merge_classes([c for c in joined if c.emotion != "sad"], "shared")

"""Enrolment clips: drawn without labels and independently for each speaker."""

from __future__ import annotations

import dataclasses
import random

import pytest

from emorec_tf.config.clip import corpus_of
from emorec_tf.config.config import DataConfig
from emorec_tf.errors import UserError
from emorec_tf.training.enrolment import enrolment_clips, scored_clips, set_of, usable


def test_enrolment_clips_are_drawn_per_speaker(people):
    data = DataConfig(adapt=2)
    drawn = enrolment_clips(people, data, seed=0)
    assert sorted(c.speaker for c in drawn) == sorted(2 * [str(i) for i in range(1, 9)])
    shuffled = random.Random(0).sample(people, len(people))
    relabelled = [dataclasses.replace(c, emotion="calm") for c in shuffled]
    ids = {c.clip_id for c in drawn}
    assert {c.clip_id for c in enrolment_clips(relabelled, data, seed=0)} == ids
    one = [c for c in people if c.speaker == "3"]
    assert {c.clip_id for c in enrolment_clips(one, data, 0)} <= ids, "others do not matter"
    assert len({frozenset(enrolment_clips(people, data, seed)) for seed in range(5)}) > 1
    left = scored_clips(people, data, seed=0)
    assert {c.clip_id for c in left} | ids == {c.clip_id for c in people}
    assert not {c.clip_id for c in left} & ids
    for unaffected in (DataConfig(), DataConfig(adapt="self")):
        assert scored_clips(people, unaffected, seed=0) == people
    with pytest.raises(UserError, match="speaker 1 has 3 clips; --adapt 3 leaves none"):
        enrolment_clips(people, DataConfig(adapt=3), seed=0)


def test_a_set_is_a_speaker_or_a_corpus(people):
    prefixed = [
        dataclasses.replace(c, clip_id=f"{corpus}/{c.clip_id}", speaker=f"{corpus}/{c.speaker}")
        for corpus in ("ravdess", "emodb")
        for c in people
    ]
    assert {set_of(c, "speaker") for c in prefixed} == {c.speaker for c in prefixed}
    assert {set_of(c, "corpus") for c in prefixed} == {"ravdess", "emodb"}
    assert {set_of(c, "corpus") for c in people} == {""}, "a corpus alone has no prefix"
    nested = dataclasses.replace(people[0], speaker="own/kitchen/anna")
    assert set_of(nested, "corpus") == corpus_of(nested.speaker) == "own", "one rule for all"
    data = DataConfig(adapt=5, adapt_by="corpus")
    drawn = enrolment_clips(prefixed, data, seed=0)
    assert sorted(set_of(c, "corpus") for c in drawn) == ["emodb"] * 5 + ["ravdess"] * 5
    assert len({c.speaker for c in drawn}) > 2, "of several speakers"
    alone = enrolment_clips([c for c in prefixed if c.speaker.startswith("emodb")], data, 0)
    assert set(alone) <= set(drawn), "other corpora do not matter"
    with pytest.raises(UserError, match="corpus emodb has 24 clips; --adapt 24 leaves none"):
        enrolment_clips(prefixed, DataConfig(adapt=24, adapt_by="corpus"), 0)
    with pytest.raises(UserError, match="the corpus has 24 clips"):
        enrolment_clips(people, DataConfig(adapt=24, adapt_by="corpus"), 0)
    with pytest.raises(UserError, match="no enrolment clip of corpus emodb has audio"):
        usable(drawn, {c.clip_id: {"face"} for c in drawn}, {"audio"}, "corpus")


def test_the_spread_needs_clips():
    with pytest.raises(UserError, match="adapt_spread is True; it must be off without --adapt N"):
        DataConfig(adapt="self", adapt_spread=True)

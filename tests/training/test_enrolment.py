"""Enrolment clips: drawn without labels and independently for each speaker."""

from __future__ import annotations

import dataclasses
import random

import pytest

from emorec_tf.config.config import DataConfig
from emorec_tf.errors import UserError
from emorec_tf.training.enrolment import enrolment_clips, scored_clips


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

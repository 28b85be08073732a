"""Splits by speaker: disjoint, complete, and the same whatever the order of the clips."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from emorec_tf.config.clip import Clip
from emorec_tf.config.config import DataConfig
from emorec_tf.datasets.image_corpora import PARTS
from emorec_tf.errors import UserError
from emorec_tf.splits.splits import Split, clips_of, make, natural, speakers_of


def test_natural_order():
    names = ["10", "2", "a10", "a9", "ravdess/2", "F01", ""]
    assert sorted(names, key=natural) == ["", "2", "10", "F01", "a9", "a10", "ravdess/2"]


def test_defaults(people):
    split = make(people, DataConfig(), seed=0)
    assert split.test == ("7", "8")
    assert len(split.validation) == 1
    assert set(split.train + split.validation) == {"1", "2", "3", "4", "5", "6"}


@pytest.mark.parametrize("speakers", range(3, 40))
def test_disjoint_and_complete_for_any_number(speakers):
    drawn = random.Random(speakers).sample(range(99), speakers)
    clips = [Clip(f"{number}", f"{number}", "sad") for number in drawn]
    split = make(clips, DataConfig(), seed=speakers)
    assigned = [*split.train, *split.validation, *split.test]
    assert sorted(assigned, key=natural) == speakers_of(clips)
    together = [clips_of(clips, subset) for subset in (split.train, split.validation, split.test)]
    assert sum(map(len, together)) == len(clips)
    assert all(together)


def test_order_of_clips_does_not_matter(people):
    shuffled = people.copy()
    random.Random(1).shuffle(shuffled)
    for seed in range(5):
        assert make(people, DataConfig(), seed) == make(shuffled, DataConfig(), seed)
    assert len({make(people, DataConfig(), seed).validation for seed in range(20)}) > 1


def test_named_speakers(people):
    data = DataConfig(test_speakers="8, 2", validation_speakers="1", train_speakers="10,3,4")
    with pytest.raises(
        UserError, match="train_speakers: '10' is not in the data; did you mean '1'"
    ):
        make(people, data, 0)
    data = DataConfig(test_speakers="8, 2", validation_speakers="1", train_speakers="4,3,4")
    assert make(people, data, 0) == Split(("3", "4"), ("1",), ("2", "8"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (DataConfig(test_speakers="1", train_speakers="1,2"), "speakers 1 are in both train and"),
        (DataConfig(test_speakers="1", validation_speakers="1"), "both validation and test"),
        (DataConfig(train_speakers="2,3", validation_speakers="3"), "both train and validation"),
        (DataConfig(test_speakers="1,2,3,4,5,6,7", validation_speakers="8"), "left for train"),
        (DataConfig(test_speakers="1,2,3,4,5,6,7"), "no speaker is left for train"),
        (DataConfig(train_speakers="1"), "no speaker is left for train"),
    ],
)
def test_impossible_splits(people, data, message):
    with pytest.raises(UserError, match=message):
        make(people, data, 0)


def test_no_speaker_is_held_out(people):
    split = make(people, DataConfig(test_speakers="none", validation_speakers="3"), 0)
    assert split == Split(("1", "2", "4", "5", "6", "7", "8"), ("3",), ())
    assert split.clips(people)["test"] == []
    with pytest.raises(UserError, match="left for validation"):
        Split(("1",), (), ())


def test_named_in_any_spelling():
    clips = [Clip(name, name, "sad") for name in ("01", "02", "03", "Anna", "Smith, J", "none")]
    data = DataConfig(test_speakers='1, "smith,  J"', validation_speakers=" anna ")
    assert make(clips, data, 0) == Split(("02", "03", "none"), ("Anna",), ("01", "Smith, J"))


def test_a_speaker_called_none():
    clips = [Clip(name, name, "sad") for name in ("1", "2", "3", "None")]
    with pytest.raises(UserError, match="a speaker of the data is called none; write '\"none\"'"):
        make(clips, DataConfig(test_speakers="none"), 0)
    split = make(clips, DataConfig(test_speakers='"none"', validation_speakers="1"), 0)
    assert split.test == ("None",)


def test_two_spellings_in_two_subsets():
    with pytest.raises(UserError, match=r"01 = 1, anna = Anna are in both train.*prepare the data"):
        Split(("anna", "01"), ("3",), ("1", "Anna"))
    Split(("01",), ("3",), ("1",), leaky=True)  # ids of clips


def test_too_few_speakers(people):
    for count in (0, 1, 2):
        with pytest.raises(UserError, match=rf"^{count} speaker\(s\)"):
            make(people[: 3 * count], DataConfig(), 0)


def test_all_speakers_held_out(people):
    with pytest.raises(UserError, match="no speaker is left for train"):
        make(people, DataConfig(test_speakers="1,2,3,4,5,6,7,8"), 0)


def test_subsets_of_a_corpus_stand_for_speakers():
    images = [Clip(f"{part}-{n}", part, "happy") for part in PARTS for n in range(3)]
    data = DataConfig(dataset="fer2013")
    for seed in range(4):
        split = make(images, data, seed)
        assert (split.train, split.validation, split.test) == (
            ("train",),
            ("validation",),
            ("test",),
        )
        final = make(images, replace(data, test_speakers="none"), seed)
        assert (final.train, final.validation, final.test) == (
            ("test", "train"),
            ("validation",),
            (),
        )
    with pytest.raises(UserError, match="in both validation and test"):
        make(images, replace(data, test_speakers="validation"), 0)

"""One speaker under several spellings is one; a folder named like a split is no speaker."""

from __future__ import annotations

import logging
import random
import unicodedata

import pytest

from emorec_tf.config.clip import Clip
from emorec_tf.datasets.corpora import clips
from emorec_tf.datasets.speakers import (
    looks_like_split,
    normal_form,
    one_spelling,
    path_form,
    subset_named,
)
from emorec_tf.errors import UserError


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "01"),
        ("Anna", "anna"),
        ("J\u00fcrgen", "Ju\u0308rgen"),
        (" anna ", "anna"),
        ("Anna  Maria", "anna\u00a0maria"),
        ("Speaker 07", "speaker7"),
        ("S007_b", "s7_B"),
        ("anna\u200b", "anna"),
        ("STRASSE", "Stra\u00dfe"),
    ],
)
def test_equal_names(one, other):
    assert normal_form(one) == normal_form(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("1", "10"), ("0", ""), ("1 1", "11"), ("anna", "hanna"), ("u", "\u00fc"), ("F01", "M01")],
)
def test_other_names(one, other):
    assert normal_form(one) != normal_form(other)


def test_a_normal_form_is_its_own():
    letters = ["a", "A", "0", "1", "7", " ", "\u00a0", "_", "\u0308", "u", "\u200b", "\u00df", "/"]
    draw = random.Random(0)
    for _ in range(2000):
        form = normal_form(name := "".join(draw.choices(letters, k=6)))
        assert form == normal_form(form), name
        assert form == normal_form(unicodedata.normalize("NFD", f" {name.upper()} ")), name


def test_paths_are_compared_part_by_part():
    assert path_form("Actor_01/A.wav") == path_form("actor_1/a.WAV")
    assert path_form("a/b.wav") != path_form("ab.wav")


def test_the_most_frequent_spelling_is_kept_and_each_merge_named(caplog):
    names = ("anna", "Anna", "Anna", "1", "01", "ben")
    given = [Clip(str(at), name, "sad") for at, name in enumerate(names)]
    with caplog.at_level(logging.WARNING):
        kept = one_spelling(given)
    assert [clip.speaker for clip in kept] == ["Anna", "Anna", "Anna", "1", "1", "ben"]
    (line,) = caplog.messages
    assert "'anna' as 'Anna', '01' as '1'" in line


def test_nothing_is_said_where_nothing_is_merged(caplog):
    given = [Clip("a", "03", "sad"), Clip("b", "4", "sad")]
    assert one_spelling(given) == given
    assert not caplog.messages


@pytest.mark.parametrize(
    ("one", "other"),
    [("1/sad/a", "01/sad/a"), ("sad/1_a", "sad/01_a"), ("talk@2-4 1", "talk@2-4 01")],
)
def test_equal_clips_of_two_spellings_are_refused(one, other):
    given = [Clip(one, "1", "sad"), Clip(other, "01", "happy")]
    with pytest.raises(UserError, match="speakers '1' and '01' have the same clip") as error:
        one_spelling(given)
    assert one in str(error.value)
    assert other in str(error.value)


def test_takes_of_one_speaker_may_differ_in_zeros():
    given = [Clip("1/sad/1", "1", "sad"), Clip("01/sad/2", "01", "sad"), Clip("1/sad/01", "1", "")]
    assert {clip.speaker for clip in one_spelling(given)} == {"1"}


def test_a_corpus_has_one_spelling(tmp_path, caplog):
    for path in ("Anna/sad/1.wav", "Anna/sad/2.wav", "anna/happy/3.wav", "ben/sad/1.wav"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    with caplog.at_level(logging.WARNING):
        assert [c.speaker for c in clips("folder", str(tmp_path))] == ["Anna"] * 3 + ["ben"]
    assert "'anna' as 'Anna'" in caplog.text


@pytest.mark.parametrize(
    "name",
    [
        *("train", "training", "train_set", "TrainSet", "Train_AFEW", "AFEW_train"),
        *("test", "test0", "Test_AFEW", "my-test", "eval", "holdout"),
        *("val", "Val_AFEW", "validation", "dev", "dev_set", "fold1", "fold_2", "split3"),
    ],
)
def test_splits_are_no_speakers(name, tmp_path):
    assert looks_like_split(name)
    (tmp_path / name / "sad").mkdir(parents=True)
    (tmp_path / name / "sad" / "1.wav").touch()
    with pytest.raises(UserError, match=f"{name} looks like a split, not a speaker; give a label"):
        clips("folder", str(tmp_path))


@pytest.mark.parametrize("name", ["anna", "Dev_Patel", "Val Kilmer", "Tester", "7", "Foldan", "p1"])
def test_people_are_no_splits(name):
    assert not looks_like_split(name)


@pytest.mark.parametrize(
    ("name", "subset"),
    [
        *((name, "train") for name in ("train", "TrainSet", "train_set", "Train_AFEW")),
        *((name, "validation") for name in ("Val_AFEW", "dev_set", "validation", "devset")),
        *((name, "test") for name in ("Test_AFEW", "my-test", "testing")),
        *((name, "") for name in ("fold1", "eval", "holdout", "train_test", "anna", "Dev_Patel")),
    ],
)
def test_which_subset_a_folder_is(name, subset):
    assert subset_named(name) == subset


def test_a_column_of_subsets_is_no_column_of_people(tmp_path):
    def read(*speakers: str) -> list[Clip]:
        rows = [f"{at}.wav,sad,{speaker}" for at, speaker in enumerate(speakers)]
        for at in range(len(speakers)):
            (tmp_path / f"{at}.wav").touch()
        (tmp_path / "labels.csv").write_text("\n".join(["path,emotion,speaker", *rows]))
        return clips("folder", str(tmp_path))

    with pytest.raises(UserError, match="the speakers train, test look like subsets of a split"):
        read("train", "test", "train")
    assert [clip.speaker for clip in read("Dev", "Val", "Anna")] == ["Dev", "Val", "Anna"]

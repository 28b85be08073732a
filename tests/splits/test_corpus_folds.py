"""Folds over corpora: speakers disjoint, few speakers, none lost, the same every time."""

from __future__ import annotations

import random

import pytest

from emorec_tf.config.clip import Clip
from emorec_tf.splits import corpus_folds, protocols
from emorec_tf.splits.splits import Split, speakers_of


def corpus(name: str, speakers: int, takes: int = 9) -> list[Clip]:
    return [
        Clip(f"{name}-{speaker}-{emotion}-{take}", f"{name}/{speaker}", emotion,
             traits={"sex": "female" if speaker % 2 else "male"})
        for speaker in range(speakers)
        for emotion in ("happy", "sad")
        for take in range(takes)
    ]  # fmt: skip


@pytest.mark.parametrize(("speakers", "asked", "folds"), [(12, 5, 5), (4, 5, 4), (3, 2, 3)])
def test_folds_within_a_corpus(speakers, asked, folds):
    clips = corpus("a", speakers)
    found = corpus_folds.within(clips, asked)
    assert len(found) == folds
    assert found == protocols.folds(f"group_kfold:{folds}", clips)[0]
    assert {s for fold in found for s in fold.test} == set(speakers_of(clips))


def test_two_speakers_train_and_test_in_turn():
    clips = corpus("a", 2)
    found = corpus_folds.within(clips, 5)
    assert [fold.test for fold in found] == [("a/0",), ("a/1",)]
    for fold in found:
        subsets = fold.clips(clips)
        people = {role: {c.speaker for c in subset} for role, subset in subsets.items()}
        assert people["train"] == people["validation"] == {*fold.train}
        assert people["train"].isdisjoint(people["test"])
        assert [len(subsets[role]) for role in ("train", "validation", "test")] == [16, 2, 18]
        assert {c.emotion for c in subsets["validation"]} == {"happy", "sad"}
        assert fold.split.facts["validation_clips"] == fold.validation_clips
    assert corpus_folds.within(corpus("a", 1), 5) == []


def test_one_eighth_of_each_corpus_validates():
    parts = {"a": corpus("a", 16), "b": corpus("b", 2), "c": corpus("c", 1)}
    test = corpus("d", 3)
    fold = corpus_folds.whole("d", parts, test)
    assert [sum(s.startswith(f"{n}/") for s in fold.validation) for n in "abc"] == [2, 1, 0]
    assert len(fold.train) == 14 + 1 + 1
    assert fold.test == ("d/0", "d/1", "d/2")
    sexes = {c.speaker: c.traits["sex"] for c in parts["a"]}
    assert {sexes[s] for s in fold.validation if s.startswith("a/")} == {"female", "male"}
    shuffled = {name: random.Random(1).sample(part, len(part)) for name, part in parts.items()}
    assert corpus_folds.whole("d", shuffled, test).split == fold.split


def test_a_single_speaker_gives_clips_for_validation():
    clips = corpus("a", 1)
    fold = corpus_folds.whole("a", {"a": clips})
    assert (fold.train, fold.validation, fold.test) == (("a/0",), (), ())
    assert len(fold.clips(clips)["validation"]) == 2


def test_facts_of_other_splits_are_those_of_older_versions():
    kept = {"train": ("1",), "validation": ("2",), "test": (), "leaky": False, "test_clips": ()}
    assert Split(("1",), ("2",), ()).facts == kept

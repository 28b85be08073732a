"""Folds for any data: sexes balanced, sessions whole, leaky folds marked and refused."""

from __future__ import annotations

from collections import Counter

import pytest

from emorec_tf.config.clip import Clip
from emorec_tf.errors import UserError
from emorec_tf.splits.leaks import guard
from emorec_tf.splits.protocols import Fold, fingerprint, folds

ACTORS = [str(i) for i in range(1, 25)]


def made(speakers, count=60, **fields) -> list[Clip]:
    return [
        Clip(f"{speaker}-{i:02d}", speaker, "happy", **fields)
        for speaker in speakers
        for i in range(count)
    ]


def refused(*args, **kwargs) -> str:
    with pytest.raises(UserError) as error:
        folds(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_group_kfold_balances_sexes():
    clips = [
        Clip(f"{s}-1", s, "sad", traits={"sex": "male" if int(s) % 2 else "female"}) for s in ACTORS
    ]
    found, notes = folds("group_kfold:6", clips)
    assert notes == []
    for fold in found:
        assert [sum(int(s) % 2 for s in subset) for subset in (fold.test, fold.validation)] == [
            2,
            1,
        ]
    assert len({fingerprint("group_kfold:6", found), fingerprint("group_kfold:5", found)}) == 2
    assert fingerprint("group_kfold:6", found) == fingerprint(
        "group_kfold:6", folds("group_kfold:6", clips)[0]
    )
    assert len(folds("group_kfold", clips)[0]) == 5


def test_sessions_stay_whole():
    clips = [c for i in range(1, 4) for c in made([f"F{i}", f"M{i}"], 2, session=str(i))]
    found, _ = folds("loso_session", clips)
    assert [f.test for f in found] == [("F1", "M1"), ("F2", "M2"), ("F3", "M3")]
    assert "sessions 1 and 2" in refused("loso_session", [*clips, *made(["F1"], 1, session="2")])
    assert "named sessions" in refused("loso_session", made(ACTORS))


def test_half_of_each_session_is_scored():
    speakers = [f"{sex}{i}" for i in range(1, 7) for sex in "FM"]
    clips = [
        Clip(f"{s}-{e}-{n}", s, e, session=s[1])
        for s in speakers
        for e, count in (("happy", 7), ("sad", 4))
        for n in range(count)
    ]
    found, notes = folds("seed_half_session", clips)
    assert notes == ["only half of each test session's clips is scored; the other half is not used"]
    whole, _ = folds("loso_session", clips)
    for half, full in zip(found, whole, strict=True):
        assert (half.test, half.train) == (full.test, full.train)
        subsets, others = half.clips(clips), full.clips(clips)
        guard(subsets, {})
        assert (subsets["train"], subsets["validation"]) == (others["train"], others["validation"])
        assert Counter(c.emotion for c in subsets["test"]) == {"happy": 7, "sad": 4}
        assert {c.clip_id for c in subsets["test"]} < {c.clip_id for c in others["test"]}
    assert folds("seed_half_session", clips[::-1])[0] == found
    assert fingerprint("x", found) != fingerprint("x", whole)
    assert "seed_half_session needs clips of at least 3" in refused("seed_half_session", clips[:20])
    assert "write seed_half_session alone" in refused("seed_half_session:2", clips)


def test_leaky_folds_are_marked_and_refused():
    clips = made(ACTORS[:6], 10)
    found, notes = folds("leaky_kfold:4", clips)
    assert all(f.leaky for f in found)
    assert notes[0].startswith("LEAKY")
    assert sorted(i for f in found for i in f.test) == sorted(c.clip_id for c in clips)
    with pytest.raises(UserError, match=r"6 speakers .* in train and test"):
        guard(found[0].clips(clips), {})
    guard(found[0].clips(clips), {}, leaky=True)


def test_a_fold_refuses_overlap():
    with pytest.raises(UserError, match="fold x: speakers 1 are in both train and test"):
        Fold("x", ("1", "2"), ("3",), ("1",))


def of_corpora(**speakers: int) -> list[Clip]:
    """One clip of each speaker; every second one is a man."""
    return [
        Clip(f"{corpus}/{n}-1", f"{corpus}/{n}", "sad", traits={"sex": "fm"[n % 2]})
        for corpus, count in speakers.items()
        for n in range(count)
    ]


def test_each_corpus_is_left_out_once():
    clips = of_corpora(ravdess=20, tess=2, nemo=9, emodb=10)
    found, notes = folds("leave_one_corpus_out", clips)
    assert notes == []
    assert [fold.name for fold in found] == ["emodb", "nemo", "ravdess", "tess"]
    everyone = {clip.speaker for clip in clips}
    for fold in found:
        assert {s.split("/")[0] for s in fold.test} == {fold.name}
        assert len(fold.test) == sum(s.startswith(f"{fold.name}/") for s in everyone)
        assert set(fold.train) | set(fold.validation) | set(fold.test) == everyone
        counts = Counter(s.split("/")[0] for s in fold.validation)
        eighths = {"ravdess": 2, "tess": 1, "nemo": 1, "emodb": 1}
        assert counts == {name: n for name, n in eighths.items() if name != fold.name}
        assert {s.split("/")[0] for s in fold.train} == set(eighths) - {fold.name}
        guard(fold.clips(clips), {})
    validating = {s for fold in found for s in fold.validation if s.startswith("ravdess")}
    assert len(validating) == 2, "the same in every fold"
    assert {int(s.split("/")[1]) % 2 for s in validating} == {0, 1}, "a woman and a man"
    shuffled, _ = folds("leave_one_corpus_out", clips[::-1])
    assert shuffled == found


def test_leave_one_corpus_out_needs_corpora():
    assert "needs records of several corpora" in refused("leave_one_corpus_out", made(ACTORS))
    one = of_corpora(ravdess=20)
    assert "needs records of several corpora" in refused("leave_one_corpus_out", one)
    mixed = [*one, *made(["7"], 1)]
    assert "needs records of several corpora" in refused("leave_one_corpus_out", mixed)
    assert "leave_one_corpus_out alone" in refused("leave_one_corpus_out:3", of_corpora(a=3, b=3))
    _, notes = folds("leave_one_corpus_out", of_corpora(a=1, b=3, c=3))
    assert notes == ["a has one speaker, who does not validate"]

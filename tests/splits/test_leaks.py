"""Guard: a run with a leak does not start; two names of one recording are recognised."""

from __future__ import annotations

from dataclasses import replace

import pytest

from emorec_tf.config.clip import Clip
from emorec_tf.errors import UserError
from emorec_tf.splits.leaks import Row, guard, leaks, recording_of
from emorec_tf.splits.protocols import folds


def test_two_names_of_one_recording():
    assert recording_of("a/01-01-08-02-02-02-02.mp4") == recording_of("03-01-08-02-02-02-02.wav")
    assert recording_of("01-02-08-02-02-02-02.mp4") != recording_of("01-01-08-02-02-02-02.mp4")
    assert recording_of("DC/a1.wav") == recording_of("DC/a1.avi")
    assert recording_of("DC/a1.wav") != recording_of("JE/a1.wav")
    assert recording_of("take.1") != recording_of("take.2")  # ids, not files


def subsets() -> dict[str, list[Clip]]:
    clips = [
        Clip(
            f"{actor}-{take}",
            str(actor),
            "sad",
            audio=f"01-01-0{3 + take}-01-01-01-{actor:02d}.mp4",
        )
        for actor in range(1, 7)
        for take in range(3)
    ]
    return folds("group_kfold:3", clips)[0][0].clips(clips)


def test_guard_passes_a_clean_run_and_stops_leaks():
    clean = subsets()
    guard(clean, {c.clip_id: f"hash {c.clip_id}" for c in clean["train"]})
    stray = clean["test"][0]
    listed = clean["train"][0]
    twin = (stray.audio or "").replace("01-", "03-", 1)

    def stopped(hashes=None, leaky=False, **changed):
        with pytest.raises(UserError) as error:
            guard({**clean, **changed}, hashes or {}, leaky)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "speaker" in stopped(train=[*clean["train"], replace(stray, clip_id="new")])
    assert "recording under two names" in stopped(
        leaky=True, train=[*clean["train"], replace(stray, clip_id="new", audio=twin)]
    )
    assert "path" in stopped(leaky=True, train=[*clean["train"], stray])
    assert "model selection on the test set" in stopped(validation=clean["test"])
    assert "listed twice" in stopped(train=[*clean["train"], listed])
    assert "the same audio" in stopped({stray.clip_id: "equal", listed.clip_id: "equal"})
    guard(clean, {stray.clip_id: "equal", listed.clip_id: "equal"}, leaky=True)


@pytest.mark.parametrize(
    ("one", "other"), [("train", "test"), ("validation", "test"), ("train", "validation")]
)
def test_guard_compares_each_pair_of_subsets(one, other):
    clean = subsets()
    stray = clean[one][0]
    twin = replace(stray, clip_id="new", audio=(stray.audio or "").replace("01-", "03-", 1))
    copy = replace(stray, clip_id="new", audio="new.wav", speaker="new")
    hashes = {stray.clip_id: "equal", "new": "equal"}
    for extra, leaky, said in (  # leaky: the speaker may be in both, the recording may not
        (stray, True, f"path {stray.clip_id}"),
        (twin, True, "recording under two names"),
        (copy, False, "audio under two names"),
    ):
        changed = {**clean, other: [*clean[other], extra]}
        with pytest.raises(UserError) as error:
            guard(changed, {} if leaky else hashes, leaky)
        assert said in str(error.value)
        assert f"in {one} and {other}" in str(error.value)


def test_guard_compares_speakers_in_any_spelling():
    clean = subsets()
    stray = clean["test"][0]
    other = replace(stray, clip_id="new", speaker=f"0{stray.speaker}", audio="new.wav")
    spelled = f"under two spellings: '0{stray.speaker}' and '{stray.speaker}' in train and test"
    with pytest.raises(UserError, match=spelled):
        guard({**clean, "train": [*clean["train"], other]}, {})


def test_one_recording_of_two_spellings_is_of_one_speaker():
    rows = [
        Row(f"{fold}.wav", speaker, fold, "test", "one", f"{fold}.wav")
        for fold, speaker in (("1", "1"), ("2", "01"), ("3", "2"))
    ]
    assert not any("more than one speaker" in line for line in leaks(rows[:2]))
    assert any("more than one speaker" in line for line in leaks(rows))


def test_guard_compares_clips_as_they_are():
    takes = {"train": [Clip("a/1", "a", "sad")], "test": [Clip("a/01", "a", "sad")]}
    guard(takes, {}, leaky=True)


def test_guard_allows_two_parts_of_one_video():
    whole = Clip("a", "anna", "sad", video="video.mp4", end_seconds=2.0)
    parts = {"train": [whole], "test": [replace(whole, clip_id="b", start_seconds=2.0)]}
    guard(parts, {}, leaky=True)

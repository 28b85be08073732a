"""film_answers: windows go the way of clips; people are kept apart; nothing is invented."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_films import SOUND_HZ, joined, side_by_side, taken_apart, write

from emorec_tf.errors import UserError
from emorec_tf.inference import long_media, predictor
from emorec_tf.inference.long_media import Settings
from emorec_tf.inference.predictor import Opened
from emorec_tf.media import decode_windows

ON = Settings(windows="on")
KEYS = "person start_seconds end_seconds emotion probabilities audio_present speech"
KEYS += " face_present face_coverage"
# Exif as telephones write it: shown upright by a quarter turn clockwise.
ORIENTATION_6 = (
    b"\xff\xe1\x00\x22Exif\x00\x00II*\x00\x08\x00\x00\x00"
    b"\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"
)


@pytest.fixture(scope="module")
def ready(demo_run: Path) -> Opened:
    return predictor.opened(str(demo_run))


@pytest.fixture(scope="module")
def talk(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people side by side for about 6 s; the right one comes after 2 s. Voice for 4 s."""
    clips = demo_clips / "clips"
    left, wave = joined(sorted(clips.glob("actor01*.mp4"))[:3])
    right, _ = joined(sorted(clips.glob("actor02*.mp4"))[:3])
    empty = [np.full_like(right[0], 200)] * 20
    pictures = side_by_side(left, empty + right[20:])
    wave = wave[: len(pictures) * SOUND_HZ // 10]
    wave[4 * SOUND_HZ :] = 0
    return write(tmp_path_factory.mktemp("talk") / "talk.mov", pictures, wave)


def likely(row: dict[str, Any]) -> list[float]:
    return list(row["probabilities"].values())


def test_a_film_as_long_as_a_clip_is_answered_as_before(
    ready: Opened, demo_clips: Path, tmp_path: Path
) -> None:
    for number, source in enumerate(sorted((demo_clips / "clips").glob("actor0[34]*_1.mp4"))):
        pictures, wave = taken_apart(source)
        path = str(write(tmp_path / f"{number}.mov", pictures[:15], wave[: 3 * SOUND_HZ // 2]))
        assert decode_windows.length_of(path) == 1.5
        clip = predictor.clip_answer(ready, path, speech_check=False)
        (row,) = long_media.film_answer(ready, path, ON).told["windows"]
        assert row["probabilities"] == clip.probabilities
        assert (row["face_coverage"], row["audio_present"]) == (clip.face_coverage, True)
        assert long_media.film_answer(ready, path).told == clip.as_dict()


def test_people_have_rows_of_their_own_and_share_the_voice(ready: Opened, talk: Path) -> None:
    found = long_media.film_answer(ready, str(talk))
    told = found.told
    assert list(told["windows"][0]) == KEYS.split()
    left, right = told["people"]
    assert (left["person"], right["person"]) == (1, 2)
    assert left["first_seconds"] < 0.3 < 1.9 < right["first_seconds"] < 2.4
    assert left["box"][0] + left["box"][2] <= 320 <= right["box"][0]  # halves of the picture
    assert {row["person"] for row in told["windows"]} == {1, 2}
    assert told["voice_shared"] is True
    assert told["film_seconds"] == pytest.approx(decode_windows.length_of(str(talk)), abs=1e-3)
    steps = {row["start_seconds"] for row in told["windows"]}
    assert len(steps) == 1 + math.ceil((told["film_seconds"] - 1.5) / 0.75 - 0.1)
    for row in told["windows"]:
        assert sum(likely(row)) == pytest.approx(1, abs=1e-4)
        assert row["speech"] is (row["start_seconds"] < 4)
        assert row["emotion"] == max(row["probabilities"], key=row["probabilities"].get)
    own = [likely(row) for row in told["windows"] if row["person"] == 1]
    assert likely(told) == pytest.approx(np.mean(own, 0), abs=1e-5)
    assert {p.shape for p in found.portraits.values()} == {(96, 96, 3)}


def test_each_of_two_is_answered_as_if_alone(ready: Opened, tmp_path: Path, demo_clips: Path):
    clips = sorted((demo_clips / "clips").glob("actor0[12]_happy_1.mp4"))
    (left, wave), (right, _) = map(taken_apart, clips)
    wave = wave[: 3 * SOUND_HZ // 2]
    both = write(tmp_path / "both.mov", side_by_side(left[:15], right[:15]), wave, lossless=True)
    rows = long_media.film_answer(ready, str(both), ON).told["windows"]
    assert [row["person"] for row in rows] == [1, 2]
    grey = [np.full_like(left[0], 200)] * 15
    for row, shown in zip(rows, ((left[:15], grey), (grey, right[:15])), strict=True):
        alone = write(tmp_path / "alone.mov", side_by_side(*shown), wave, lossless=True)
        (same,) = long_media.film_answer(ready, str(alone), ON).told["windows"]
        # The detector sees other surroundings, so its boxes differ by a little.
        assert likely(row) == pytest.approx(likely(same), abs=0.02)
        assert row["emotion"] == same["emotion"]


def test_the_same_answer_twice(ready: Opened, talk: Path) -> None:
    first, second = (long_media.film_answer(ready, str(talk)) for _ in range(2))
    assert first.told == second.told
    assert first.timeline == second.timeline


def test_who_is_absent_and_what_is_silent(ready: Opened, tmp_path: Path, demo_clips: Path) -> None:
    pictures, wave = joined(sorted((demo_clips / "clips").glob("actor01*.mp4"))[:2])
    grey = [np.full_like(pictures[0], 200)] * len(pictures)
    unseen = write(tmp_path / "unseen.mov", grey, wave)
    told = long_media.film_answer(ready, str(unseen), ON).told
    assert told["people"] == []
    assert {(r["person"], r["face_present"], r["speech"]) for r in told["windows"]} == {
        (None, False, True)
    }
    assert told["emotion"] is not None
    assert told["voice_shared"] is False
    unheard = write(tmp_path / "unheard.mov", pictures)
    told = long_media.film_answer(ready, str(unheard), ON).told
    assert {(r["person"], r["audio_present"], r["speech"]) for r in told["windows"]} == {
        (1, False, False)
    }
    neither = write(tmp_path / "neither.mov", grey, 0.01 * np.sin(np.arange(len(wave)) / 9))
    found = long_media.film_answer(ready, str(neither), ON)
    assert {(r["person"], r["emotion"], *r["probabilities"]) for r in found.told["windows"]} == {
        (None, None)
    }
    assert (found.told["emotion"], found.told["probabilities"]) == (None, {})
    assert {cell["emotion"] for cell in found.timeline} == {None}


def test_without_speech_the_face_alone_answers(ready: Opened, tmp_path: Path, demo_clips: Path):
    pictures, wave = taken_apart(min((demo_clips / "clips").glob("actor03*.mp4")))
    noise = np.random.default_rng(0).normal(size=len(wave)) * 0.1
    loud = write(tmp_path / "loud.mov", pictures, noise)
    mute = write(tmp_path / "mute.mov", pictures)
    face = predictor.clip_answer(ready, str(mute), speech_check=True)
    checked = predictor.clip_answer(ready, str(loud), speech_check=True)
    assert checked.speech is False
    assert checked.as_dict()["speech"] is False
    assert "speech" not in face.as_dict()
    assert list(checked.probabilities.values()) == pytest.approx(
        list(face.probabilities.values()), abs=1e-5
    )
    assert predictor.clip_answer(ready, str(loud), False).probabilities != checked.probabilities
    unchecked = long_media.film_answer(ready, str(loud), Settings(None, "on", False)).told
    assert {row["speech"] for row in unchecked["windows"]} == {None}


def test_a_photo_and_a_sound(ready: Opened, tmp_path: Path, demo_clips: Path) -> None:
    import cv2

    pictures, wave = taken_apart(min((demo_clips / "clips").glob("actor03*.mp4")))
    right, _ = taken_apart(min((demo_clips / "clips").glob("actor04*.mp4")))
    for name in ("one.jpg", "one.png"):
        cv2.imwrite(str(tmp_path / name), pictures[0][:, :, ::-1])
        told = long_media.film_answer(ready, str(tmp_path / name)).told
        assert (told["face_coverage"], told["audio_present"]) == (1.0, False)
        assert "windows" not in told
    upright = long_media.film_answer(ready, str(tmp_path / "one.jpg")).told
    lying = cv2.imencode(".jpg", np.rot90(pictures[0])[:, :, ::-1])[1].tobytes()
    (tmp_path / "phone.jpg").write_bytes(lying[:2] + ORIENTATION_6 + lying[2:])
    told = long_media.film_answer(ready, str(tmp_path / "phone.jpg")).told
    assert told["face_coverage"] == 1.0
    assert likely(told) == pytest.approx(likely(upright), abs=0.05)
    cv2.imwrite(str(tmp_path / "two.png"), np.hstack([pictures[0], right[0]])[:, :, ::-1])
    told = long_media.film_answer(ready, str(tmp_path / "two.png"), ON).told
    assert [row["person"] for row in told["windows"]] == [1, 2]
    sound = write(tmp_path / "voice.wav", wave=np.tile(wave, 3))
    told = long_media.film_answer(ready, str(sound)).told
    assert {(row["person"], row["speech"]) for row in told["windows"]} == {(None, True)}


def test_long_steps_and_wrong_ones(ready: Opened, talk: Path) -> None:
    told = long_media.film_answer(ready, str(talk), Settings(hop_seconds=1.5)).told
    starts = sorted({row["start_seconds"] for row in told["windows"]})
    assert starts[:3] == [0, 1.5, 3.0]
    with pytest.raises(UserError, match=r"window_hop_seconds is 2\.0"):
        long_media.film_answer(ready, str(talk), Settings(hop_seconds=2.0))
    off = long_media.film_answer(ready, str(talk), Settings(windows="off")).told
    assert "windows" not in off
    assert off["seconds"] == 1.5


def test_a_film_that_breaks_off_is_answered_as_far_as_it_goes(
    ready: Opened, tmp_path: Path, demo_clips: Path
) -> None:
    pictures, wave = joined(sorted((demo_clips / "clips").glob("actor01*.mp4"))[:4])
    whole = write(tmp_path / "whole.mkv", pictures, wave).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    found = long_media.film_answer(ready, str(tmp_path / "cut.mkv"))
    assert found.problem is not None
    assert "cut short" in found.problem
    assert 3 < found.told["seconds"] < 6 < found.told["film_seconds"]
    (tmp_path / "stub.mkv").write_bytes(whole[:9000])
    with pytest.raises(UserError, match=r"stub\.mkv"):
        long_media.film_answer(ready, str(tmp_path / "stub.mkv"))

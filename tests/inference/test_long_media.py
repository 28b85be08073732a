"""Windows are answered like clips; people are kept apart; gaps stay empty."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_videos import AUDIO_HZ, joined, side_by_side, taken_apart, write

from emorec_tf.errors import UserError
from emorec_tf.inference import predictor
from emorec_tf.inference.long_media import Settings
from emorec_tf.inference.media_answer import answer_media, answer_source
from emorec_tf.inference.predictor import Predictor
from emorec_tf.media import container
from emorec_tf.media.container import open_media

ON = Settings(windows="on")
KEYS = "person start_seconds end_seconds emotion probabilities familiarity audio_present speech"
KEYS += " face_present face_coverage"
# Exif orientation as phones write it: a quarter turn clockwise shows it upright.
ORIENTATION_6 = (
    b"\xff\xe1\x00\x22Exif\x00\x00II*\x00\x08\x00\x00\x00"
    b"\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"
)


def length_of(path: Path) -> float:
    with open_media(str(path)) as source:
        return source.seconds


@pytest.fixture(scope="module")
def ready(demo_run: Path) -> Predictor:
    return predictor.load(str(demo_run))


@pytest.fixture(scope="module")
def talk(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people side by side for about 6 s; the right one comes after 2 s. Speech for 4 s."""
    clips = demo_clips / "clips"
    left, wave = joined(sorted(clips.glob("actor01*.mp4"))[:3])
    right, _ = joined(sorted(clips.glob("actor02*.mp4"))[:3])
    empty = [np.full_like(right[0], 200)] * 20
    frames = side_by_side(left, empty + right[20:])
    wave = wave[: len(frames) * AUDIO_HZ // 10]
    wave[4 * AUDIO_HZ :] = 0
    return write(tmp_path_factory.mktemp("talk") / "talk.mov", frames, wave)


def likely(row: dict[str, Any]) -> list[float]:
    return list(row["probabilities"].values())


def test_a_clip_length_video_gets_the_clips_answer(
    ready: Predictor, demo_clips: Path, tmp_path: Path
) -> None:
    for number, source in enumerate(sorted((demo_clips / "clips").glob("actor0[34]*_1.mp4"))):
        frames, wave = taken_apart(source)
        path = str(write(tmp_path / f"{number}.mov", frames[:15], wave[: 3 * AUDIO_HZ // 2]))
        assert length_of(Path(path)) == 1.5
        clip = ready.answer_clip(path, speech_check=False)
        (row,) = answer_media(ready, path, ON).answer["windows"]
        assert row["probabilities"] == clip.probabilities
        assert (row["face_coverage"], row["audio_present"]) == (clip.face_coverage, True)
        assert answer_media(ready, path).answer == clip.as_dict()


def test_people_have_rows_of_their_own_and_share_the_audio(ready: Predictor, talk: Path) -> None:
    found = answer_media(ready, str(talk))
    answer = found.answer
    assert list(answer["windows"][0]) == KEYS.split()
    left, right = answer["people"]
    assert (left["person"], right["person"]) == (1, 2)
    assert left["first_seconds"] < 0.3 < 1.9 < right["first_seconds"] < 2.4
    assert left["box"][0] + left["box"][2] <= 320 <= right["box"][0]  # halves of the frame
    assert {row["person"] for row in answer["windows"]} == {1, 2}
    assert answer["voice_shared"] is True
    assert answer["film_seconds"] == pytest.approx(length_of(talk), abs=1e-3)
    steps = {row["start_seconds"] for row in answer["windows"]}
    assert len(steps) == 1 + math.ceil((answer["film_seconds"] - 1.5) / 0.75 - 0.1)
    for row in answer["windows"]:
        assert sum(likely(row)) == pytest.approx(1, abs=1e-4)
        assert row["speech"] is (row["start_seconds"] < 4)
        assert row["emotion"] == max(row["probabilities"], key=row["probabilities"].get)
    own = [likely(row) for row in answer["windows"] if row["person"] == 1]
    assert likely(answer) == pytest.approx(np.mean(own, 0), abs=1e-5)
    assert {p.shape for p in found.portraits.values()} == {(96, 96, 3)}


def test_each_of_two_people_is_answered_as_if_alone(
    ready: Predictor, tmp_path: Path, demo_clips: Path
):
    clips = sorted((demo_clips / "clips").glob("actor0[12]_happy_1.mp4"))
    (left, wave), (right, _) = map(taken_apart, clips)
    wave = wave[: 3 * AUDIO_HZ // 2]
    both = write(tmp_path / "both.mov", side_by_side(left[:15], right[:15]), wave, lossless=True)
    rows = answer_media(ready, str(both), ON).answer["windows"]
    assert [row["person"] for row in rows] == [1, 2]
    grey = [np.full_like(left[0], 200)] * 15
    for row, shown in zip(rows, ((left[:15], grey), (grey, right[:15])), strict=True):
        alone = write(tmp_path / "alone.mov", side_by_side(*shown), wave, lossless=True)
        (same,) = answer_media(ready, str(alone), ON).answer["windows"]
        # The detector gets different surroundings, so its boxes differ slightly.
        assert likely(row) == pytest.approx(likely(same), abs=0.02)
        assert row["emotion"] == same["emotion"]


def test_a_file_is_opened_once(
    ready: Predictor, talk: Path, demo_clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    real = container.av.open

    def counted(path: str, **settings: Any) -> Any:
        opened.append(path)
        return real(path, **settings)

    monkeypatch.setattr(container.av, "open", counted)
    clip = min((demo_clips / "clips").glob("*.mp4"))  # of 8 kHz, below the speech check's rate
    assert ready.run.config.features.sample_rate_hz < 16_000
    assert "windows" not in answer_media(ready, str(clip)).answer
    assert "windows" in answer_media(ready, str(talk)).answer
    assert [Path(path).name for path in opened] == [clip.name, talk.name]


def test_the_audio_track_that_is_used_is_named(
    ready: Predictor, demo_clips: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip = min((demo_clips / "clips").glob("*.mp4"))
    with open_media(str(clip), "a.mkv") as source:
        answer_source(ready, replace(source, notes=("2 audio tracks: number 2 is used",)), ON)
    assert caplog.messages == ["a.mkv: 2 audio tracks: number 2 is used"]


def test_a_given_name_replaces_the_path(ready: Predictor, talk: Path, tmp_path: Path) -> None:
    for settings in (Settings(), Settings(windows="off")):
        answer = answer_media(ready, str(talk), settings, "my [1] talk.mov").answer
        assert answer["clip"] == "my [1] talk.mov"
    (tmp_path / "text.mp4").write_text("text")
    with pytest.raises(UserError, match=r"^mine\.mp4: cannot be read"):
        answer_media(ready, str(tmp_path / "text.mp4"), name="mine.mp4")


def test_answers_are_repeatable(ready: Predictor, talk: Path) -> None:
    first, second = (answer_media(ready, str(talk)) for _ in range(2))
    assert first.answer == second.answer
    assert first.timeline == second.timeline


def test_absent_faces_and_silent_audio(ready: Predictor, tmp_path: Path, demo_clips: Path) -> None:
    frames, wave = joined(sorted((demo_clips / "clips").glob("actor01*.mp4"))[:2])
    grey = [np.full_like(frames[0], 200)] * len(frames)
    faceless = write(tmp_path / "faceless.mov", grey, wave)
    answer = answer_media(ready, str(faceless), ON).answer
    assert answer["people"] == []
    assert {(r["person"], r["face_present"], r["speech"]) for r in answer["windows"]} == {
        (None, False, True)
    }
    assert answer["emotion"] is not None
    assert answer["voice_shared"] is False
    silent = write(tmp_path / "silent.mov", frames)
    answer = answer_media(ready, str(silent), ON).answer
    assert {(r["person"], r["audio_present"], r["speech"]) for r in answer["windows"]} == {
        (1, False, False)
    }
    neither = write(tmp_path / "neither.mov", grey, 0.01 * np.sin(np.arange(len(wave)) / 9))
    found = answer_media(ready, str(neither), ON)
    assert {(r["person"], r["emotion"], *r["probabilities"]) for r in found.answer["windows"]} == {
        (None, None)
    }
    assert (found.answer["emotion"], found.answer["probabilities"]) == (None, {})
    assert {cell["emotion"] for cell in found.timeline} == {None}


def test_without_speech_the_face_alone_answers(ready: Predictor, tmp_path: Path, demo_clips: Path):
    frames, wave = taken_apart(min((demo_clips / "clips").glob("actor03*.mp4")))
    noise = np.random.default_rng(0).normal(size=len(wave)) * 0.1
    loud = write(tmp_path / "loud.mov", frames, noise)
    mute = write(tmp_path / "mute.mov", frames)
    face = ready.answer_clip(str(mute), speech_check=True)
    checked = ready.answer_clip(str(loud), speech_check=True)
    assert checked.speech is False
    assert checked.as_dict()["speech"] is False
    assert "speech" not in face.as_dict()
    assert list(checked.probabilities.values()) == pytest.approx(
        list(face.probabilities.values()), abs=1e-5
    )
    assert ready.answer_clip(str(loud), False).probabilities != checked.probabilities
    unchecked = answer_media(ready, str(loud), Settings(None, "on", False)).answer
    assert {row["speech"] for row in unchecked["windows"]} == {None}


def test_an_image_and_audio_alone(ready: Predictor, tmp_path: Path, demo_clips: Path) -> None:
    import cv2

    frames, wave = taken_apart(min((demo_clips / "clips").glob("actor03*.mp4")))
    right, _ = taken_apart(min((demo_clips / "clips").glob("actor04*.mp4")))
    for name in ("one.jpg", "one.png"):
        cv2.imwrite(str(tmp_path / name), frames[0][:, :, ::-1])
        answer = answer_media(ready, str(tmp_path / name)).answer
        assert (answer["face_coverage"], answer["audio_present"]) == (1.0, False)
        assert "windows" not in answer
    upright = answer_media(ready, str(tmp_path / "one.jpg")).answer
    lying = cv2.imencode(".jpg", np.rot90(frames[0])[:, :, ::-1])[1].tobytes()
    (tmp_path / "phone.jpg").write_bytes(lying[:2] + ORIENTATION_6 + lying[2:])
    answer = answer_media(ready, str(tmp_path / "phone.jpg")).answer
    assert answer["face_coverage"] == 1.0
    assert likely(answer) == pytest.approx(likely(upright), abs=0.05)
    cv2.imwrite(str(tmp_path / "two.png"), np.hstack([frames[0], right[0]])[:, :, ::-1])
    answer = answer_media(ready, str(tmp_path / "two.png"), ON).answer
    assert [row["person"] for row in answer["windows"]] == [1, 2]
    audio = write(tmp_path / "audio.wav", wave=np.tile(wave, 3))
    answer = answer_media(ready, str(audio)).answer
    assert {(row["person"], row["speech"]) for row in answer["windows"]} == {(None, True)}


def test_long_and_invalid_steps(ready: Predictor, talk: Path) -> None:
    answer = answer_media(ready, str(talk), Settings(hop_seconds=1.5)).answer
    starts = sorted({row["start_seconds"] for row in answer["windows"]})
    assert starts[:3] == [0, 1.5, 3.0]
    with pytest.raises(UserError, match=r"window_hop_seconds is 2\.0"):
        answer_media(ready, str(talk), Settings(hop_seconds=2.0))
    off = answer_media(ready, str(talk), Settings(windows="off")).answer
    assert "windows" not in off
    assert off["seconds"] == 1.5


def test_a_truncated_video_is_answered_up_to_its_end(
    ready: Predictor, tmp_path: Path, demo_clips: Path
) -> None:
    frames, wave = joined(sorted((demo_clips / "clips").glob("actor01*.mp4"))[:4])
    whole = write(tmp_path / "whole.mkv", frames, wave).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    found = answer_media(ready, str(tmp_path / "cut.mkv"))
    assert found.problem is not None
    assert "cut short" in found.problem
    assert 3 < found.answer["seconds"] < 6 < found.answer["film_seconds"]
    (tmp_path / "stub.mkv").write_bytes(whole[:9000])
    with pytest.raises(UserError, match=r"stub\.mkv"):
        answer_media(ready, str(tmp_path / "stub.mkv"))

"""A video played in real time is answered in time, by its latest seconds."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_FEATURES
from made_videos import AUDIO_HZ, joined, write
from untrained_runs import on_disk

import emorec_tf
from emorec_tf import api
from emorec_tf.errors import UserError
from emorec_tf.inference.live_stream import Feed, Stream
from emorec_tf.predict import main as predict_main


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return on_disk(tmp_path_factory.mktemp("streamed") / "tiny", TINY_FEATURES)


@pytest.fixture(scope="module")
def model(tiny_run: Path) -> api.Model:
    return emorec_tf.load(tiny_run)


@pytest.fixture(scope="module")
def half_silent(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 4 s: two with face and speech, then a grey frame in silence."""
    frames, wave = joined(sorted((demo_clips / "clips").glob("actor01*.mp4"))[:2])
    half = len(frames) // 2
    frames[half:] = [np.full_like(frames[0], 200)] * (len(frames) - half)
    wave[half * AUDIO_HZ // 10 :] = 0
    return write(tmp_path_factory.mktemp("video") / "half.mov", frames, wave)


def test_a_video_is_answered_in_its_own_time(model: api.Model, half_silent: Path) -> None:
    stream = Stream(str(half_silent), model)
    answers, whole, started = [], [], 0.0
    for seconds, probabilities in stream:
        started = started or time.monotonic() - seconds
        assert time.monotonic() - started >= seconds - 0.3  # never ahead of the video
        answers.append((seconds, probabilities))
        whole.append(stream.answer)
    assert [seconds for seconds, _ in answers] == sorted({seconds for seconds, _ in answers})
    assert len(answers) + stream.skipped >= 7
    assert all(seconds % 0.5 == 0 for seconds, _ in answers)
    for _, shares in answers:
        assert not shares or sum(shares.values()) == pytest.approx(1, abs=1e-4)
    assert any(one["face_present"] and one["speech"] for one in whole if one.get("clip"))
    assert (answers[-1][1], whole[-1]["speech"]) == ({}, False)


def test_the_feed_keeps_the_last_seconds() -> None:
    feed = Feed(keep_seconds=2.0)
    assert feed.waveform(0, 1) is None
    for end in range(1, 6):
        feed.add_audio(float(end), np.full(10, end, np.float32), 10)
    assert feed.waveform(3.5, 5.5).tolist() == [4] * 5 + [5] * 10 + [0] * 5
    assert len(feed.blocks) == 3
    feed.frames.extend((float(n), n) for n in range(9))
    assert [seconds for seconds, _ in feed.take_frames()] == [6, 7, 8]
    assert feed.take_frames() == []


def test_leaving_the_loop_stops_the_threads(model: api.Model, half_silent: Path) -> None:
    import threading

    before = threading.active_count()
    loop = iter(Stream(str(half_silent), model))
    next(loop)
    loop.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_the_command_plays_a_video(
    tiny_run: Path, half_silent: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict_main(["--run", str(tiny_run), "--json", "--live", str(half_silent)]) == 0
    out, error = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert rows[0]["seconds"] == 0.5
    assert rows[-1]["probabilities"] == {}
    assert f"{len(rows)} answers, " in error
    assert "of a core" in error


@pytest.mark.parametrize("source", ["97", "nowhere.mp4"])
def test_a_missing_source_is_reported_in_one_line(
    tiny_run: Path,
    source: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALSA_CONFIG_PATH", "/dev/null")  # so no microphone is opened either
    assert predict_main(["--run", str(tiny_run), "--live", source]) == 1
    error = capfd.readouterr().err.strip()
    assert error.count("\n") == 0
    assert source in error
    assert predict_main(["--run", str(tiny_run), "--live", source, "x.mp4"]) == 1


def test_a_damaged_video_is_an_error(model: api.Model, tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"words" * 99)
    with pytest.raises(UserError, match=r"x\.mp4"):
        next(iter(Stream(str(tmp_path / "x.mp4"), model)))

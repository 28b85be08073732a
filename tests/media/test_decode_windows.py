"""Every window equals decoding that part alone; memory stays bounded."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from made_videos import AUDIO_HZ, joined, write

from emorec_tf.errors import UserError
from emorec_tf.inference import windows
from emorec_tf.media import container, decode
from emorec_tf.media.container import open_media
from emorec_tf.media.decode import Recording
from emorec_tf.media.decode_windows import Windows

RATE_HZ = 6.0


@pytest.fixture(scope="module")
def long_video(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five videos of the demo corpus, one after the other: about 11 s."""
    frames, wave = joined(sorted((demo_clips / "clips").glob("actor01*.mp4"))[:5])
    return write(tmp_path_factory.mktemp("video") / "long.mov", frames, wave)


def cuts_of(path: Path, window: float = 1.5, hop: float = 0.75) -> list[tuple[float, float]]:
    with open_media(str(path)) as source:
        return windows.cut(source.seconds, window, hop)


def decoded(
    path: Path, cuts: list[tuple[float, float]], rate_hz: float = RATE_HZ
) -> tuple[list[Recording], str | None]:
    """All windows of a file, and the error where it could not be read."""
    with open_media(str(path)) as source:
        decoding = Windows(source, cuts, rate_hz)
        return list(decoding), decoding.problem


@pytest.mark.parametrize(("window", "hop"), [(1.5, 0.75), (2.0, 2.0), (3.1, 0.7)])
def test_windows_equal_decoding_that_part_alone(long_video, window, hop):
    cuts = cuts_of(long_video, window, hop)
    found, problem = decoded(long_video, cuts)
    assert problem is None
    assert len(found) == len(cuts) > 3
    for recording, (start, end) in zip(found, cuts, strict=True):
        alone = decode.decode(
            str(long_video),
            sample_rate_hz=None,
            clip_seconds=None,
            frame_rate_hz=RATE_HZ,
            start_seconds=start,
            end_seconds=end,
        )
        np.testing.assert_array_equal(recording.waveform, alone.waveform)
        np.testing.assert_allclose(recording.frame_seconds, alone.frame_seconds, atol=1e-9)
        for one, other in zip(recording.frames, alone.frames, strict=True):
            np.testing.assert_array_equal(one, other)


def test_audio_alone_and_video_alone(long_video, tmp_path, demo_clips):
    frames, wave = joined(sorted((demo_clips / "clips").glob("actor02*.mp4"))[:2])
    audio = write(tmp_path / "audio.wav", wave=wave)
    found, _ = decoded(audio, cuts_of(audio))
    assert all(len(r.waveform) == 1.5 * AUDIO_HZ and not r.av_frames for r in found)
    silent = write(tmp_path / "silent.mp4", frames)
    found, _ = decoded(silent, cuts_of(silent))
    assert all(r.waveform is None and len(r.av_frames) == 9 for r in found)
    without_frames, _ = decoded(long_video, cuts_of(long_video), 0.0)
    assert all(len(r.waveform) and not r.av_frames for r in without_frames)


def test_frames_end_where_the_video_stream_ends(tmp_path, demo_clips):
    frames, wave = joined(sorted((demo_clips / "clips").glob("actor02*.mp4"))[:4])
    path = write(tmp_path / "short.mov", frames[:10], wave)
    found, _ = decoded(path, cuts_of(path))
    assert [bool(r.av_frames) for r in found[:2]] == [True, True]
    assert not any(r.av_frames for r in found if r.start_seconds > 3.1)
    assert all(r.waveform.any() for r in found)


def test_a_truncated_video_gives_its_readable_part(long_video, tmp_path, demo_clips):
    frames, wave = joined(sorted((demo_clips / "clips").glob("actor01*.mp4"))[:5])
    whole = write(tmp_path / "whole.mkv", frames, wave)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    cuts = cuts_of(whole)
    found, problem = decoded(cut, cuts)
    assert re.fullmatch(
        r".*cut\.mkv: is cut short or damaged: \d+\.\d+ s of \d+\.\d+ s of its (audio|video) "
        r"cannot be read",
        str(problem),
    )
    assert 0.4 * len(cuts) < len(found) < 0.8 * len(cuts)
    for one, other in zip(found[:-1], decoded(whole, cuts)[0], strict=False):
        np.testing.assert_array_equal(one.waveform, other.waveform)
    last = found[-1]
    assert 0.75 <= last.seconds <= 1.5
    assert last.frame_seconds.max() <= last.seconds + 0.1
    assert len(last.waveform) == pytest.approx(last.seconds * AUDIO_HZ, abs=AUDIO_HZ // 5)


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / "text.mp4").write_text("text")
    with pytest.raises(UserError, match=r"text\.mp4"):
        decoded(tmp_path / "text.mp4", [(0.0, 1.0)])


def test_errors_use_the_given_name(tmp_path):
    (tmp_path / "text.mp4").write_text("text")
    with (
        pytest.raises(UserError, match=r"^holiday \[1\]\.mp4: ") as error,
        open_media(str(tmp_path / "text.mp4"), "holiday [1].mp4"),
    ):
        pass
    assert str(tmp_path) not in str(error.value)


def test_errors_raised_inside_the_context_are_not_renamed(long_video):
    with pytest.raises(ValueError, match="mine"), open_media(str(long_video)):
        raise ValueError("mine")


def test_the_file_is_opened_once_for_length_and_windows(long_video, monkeypatch):
    opened: list[str] = []
    real = container.av.open

    def counted(path: str, **settings):
        opened.append(path)
        return real(path, **settings)

    monkeypatch.setattr(container.av, "open", counted)
    with open_media(str(long_video)) as source:
        assert len(list(Windows(source, windows.cut(source.seconds, 1.5, 0.75), RATE_HZ))) > 3
    decode.decode(str(long_video), clip_seconds=2.0, frame_rate_hz=RATE_HZ)
    assert len(opened) == 2


def test_memory_stays_flat(tmp_path):
    psutil = pytest.importorskip("psutil")
    image = np.zeros((720, 1280, 3), np.uint8)
    image[200:500, 300:700] = 200
    path = write(tmp_path / "large.mov", [image] * 500, np.zeros(50 * AUDIO_HZ, np.float32))
    used = []
    with open_media(str(path)) as source:
        for recording in Windows(source, cuts_of(path, 4.0, 2.0), RATE_HZ):
            assert recording.av_frames
            used.append(psutil.Process().memory_info().rss / 2**20)
    assert len(used) == 24
    assert max(used) - used[3] < 60  # MiB; all frames together are 690 as FFmpeg gives them

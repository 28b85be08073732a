"""What decoding may hold in memory is bounded, and what calls it can stop it at any packet."""

from __future__ import annotations

import wave
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from made_videos import write

from emorec_tf.errors import UserError
from emorec_tf.media import decode, memory
from emorec_tf.media.container import open_media
from emorec_tf.media.decode_windows import Windows

FRAME_BYTES = 64 * 48 * 3 // 2


class StopError(Exception):
    """The time is over."""


def claimed_by(
    width: int, height: int, form: str = "yuv420p", codec: str = "h264"
) -> SimpleNamespace:
    known = SimpleNamespace(intra_only=codec == "mjpeg")
    return SimpleNamespace(
        format=av.VideoFormat(form), width=width, height=height, name=codec, codec=known
    )


def noise(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(count)]


@pytest.mark.parametrize(
    ("size", "form", "codec", "most"),
    [
        ((1280, 720), "yuv420p", "h264", 995),
        ((3840, 2160), "yuv420p", "h264", 95),  # 12 s of a face track are 72
        ((3840, 2160), "yuv420p10le", "hevc", 39),  # 16 bits are kept of each 10
        ((7680, 4320), "yuv420p", "hevc", 11),
        ((8064, 4536), "yuvj420p", "mjpeg", 24),
    ],
)
def test_frames_are_counted_as_they_are_kept(
    size: tuple[int, int], form: str, codec: str, most: int
) -> None:
    claimed = claimed_by(*size, form, codec)
    memory.check_frame("a.mp4", claimed, claimed.format, *size)
    assert memory.most_frames(claimed) == most


@pytest.mark.parametrize("form", ["yuv444p10le", "yuv444p", "yuv420p10le"])
def test_frames_that_fill_the_memory_are_refused_before_they_are_decoded(form: str) -> None:
    claimed = claimed_by(8192, 4608, form)
    with pytest.raises(UserError, match=rf"^a\.mp4: its frames \(8192x4608, {form}\) take too muc"):
        memory.check_frame("a.mp4", claimed, claimed.format, 8192, 4608)


def test_a_video_of_large_frames_is_refused_when_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.mp4", noise(20))
    monkeypatch.setattr(memory, "MAX_HELD_BYTES", 17 * FRAME_BYTES)
    with pytest.raises(UserError, match=r"a\.mp4: its frames \(64x48, yuv420p\)"):
        decode.decode(str(path))


def test_large_frames_are_kept_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.mp4", noise(20))
    monkeypatch.setattr(memory, "MAX_HELD_BYTES", 23 * FRAME_BYTES)
    assert len(decode.decode(str(path), frame_rate_hz=5.0).frames) == 6
    with pytest.raises(UserError, match="7 frames of its size are too many"):
        decode.decode(str(path), frame_count=7)
    with open_media(str(path)) as source:
        (only,) = Windows(source, [(0.0, 2.0)], 5.0)
    assert len(only.frames) == 3


def test_many_windows_at_once_keep_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.mp4", noise(60))
    monkeypatch.setattr(memory, "MAX_HELD_BYTES", 30 * FRAME_BYTES)
    cuts = [(0.05 * step, 0.05 * step + 4.0) for step in range(20)]
    with open_media(str(path)) as source, pytest.raises(UserError, match=r"a\.mp4: its frames and"):
        list(Windows(source, cuts, 5.0))


def write_wav(path: Path, channels: int, rate_hz: int, seconds: float) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate_hz, 0, "NONE", ""))
        tone = 8000 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate_hz)) / rate_hz)
        file.writeframes(np.repeat(tone.astype("<i2"), channels).tobytes())
    return path


def test_audio_of_many_channels_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_wav(tmp_path / "a.wav", 8, 48_000, 3.0)
    needed = 2 * 4 * 8 * 48_000 * 3
    monkeypatch.setattr(memory, "MAX_HELD_BYTES", needed)
    assert len(decode.decode(str(path)).waveform) == 3 * 48_000
    monkeypatch.setattr(memory, "MAX_HELD_BYTES", needed - 1)
    with pytest.raises(UserError, match=r"a\.wav: 8 channels at 48000 Hz over 3\.0 s take too muc"):
        decode.decode(str(path))
    assert len(decode.decode(str(path), clip_seconds=1.0).waveform) == 48_000
    with open_media(str(path)) as source, pytest.raises(UserError, match=r"more than 0\.0092"):
        list(Windows(source, [(0.0, 2.0), (0.5, 2.5), (1.0, 3.0)], 0.0))


def test_an_hour_of_audio_and_the_worst_that_headers_may_claim() -> None:
    memory.check_audio("a.wav", 1, 48_000, decode.MAX_WINDOW_SECONDS)
    with pytest.raises(UserError, match=r"32 channels at 768000 Hz over 12\.0 s"):
        memory.check_audio("a.wav", 32, 768_000, 12.0)


class Counter:
    """Stops the work at its n-th call."""

    def __init__(self, most: int) -> None:
        self.left = most

    def __call__(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise StopError


def test_decoding_stops_at_the_packet_where_it_is_told_to(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", noise(60))
    free = Counter(10_000)
    with open_media(str(path), check=free) as source:
        decode.decode_part(source, decode.Wanted(frame_rate_hz=5.0))
    assert 10_000 - free.left >= 60
    with pytest.raises(StopError), open_media(str(path), check=Counter(30)) as source:
        decode.decode_part(source, decode.Wanted(frame_rate_hz=5.0))
    with pytest.raises(StopError), open_media(str(path), check=Counter(30)) as source:
        list(Windows(source, [(0.0, 4.0)], 5.0))


def test_counting_a_files_packets_stops_too(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", noise(60))
    moved = tmp_path / "a.ts"
    with av.open(str(path)) as reader, av.open(str(moved), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                writer.mux(packet)
    with pytest.raises(StopError), open_media(str(moved), check=Counter(30)):
        pass

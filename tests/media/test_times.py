"""Times count from a file's start; what carries no time follows what was before it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from emorec_tf.errors import UserError
from emorec_tf.media import decode

SECONDS, AUDIO_HZ, FRAMES_HZ = 3, 48_000, 10
CODECS = {
    "mkv": ("libx264", "pcm_s16le"),
    "mka": (None, "aac"),
    "webm": ("libvpx", "libopus"),
    "mov": ("libx264", "pcm_s16le"),
    "ts": ("libx264", "aac"),
    "flv": ("flv", "aac"),
    "ogg": (None, "libopus"),
    "wma": (None, "wmav2"),
    "wmv": ("wmv2", "wmav2"),
}


def write(path: Path, start_seconds: float = 0.0, late_seconds: float = 0.0) -> Path:
    """A tone, and frames ``late_seconds`` after it that grow brighter: 3 s in the suffix's codecs.

    ``start_seconds`` is what the container calls the first sample's time.
    """
    video_codec, audio_codec = CODECS[path.suffix[1:]]
    packets: list[Any] = []
    with av.open(str(path), "w") as container:
        if video_codec:
            video = container.add_stream(video_codec, FRAMES_HZ, options={"b": "4000000"})
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            for index in range(SECONDS * FRAMES_HZ):
                grey = np.full((48, 64, 3), 30 + 6 * index, np.uint8)
                frame = av.VideoFrame.from_ndarray(grey, "rgb24")
                frame.pts = index + round((start_seconds + late_seconds) * FRAMES_HZ)
                frame.time_base = Fraction(1, FRAMES_HZ)
                packets += video.encode(frame)
            packets += video.encode(None)
        track = container.add_stream(audio_codec, AUDIO_HZ, layout="mono")
        track.bit_rate = 64_000
        track.codec_context.open()
        times = np.arange(SECONDS * AUDIO_HZ) / AUDIO_HZ
        tone = (0.5 * np.sin(2 * np.pi * 440 * times) * times / SECONDS).astype(np.float32)
        audio = av.AudioFrame.from_ndarray(tone[None], "fltp", "mono")
        audio.sample_rate, audio.time_base = AUDIO_HZ, Fraction(1, AUDIO_HZ)
        audio.pts = round(start_seconds * AUDIO_HZ)
        size = track.codec_context.frame_size
        shaped = av.AudioResampler(track.codec_context.format.name, "mono", AUDIO_HZ, size or None)
        for part in [*shaped.resample(audio), *shaped.resample(None)]:
            packets += track.encode(part)
        packets += track.encode(None)
        container.mux(sorted(packets, key=lambda packet: packet.dts * packet.time_base))
    return path


def read(path: Path) -> decode.Recording:
    return decode.decode(str(path), frame_rate_hz=5.0)


def levels(waveform: np.ndarray) -> np.ndarray:
    """Root mean squares of 10 ms each: a container's clock may be a millisecond off."""
    return np.sqrt(np.square(waveform[: 290 * 480].reshape(290, 480)).mean(1))


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("start_seconds", [0.5, 70.0])
def test_a_piece_reads_as_if_its_time_began_at_0(
    tmp_path: Path, suffix: str, start_seconds: float
) -> None:
    whole = read(write(tmp_path / f"whole.{suffix}"))
    piece = read(write(tmp_path / f"piece.{suffix}", start_seconds))
    assert piece.seconds == pytest.approx(whole.seconds, abs=0.03)
    assert piece.seconds == pytest.approx(SECONDS, abs=0.1)
    np.testing.assert_allclose(piece.frame_seconds, whole.frame_seconds, atol=0.002)
    for one, other in zip(piece.frames, whole.frames, strict=True):
        np.testing.assert_array_equal(one, other)
    # At most the padding of a last packet lies between them.
    assert len(piece.waveform) == pytest.approx(len(whole.waveform), abs=2048)
    np.testing.assert_allclose(levels(piece.waveform), levels(whole.waveform), atol=0.02)


@pytest.mark.parametrize("start_seconds", [0.0, 5.0])
def test_audio_and_video_of_a_piece_stay_in_step(tmp_path: Path, start_seconds: float) -> None:
    recording = read(write(tmp_path / "late.mkv", start_seconds, late_seconds=0.4))
    # Frames start 0.4 s after the audio, and each says by its level when it was shown.
    shown = [(float(frame.mean()) - 30) / 60 + 0.4 for frame in recording.frames]
    np.testing.assert_allclose(shown, recording.frame_seconds, atol=0.03)
    assert recording.frame_seconds[0] == pytest.approx(0.4, abs=0.002)
    growth = levels(recording.waveform) / (0.5 / 2**0.5)
    np.testing.assert_allclose(growth, (np.arange(290) + 0.5) / 300, atol=0.015)


def test_a_part_of_a_piece_counts_from_its_start(tmp_path: Path) -> None:
    path = write(tmp_path / "piece.mkv", 70.0)
    part = decode.decode(str(path), frame_count=2, start_seconds=1.0, end_seconds=2.0)
    np.testing.assert_allclose(part.frame_seconds, [0.2, 0.7], atol=0.051)
    np.testing.assert_array_equal(part.waveform, read(path).waveform[AUDIO_HZ : 2 * AUDIO_HZ])


@pytest.mark.parametrize("suffix", ["mkv", "webm", "ogg"])
def test_a_piece_that_is_cut_short_is_refused(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"piece.{suffix}", 70.0)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    if suffix == "ogg":  # its end alone says how long it lasts
        assert read(path).seconds < 2
        return
    with pytest.raises(UserError, match="is cut short or damaged"):
        read(path)


def without_times(path: Path, wanted: slice) -> Path:
    """Set the times of some video blocks of a Matroska file below 0, which makes them void."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    for place in places[wanted]:
        assert data[place] == 0x81  # track 1; its time follows as int16
        data[place + 1 : place + 3] = (-30_000).to_bytes(2, "big", signed=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("wanted", [slice(None), slice(0, 3), slice(10, 11), slice(27, None)])
def test_a_frame_without_a_time_follows_the_one_before(tmp_path: Path, wanted: slice) -> None:
    whole = read(write(tmp_path / "whole.mkv"))
    damaged = without_times(write(tmp_path / "untimed.mkv"), wanted)
    with av.open(str(damaged)) as container:
        times = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert None in times
    recording = read(damaged)
    assert recording.seconds == whole.seconds
    np.testing.assert_array_equal(recording.waveform, whole.waveform)
    shown = [(float(frame.mean()) - 30) / 60 for frame in recording.frames]
    np.testing.assert_allclose(shown, recording.frame_seconds, atol=0.1)
    np.testing.assert_allclose(recording.frame_seconds, whole.frame_seconds, atol=0.11)


def test_windows_media_is_read_to_its_last_sample(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wma")
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    assert frames[-1].time is None  # the one that the decoder keeps back until the end
    waveform = read(path).waveform
    np.testing.assert_allclose(levels(waveform)[100:], 0.5 / 2**0.5 * np.arange(100, 290) / 300,
                               atol=0.02)  # fmt: skip

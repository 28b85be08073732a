"""The default audio track is used, unless it is silent and another is not; the note says which."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from made_videos import write

from emorec_tf.media import audio_tracks, decode
from emorec_tf.media.container import open_media

RATE_HZ, DEFAULT = 16_000, av.stream.Disposition.default


def write_tracks(path: Path, levels: Sequence[float], default: int | None) -> Path:
    """One second of a tone of each level, a track each."""
    with av.open(str(path), "w") as container:
        tracks = [container.add_stream("pcm_s16le", RATE_HZ, layout="mono") for _ in levels]
        for index, track in enumerate(tracks):
            track.disposition = DEFAULT if index == default else av.stream.Disposition(0)
        for start in range(0, RATE_HZ, 1600):
            for track, level in zip(tracks, levels, strict=True):
                tone = level * np.sin(2 * np.pi * 440 * np.arange(start, start + 1600) / RATE_HZ)
                ints = np.round(tone * 32767).astype(np.int16)
                block = av.AudioFrame.from_ndarray(ints[None], "s16", "mono")
                block.sample_rate, block.pts = RATE_HZ, start
                container.mux(track.encode(block))
        for track in tracks:
            container.mux(track.encode(None))
    return path


@pytest.mark.parametrize("suffix", ["mkv", "mov"])
@pytest.mark.parametrize(
    ("levels", "default", "number", "reason"),
    [
        ([0.2, 0.5], 1, 2, "the default one"),
        ([0.5, 0.2], 0, 1, "the default one"),
        ([0.0, 0.5], 0, 2, "the first that is not silent"),
        ([0.0, 0.3, 0.5], 0, 2, "the first that is not silent"),
        ([0.5, 0.0], 1, 1, "the first that is not silent"),
        ([0.0, 0.0], 1, 2, "the default one"),
        ([5e-4, 0.5], 0, 2, "the first that is not silent"),
    ],
)
def test_the_default_track_or_the_first_that_is_heard(
    tmp_path: Path, suffix: str, levels: list[float], default: int, number: int, reason: str
) -> None:
    recording = decode.decode(str(write_tracks(tmp_path / f"a.{suffix}", levels, default)))
    assert np.abs(recording.waveform).max() == pytest.approx(levels[number - 1], abs=1e-3)
    assert recording.notes == (f"{len(levels)} audio tracks: number {number} is used, {reason}",)


def test_without_a_default_the_first_is_used(tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "a.nut", [0.2, 0.5], None)
    with av.open(str(path), "r") as container:
        tracks = list(container.streams.audio)
        assert not any(track.disposition & DEFAULT for track in tracks)
        used, notes = audio_tracks.choose(
            tracks, lambda: av.open(str(path)), lambda: None, (av.FFmpegError,)
        )
        assert used is tracks[0]
    assert notes == ("2 audio tracks: number 1 is used, the first",)


def test_one_track_needs_no_note_and_no_second_opening(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mov", wave=np.zeros(24_000, np.float32))
    with open_media(str(path)) as source:
        assert source.notes == ()


def test_only_tracks_whose_codec_is_read_count(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        tracks = [container.add_stream(name, RATE_HZ, layout="mono") for name in ("tta", "flac")]
        tracks[0].disposition = DEFAULT
        for track, level in zip(tracks, (8000, 16000), strict=True):
            block = av.AudioFrame.from_ndarray(
                np.full((1, RATE_HZ), level, np.int16), "s16", "mono"
            )
            block.sample_rate, block.pts = RATE_HZ, 0
            shaped = av.AudioResampler("s16", "mono", RATE_HZ, track.codec_context.frame_size)
            for part in [*shaped.resample(block), *shaped.resample(None)]:
                container.mux(track.encode(part))
            container.mux(track.encode(None))
    waveform = decode.decode(str(path)).waveform
    assert np.median(waveform) == pytest.approx(16000 / 32768, abs=1e-3)

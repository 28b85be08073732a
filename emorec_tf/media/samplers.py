"""What is kept of decoded frames: the video frames nearest to some times, one audio channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np

from emorec_tf.errors import UserError
from emorec_tf.media import memory
from emorec_tf.media.container import Source, check_size

DENSE_FRAMES_PER_TARGET = 4.0  # from here on it pays to leave out unreferenced frames
PIECE_SAMPLES = 2**14  # of what is looked at in pieces, as a copy of all takes too much memory
SILENT_MIX_SHARE = 0.01  # of the loudest channel's energy
# Weights of a downmix to mono, before they are scaled to a sum of 1 (after ITU-R BS.775).
CHANNEL_WEIGHTS = {"FC": 1.0, "FL": 0.7071, "FR": 0.7071, "LFE": 0.0}
OTHER_CHANNEL_WEIGHT = 0.5


class FrameSampler:
    """Keeps, for every target time, the frame nearest to it."""

    def __init__(
        self, source: Source, window: tuple[float, float], count: int, sparse: bool
    ) -> None:
        """Spread ``count`` targets over the window, seconds from the file's start."""
        context = source.video.codec_context
        if count > memory.most_frames(context):
            raise UserError(f"{source.name}: {count} frames of its size are too many; ask fewer")
        self.start = window[0]
        self.targets = self.start + (np.arange(count) + 0.5) * (window[1] - window[0]) / count
        self.gaps = np.full(count, np.inf)
        self.nearest: list[tuple[float, Any]] = [(0.0, None)] * count
        self.largest_bytes = 0
        frames = float(source.video.average_rate or 0) * (window[1] - window[0])
        if sparse and frames >= DENSE_FRAMES_PER_TARGET * count:
            context.skip_frame = "NONREF"

    def take(self, frame: Any, seconds: float) -> bool:
        """Returns whether no later frame can matter."""
        gaps = np.abs(self.targets - seconds)
        for target in np.flatnonzero(gaps < self.gaps):
            self.gaps[target] = gaps[target]
            self.nearest[target] = (seconds, frame)
            self.largest_bytes = max(self.largest_bytes, memory.bytes_of(frame))
        return bool(seconds >= self.targets[-1])

    @property
    def is_empty(self) -> bool:
        """Whether no frame has come."""
        return self.nearest[0][1] is None

    def finish(self) -> tuple[list[Any], np.ndarray]:
        """Frames as FFmpeg gives them, and their times in seconds from the window's start."""
        if self.is_empty:
            raise ValueError("no frame can be decoded")
        times = np.array([seconds for seconds, _ in self.nearest]) - self.start
        return [frame for _, frame in self.nearest], times


def converter(name: str) -> Callable[[Any], np.ndarray]:
    """Make the function that turns a frame into an upright uint8 RGB [height, width, 3]."""
    reformatter = av.video.reformatter.VideoReformatter()  # one for all: 10 times quicker

    def convert(frame: Any) -> np.ndarray:
        check_size(name, frame.width, frame.height)
        array = reformatter.reformat(frame, format="rgb24").to_ndarray()
        # FFmpeg gives the counter-clockwise turn that sets the image upright.
        return np.ascontiguousarray(np.rot90(array, round(frame.rotation / 90)))

    return convert


class AudioSampler:
    """Resamples each channel, then mixes them: only so can a mix that cancels itself be seen."""

    def __init__(self, name: str, window: tuple[float, float], sample_rate_hz: int | None) -> None:
        """Wait for the first frame: headers may be wrong on layout and rate (``None``: own)."""
        self.name, self.window, self.rate_hz = name, window, sample_rate_hz or 0
        self.first_seconds: float | None = None
        self.resampler: Any = None
        self.channels: tuple[str, ...] = ()
        self.blocks: list[np.ndarray] = []
        self.held_bytes = 0

    def take(self, frame: Any, seconds: float) -> bool:
        """Returns whether the window is filled."""
        length = frame.samples / frame.sample_rate
        if seconds >= self.window[1]:
            return True
        if seconds + length <= self.window[0]:
            return False
        if self.first_seconds is None:
            self.first_seconds = seconds
            self.rate_hz = self.rate_hz or frame.sample_rate
            self.channels = tuple(channel.name for channel in frame.layout.channels)
            length_kept = self.window[1] - max(seconds, self.window[0])
            memory.check_audio(self.name, len(self.channels), self.rate_hz, length_kept)
            # Packed, as PyAV 18.1 reads past the planes of more than 7 planar channels.
            self.resampler = av.AudioResampler("flt", frame.layout, self.rate_hz)
        self._keep(frame)
        return seconds + length >= self.window[1]

    def _keep(self, frame: Any) -> None:
        for resampled in self.resampler.resample(frame):
            self.blocks.append(resampled.to_ndarray().reshape(-1, len(self.channels)))
            self.held_bytes += memory.COPIES * self.blocks[-1].nbytes

    def finish(self, source: Source, notes: list[str]) -> np.ndarray | None:
        """Float32 [samples] from the window's start; adds to ``notes`` what was repaired."""
        if self.first_seconds is None:
            notes.append("no audio in this part of the file")
            return None
        self._keep(None)
        channels = np.concatenate(self.blocks)
        self.blocks = []
        start, end = self.window
        late = round((self.first_seconds - start) * self.rate_hz)
        # The stream's own end, as encoders pad their last packet.
        last = min(end, source.ends.get(source.audio.index, end))
        length = round((last - start) * self.rate_hz) - max(0, late)
        channels = channels[max(0, -late) :][: max(0, length)]
        if not all(np.isfinite(piece).all() for piece in _pieces(channels)):
            raise UserError(
                f"{self.name}: holds samples that are not numbers (NaN or infinite); write the "
                "file again or leave it out"
            )
        waveform = _mix(channels, self.channels, notes)
        del channels
        return np.pad(waveform, (late, 0)) if late > 0 else waveform


def resampled(waveform: np.ndarray, rate_hz: int, wanted_hz: int) -> np.ndarray:
    """Resample mono audio: float32 [samples] -> [samples * wanted / rate]."""
    if rate_hz == wanted_hz or not len(waveform):
        return waveform
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(waveform)[None], "flt", "mono")
    frame.sample_rate = rate_hz
    resampler = av.AudioResampler("flt", "mono", wanted_hz)
    blocks = [b.to_ndarray()[0] for f in (frame, None) for b in resampler.resample(f)]
    # A few samples may give none.
    whole = np.concatenate([waveform[:0], *blocks])[: round(len(waveform) * wanted_hz / rate_hz)]
    return np.asarray(whole / max(float(np.abs(whole).max(initial=0.0)), 1.0), np.float32)


def _mix(channels: np.ndarray, names: tuple[str, ...], notes: list[str]) -> np.ndarray:
    """Mix float32 [samples, channels] to mono [samples] within [-1, 1]."""
    weights = np.array([CHANNEL_WEIGHTS.get(name, OTHER_CHANNEL_WEIGHT) for name in names])
    if len(names) == 1 or not weights.any():
        weights[:] = 1.0
    mono = channels @ (weights / weights.sum()).astype(np.float32)
    energies = _energies(channels)
    if _energies(mono[:, None])[0] < SILENT_MIX_SHARE * energies.max():
        loudest = int(energies.argmax())
        notes.append(f"channels cancel each other: channel {loudest + 1} of {len(names)} used")
        mono = channels[:, loudest]
    peak = max(float(mono.max(initial=0.0)), -float(mono.min(initial=0.0)))
    if peak > 1.05:  # less is the ripple of resampling
        notes.append(f"audio scaled down from a peak of {peak:.2f}")
    return np.ascontiguousarray(mono / max(peak, 1.0) if peak > 1 else mono, dtype=np.float32)


def _pieces(channels: np.ndarray) -> Iterator[np.ndarray]:
    """Give [samples, channels] piece by piece."""
    return (channels[i : i + PIECE_SAMPLES] for i in range(0, len(channels), PIECE_SAMPLES))


def _energies(channels: np.ndarray) -> np.ndarray:
    """Mean squares of [samples, channels], as 64-bit floats."""
    sums = (np.square(piece, dtype=np.float64).sum(0) for piece in _pieces(channels))
    return sum(sums, np.zeros(channels.shape[1])) / max(len(channels), 1)

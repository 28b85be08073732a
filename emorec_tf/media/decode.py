"""A part of a media file becomes audio and video frames, in one pass over the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from emorec_tf.errors import UserError
from emorec_tf.media.container import Source, media_errors, open_media
from emorec_tf.media.durations import check_missing
from emorec_tf.media.frame_loop import Progress, Samplers, Window, fill
from emorec_tf.media.memory import most_frames
from emorec_tf.media.samplers import AudioSampler, FrameSampler, converter

MAX_WINDOW_SECONDS = 3600.0  # of what one call decodes


@dataclass(frozen=True)
class Recording:
    """What was decoded of one file's window.

    ``waveform`` is float32 [samples], mono, within [-1, 1], and starts with the window; ``None``
    where there is no audio. ``av_frames`` are frames as FFmpeg gives them, one of which may stand
    several times; ``frame_seconds`` is float64 [frames]: when each is first shown, relative to the
    window's start. The notes say what was repaired.
    """

    name: str
    waveform: np.ndarray | None
    av_frames: list[Any]
    frame_seconds: np.ndarray
    seconds: float
    start_seconds: float
    audio_notes: tuple[str, ...] = ()
    video_notes: tuple[str, ...] = ()
    audio_rate_hz: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """All that was repaired."""
        return self.audio_notes + self.video_notes

    @cached_property
    def frames(self) -> list[np.ndarray]:
        """Frames as uint8 RGB [height, width, 3], upright; one array may stand several times."""
        arrays = [frame for _, frame in self.distinct_frames()]
        return [arrays[i] for i in np.cumsum(self._is_new()) - 1]

    def distinct_frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """Give each frame once, with its seconds; they are converted one by one.

        Raises:
            UserError: a frame is damaged or too large.
        """
        convert = converter(self.name)
        for index in np.flatnonzero(self._is_new()):
            with media_errors(self.name):
                frame = convert(self.av_frames[index])
            yield float(self.frame_seconds[index]), frame

    def _is_new(self) -> list[bool]:
        return [i == 0 or f is not self.av_frames[i - 1] for i, f in enumerate(self.av_frames)]


@dataclass(frozen=True)
class Wanted:
    """What to decode: the middle ``clip_seconds`` of [start_seconds, end_seconds].

    ``None`` stands for all of it, and for the audio's own sample rate. ``frame_count`` frames are
    the nearest to start + (i + 0.5) * window / frame_count by their own times, so that the frame
    rate does not matter; ``frame_rate_hz``, where given, makes the count so many a second. Times
    count from the file's first stream; a file lasts as long as the longer of its audio and its
    video, whichever of them is wanted.
    ``sparse`` takes about half the time for videos with far more frames than are wanted: it leaves
    out those that no other frame refers to, so a frame may be up to two frames off.
    """

    sample_rate_hz: int | None = None
    clip_seconds: float | None = None
    frame_count: int = 0
    frame_rate_hz: float = 0.0
    start_seconds: float = 0.0
    end_seconds: float | None = None
    want_audio: bool = True
    want_video: bool = True
    sparse: bool = False


def decode(path: str, **wanted: Any) -> Recording:
    """Open a file and decode a part of it, all of it without arguments.

    Args:
        path: the file.
        wanted: fields of ``Wanted``.

    Raises:
        UserError: the file is missing, empty, damaged, cut short, not media, beyond the bounds
            here and in container.py, holds NaN, or ends before ``start_seconds``.
    """
    with open_media(path) as source:
        return decode_part(source, Wanted(**wanted))


def decode_part(source: Source, wanted: Wanted) -> Recording:
    """Decode a part of an open file, once for each opening.

    Raises:
        UserError: the file is damaged, cut short, beyond the bounds, or ends before the part.
    """
    with media_errors(source.name):
        start, end = window = _window(source, wanted)
        progress = Progress()
        (filled,) = fill(source, [window], lambda w: _samplers(source, w, wanted), progress)
        for index in filled.samplers:
            if index in filled.waiting:  # the file ended before this stream was complete
                _check_reached(source, window, index, progress)
        audio_notes, video_notes = (
            _notes(progress, stream) for stream in (source.audio, source.video)
        )
        audio_notes += source.notes
        waveform, rate_hz = None, 0
        frames: list[Any] = []
        times = np.zeros(0)
        for sampler in reversed(filled.samplers.values()):
            if isinstance(sampler, AudioSampler):
                waveform, rate_hz = sampler.finish(source, audio_notes), sampler.rate_hz
            else:
                frames, times = sampler.finish()
    notes = tuple(audio_notes), tuple(video_notes)
    return Recording(source.name, waveform, frames, times, end - start, start, *notes, rate_hz)


def _samplers(source: Source, window: Window, wanted: Wanted) -> Samplers:
    """Make what collects the audio and the frames of a window, as far as they are wanted."""
    samplers: Samplers = {}
    if wanted.want_audio and source.audio is not None:
        samplers[source.audio.index] = AudioSampler(source.name, window, wanted.sample_rate_hz)
    if wanted.want_video and source.video is not None:
        count, seconds = wanted.frame_count, window[1] - window[0]
        if wanted.frame_rate_hz:
            most = most_frames(source.video.codec_context)
            count = max(1, min(int(seconds * wanted.frame_rate_hz), most))
        if count:
            samplers[source.video.index] = FrameSampler(source, window, count, wanted.sparse)
    return samplers


def _notes(progress: Progress, stream: Any) -> list[str]:
    """Say how much of a stream was left out."""
    seconds = progress.lost.get(stream.index, 0.0) if stream is not None else 0.0
    return [f"{seconds:.2f} s of damaged {stream.type} left out"] if seconds else []


def _window(source: Source, wanted: Wanted) -> Window:
    start, end, seconds = wanted.start_seconds, wanted.end_seconds, wanted.clip_seconds
    last = source.seconds if end is None else min(end, source.seconds)
    if not 0 <= start < last:
        raise UserError(
            f"{source.name}: nothing lies between {start:g} s and {last:g} s: the file lasts "
            f"{source.seconds:.3f} s; correct the clip's start and end"
        )
    if seconds is not None and last - start > seconds > 0:
        start += (last - start - seconds) / 2
        last = start + seconds
    if last - start > MAX_WINDOW_SECONDS:
        raise UserError(
            f"{source.name}: {last - start:.0f} s are too long for one clip (up to "
            f"{MAX_WINDOW_SECONDS:.0f} s); set the clip's seconds, or its start and end"
        )
    return start, last


def _check_reached(source: Source, window: Window, index: int, progress: Progress) -> None:
    if index in source.ends:
        promised, read = source.ends[index], progress.ends.get(index, 0.0)
    else:  # only the container says how long: whichever stream is longest has to fill it
        promised, read = source.seconds, progress.reached
    promised = min(promised, window[1])
    missing = max(0.0, promised - max(read, window[0])) + progress.lost.get(index, 0.0)
    check_missing(source.name, missing, promised - window[0])

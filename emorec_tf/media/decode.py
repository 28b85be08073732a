"""A media file becomes sound and pictures, in one pass over the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import av
import numpy as np

from emorec_tf.errors import UserError
from emorec_tf.media.container import (
    FOREIGN_ERRORS,
    UNTIMED_FORMATS,
    Source,
    check_missing,
    opened,
    packet_end,
    packet_seconds,
    source_of,
)
from emorec_tf.media.samplers import Pictures, Sound, converter, most_pictures

MAX_WINDOW_SECONDS = 3600.0  # of what one call decodes
MAX_FRAMES = 1_000_000  # decoded in one call
SEEK_SECONDS = 30.0  # before this, decoding up to the window is quicker than seeking to it


@dataclass(frozen=True)
class Recording:
    """What was decoded of one file's window.

    ``waveform`` is float32 [samples], mono, within [-1, 1], and starts with the window; ``None``
    where there is no sound. ``shown`` are frames as FFmpeg gives them, one of which may stand
    several times; ``frame_seconds`` is float64 [frames]: when each is first shown, relative to the
    window's start. The notes say what was mended.
    """

    path: str
    waveform: np.ndarray | None
    shown: list[Any]
    frame_seconds: np.ndarray
    seconds: float
    start_seconds: float
    sound_notes: tuple[str, ...] = ()
    picture_notes: tuple[str, ...] = ()
    sound_rate_hz: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """All that was mended."""
        return self.sound_notes + self.picture_notes

    @cached_property
    def frames(self) -> list[np.ndarray]:
        """Pictures as uint8 RGB [height, width, 3], upright; one array may stand several times."""
        arrays = [picture for _, picture in self.pictures()]
        return [arrays[i] for i in np.cumsum(self._is_new()) - 1]

    def pictures(self) -> Iterator[tuple[float, np.ndarray]]:
        """Give each picture once, with its seconds; they are converted one by one.

        Raises:
            UserError: a frame is damaged or too large.
        """
        convert = converter(self.path)
        for index in np.flatnonzero(self._is_new()):
            with blamed(self.path):
                picture = convert(self.shown[index])
            yield float(self.frame_seconds[index]), picture

    def _is_new(self) -> list[bool]:
        return [i == 0 or f is not self.shown[i - 1] for i, f in enumerate(self.shown)]


def decode(
    path: str,
    *,
    sample_rate_hz: int | None,
    clip_seconds: float | None,
    frame_count: int = 0,
    frame_rate_hz: float = 0.0,
    start_seconds: float = 0.0,
    end_seconds: float | None = None,
    want_audio: bool = True,
    want_video: bool = True,
    sparse: bool = False,
) -> Recording:
    """Decode the middle ``clip_seconds`` of [start_seconds, end_seconds] (``None``: all of it).

    ``frame_count`` pictures are the nearest to start + (i + 0.5) * window / frame_count by their
    own times, so that the frame rate does not matter; ``frame_rate_hz``, where given, makes the
    count so many a second. Times count from the file's first stream; a file lasts as long as the
    longer of its sound and its picture, whichever of them is wanted.
    ``sparse`` takes about half the time for films with far more frames than pictures: it leaves
    out those that no other frame refers to, so a picture may be up to two frames off.

    ``sample_rate_hz`` ``None`` leaves the sound at the rate it has.

    Raises:
        UserError: the file is missing, empty, damaged, cut short, not media, beyond the bounds
            here and in container.py, holds NaN, or ends before ``start_seconds``.
    """
    av.logging.set_level(None)  # FFmpeg's own lines would stand between ours on stderr
    with blamed(path), opened(path) as container:
        source = source_of(path, container)
        window = _window(source, clip_seconds, start_seconds, end_seconds)
        seconds = window[1] - window[0]
        sound = Sound(path, window, sample_rate_hz) if want_audio and source.audio else None
        count = frame_count if want_video and source.video else 0
        if want_video and source.video and frame_rate_hz:
            count = max(1, min(int(seconds * frame_rate_hz), most_pictures(source)))
        pictures = Pictures(source, window, count, sparse) if count else None
        lost = _read(source, window, sound, pictures)
        shown, times = pictures.finish() if pictures else ([], np.zeros(0))
        heard, seen = _note_of(lost, source.audio), _note_of(lost, source.video)
        waveform = sound.finish(source, heard) if sound else None
    rate_hz = sound.rate_hz if sound else 0
    notes = tuple(heard), tuple(seen)
    return Recording(path, waveform, shown, times, seconds, window[0], *notes, rate_hz)


@contextmanager
def blamed(path: str) -> Iterator[None]:
    """Turn what PyAV raises on a damaged file into a line that names it."""
    try:
        yield
    except FOREIGN_ERRORS as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(
            f"{path}: cannot be read as sound or film ({' '.join(str(reason).split())}): it is "
            "damaged, cut short or no media file; fetch it again or leave it out"
        ) from error


def _note_of(lost: dict[int, float], stream: Any) -> list[str]:
    """Say how much of a stream was left out."""
    seconds = lost.get(stream.index, 0.0) if stream is not None else 0.0
    return [f"{seconds:.2f} s of damaged {stream.type} left out"] if seconds else []


def _window(
    source: Source, clip_seconds: float | None, start: float, end: float | None
) -> tuple[float, float]:
    last = source.seconds if end is None else min(end, source.seconds)
    if not 0 <= start < last:
        raise UserError(
            f"{source.path}: nothing lies between {start:g} s and {last:g} s: the file lasts "
            f"{source.seconds:.3f} s; correct the clip's start and end"
        )
    if clip_seconds is not None and last - start > clip_seconds > 0:
        start += (last - start - clip_seconds) / 2
        last = start + clip_seconds
    if last - start > MAX_WINDOW_SECONDS:
        raise UserError(
            f"{source.path}: {last - start:.0f} s are too long for one clip (up to "
            f"{MAX_WINDOW_SECONDS:.0f} s); set the clip's seconds, or its start and end"
        )
    return start, last


def _read(
    source: Source,
    window: tuple[float, float],
    sound: Sound | None,
    pictures: Pictures | None,
) -> dict[int, float]:
    """Feed both takers until they have enough. Returns the seconds lost, by stream index."""
    takers: dict[int, Sound | Pictures] = {}
    if sound is not None:
        takers[source.audio.index] = sound
    if pictures is not None:
        takers[source.video.index] = pictures
    if window[0] > SEEK_SECONDS and source.container.format.name not in UNTIMED_FORMATS:
        # Coarse containers may land late: a second ahead costs little.
        source.container.seek(int((window[0] - 1 + source.origin_seconds) * av.time_base))
    progress = Progress()
    for index, frame in frames_of(source, takers, progress):
        if takers[index].take(frame, seconds_of(source, frame)):
            del takers[index]
    for index in takers:  # the file ended before these had all
        _check_reached(source, window, index, progress)
    return progress.lost


@dataclass
class Progress:
    """Seconds read and lost so far, by stream index."""

    ends: dict[int, float] = field(default_factory=dict)
    lost: dict[int, float] = field(default_factory=dict)


def frames_of(
    source: Source, takers: Mapping[int, Any], progress: Progress, most: int = MAX_FRAMES
) -> Iterator[tuple[int, Any]]:
    """Decode the streams that still have a taker; damaged packets are counted, not fatal.

    Raises:
        UserError: the file holds more than ``most`` frames.
    """
    packets = source.container.demux(*source.streams)
    count = 0
    while takers:
        try:
            packet = next(packets, None)
        except FOREIGN_ERRORS:
            packet = None  # a damaged container ends here; _check_reached judges what is missing
        if packet is None:
            return
        index = packet.stream.index
        try:
            frames = packet.decode() if index in takers else []
        except FOREIGN_ERRORS:
            progress.lost[index] = progress.lost.get(index, 0.0) + packet_seconds(packet)
            continue
        if packet.size:
            end = packet_end(packet) - source.origin_seconds
            progress.ends[index] = max(end, progress.ends.get(index, 0.0))
        for frame in frames:
            count += 1
            if count > most:
                raise UserError(f"{source.path}: holds too many frames; set start and end")
            if index in takers:
                yield index, frame


def seconds_of(source: Source, frame: Any) -> float:
    """When a frame is shown or heard, from the file's start."""
    if frame.time is not None:
        return float(frame.time) - source.origin_seconds
    if frame.dts is None:
        raise ValueError("frames without times")
    return float(frame.dts * frame.time_base) - source.origin_seconds


def _check_reached(
    source: Source, window: tuple[float, float], index: int, progress: Progress
) -> None:
    if index in source.ends:
        promised, read = source.ends[index], progress.ends.get(index, 0.0)
    else:  # only the container says how long: whichever stream is longest has to fill it
        promised, read = source.seconds, max(progress.ends.values(), default=0.0)
    promised = min(promised, window[1])
    missing = max(0.0, promised - max(read, window[0])) + progress.lost.get(index, 0.0)
    check_missing(source.path, missing, promised - window[0])

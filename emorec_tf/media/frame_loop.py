"""The decoding loop: one pass over an open file fills one window of time, or many that overlap."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import av

from emorec_tf.errors import UserError
from emorec_tf.media import memory, tile_grids
from emorec_tf.media.container import FOREIGN_ERRORS, Source
from emorec_tf.media.durations import UNTIMED_FORMATS, packet_end, packet_seconds
from emorec_tf.media.samplers import AudioSampler, FrameSampler
from emorec_tf.media.tile_grids import Grid

MAX_FRAMES = 1_000_000  # decoded in one call
SEEK_SECONDS = 30.0  # before this, decoding up to the window is quicker than seeking to it

Window: TypeAlias = tuple[float, float]  # start and end, seconds
Samplers: TypeAlias = dict[int, AudioSampler | FrameSampler]  # by stream index


@dataclass
class Progress:
    """Seconds read and lost so far, by stream index.

    ``due`` is when the next frame of each stream comes if it carries no time.
    """

    ends: dict[int, float] = field(default_factory=dict)
    lost: dict[int, float] = field(default_factory=dict)
    due: dict[int, float] = field(default_factory=dict)

    def pass_by(self, packet: Any, origin_seconds: float) -> None:
        """Note that a packet has been read."""
        if packet.size:
            index = packet.stream.index
            before = self.ends.get(index, 0.0)
            end = packet_end(packet, before + origin_seconds) - origin_seconds
            self.ends[index] = max(end, before)

    @property
    def reached(self) -> float:
        """Seconds up to which any stream was read."""
        return max(self.ends.values(), default=0.0)


@dataclass
class Filling:
    """A window on its way: its samplers, and the streams of which it still lacks frames.

    ``reached`` is set where the file ended before the window was full: how far it goes.
    """

    window: Window
    samplers: Samplers
    waiting: set[int] = field(init=False)
    reached: float | None = None

    def __post_init__(self) -> None:
        """Nothing has come yet."""
        self.waiting = set(self.samplers)

    def take(self, index: int, frame: Any, seconds: float) -> None:
        """Pass a frame on."""
        if index in self.waiting and self.samplers[index].take(frame, seconds):
            self.waiting.discard(index)


def fill(
    source: Source,
    windows: Sequence[Window],
    samplers_of: Callable[[Window], Samplers],
    progress: Progress,
    *,
    patience_seconds: float = math.inf,
    most_frames: int = MAX_FRAMES,
) -> Iterator[Filling]:
    """Feed every frame to the windows that it may belong to; give each window when it is full.

    Those that the file's end leaves unfilled come last.

    Args:
        source: an open file.
        windows: at least one, by their starts.
        samplers_of: makes what collects a window's frames.
        progress: is kept up to date.
        patience_seconds: audio and video of one moment lie no farther apart in the file.
        most_frames: bound on the frames that are decoded.

    Raises:
        UserError: the file holds too many frames.
    """
    coming = deque(windows)
    filling = deque([Filling(windows[0], samplers_of(coming.popleft()))])
    wanted = set(filling[0].samplers)
    _seek(source, windows[0][0])
    shown: tuple[int, Any, float] | None = None  # may be the frame nearest to a window's first time
    for index, frame, seconds in frames_of(source, wanted, progress, most_frames):
        is_audio = source.audio is not None and index == source.audio.index
        end = seconds + (frame.samples / frame.sample_rate if is_audio else 0.0)
        while coming and coming[0][0] <= end:
            filling.append(_begin(coming.popleft(), samplers_of, shown))
        if not is_audio:
            shown = (index, frame, seconds)
        for one in filling:
            one.take(index, frame, seconds)
        memory.check_held(source.name, held_bytes(filling))
        while filling and _is_full(filling[0], seconds - patience_seconds):
            yield filling.popleft()
        if not coming:  # a stream that no window waits for need not be decoded any more
            wanted &= {stream for one in filling for stream in one.waiting}
    filling.extend(_begin(window, samplers_of, shown) for window in coming)
    for one in filling:
        one.reached = progress.reached
        yield one


def held_bytes(filling: Collection[Filling]) -> int:
    """Memory of what windows keep; a frame that several keep counts once."""
    samplers = [sampler for one in filling for sampler in one.samplers.values()]
    audio = sum(one.held_bytes for one in samplers if isinstance(one, AudioSampler))
    videos = [one for one in samplers if isinstance(one, FrameSampler)]
    most = audio + sum(len(one.nearest) * one.largest_bytes for one in videos)
    if most <= memory.MAX_HELD_BYTES:  # as nearly always: no need to distinguish them
        return most
    frames = {id(frame): frame for one in videos for _, frame in one.nearest if frame is not None}
    return audio + sum(memory.bytes_of(frame) for frame in frames.values())


def _seek(source: Source, seconds: float) -> None:
    """Go to a time, where the file can and it pays."""
    container = source.container
    has_times = container.format.name not in UNTIMED_FORMATS and container.start_time is not None
    if seconds > SEEK_SECONDS and has_times:
        # Coarse containers may land late: a second ahead costs little.
        container.seek(int((seconds - 1 + source.origin_seconds) * av.time_base))


def _begin(
    window: Window,
    samplers_of: Callable[[Window], Samplers],
    shown: tuple[int, Any, float] | None,
) -> Filling:
    """Start a window with the frame that is on screen when it starts."""
    filling = Filling(window, samplers_of(window))
    if shown is not None:
        filling.take(*shown)
    return filling


def _is_full(filling: Filling, seconds: float) -> bool:
    """Say whether a window lacks nothing, or ended before ``seconds``."""
    return not filling.waiting or seconds > filling.window[1]


def frames_of(
    source: Source, wanted: Collection[int], progress: Progress, most: int = MAX_FRAMES
) -> Iterator[tuple[int, Any, float]]:
    """Decode streams as long as any is ``wanted``; damaged packets are counted, not fatal.

    Returns:
        The stream's index, the frame, and when it is shown or played, from the file's start.

    Raises:
        UserError: the file holds more than ``most`` frames.
    """
    if source.grid is not None:
        yield _whole_image(source, source.grid, progress)
        return
    packets = source.container.demux(*source.streams)
    count = 0
    while wanted:
        source.check()
        try:
            packet = next(packets, None)
        except FOREIGN_ERRORS:
            packet = None  # a damaged container ends here; the caller judges what is missing
        if packet is None:
            return
        index = packet.stream.index
        try:
            frames = packet.decode() if index in wanted else []
        except FOREIGN_ERRORS:
            progress.lost[index] = progress.lost.get(index, 0.0) + packet_seconds(packet)
            continue
        progress.pass_by(packet, source.origin_seconds)
        for frame in frames:
            count += 1
            if count > most:
                raise UserError(f"{source.name}: holds too many frames; set start and end")
            seconds = seconds_of(source, frame, progress.due.get(index, 0.0))
            progress.due[index] = seconds + frame_seconds(frame, packet)
            if index in wanted:
                _check_size(source, frame)
                yield index, frame, seconds


def _whole_image(source: Source, grid: Grid, progress: Progress) -> tuple[int, Any, float]:
    """Put the tiles of an image together: its only frame."""
    frame = tile_grids.put_together(source.container, grid, source.check)
    progress.ends[source.video.index] = source.seconds
    return source.video.index, frame, 0.0


def _check_size(source: Source, frame: Any) -> None:
    """Refuse a frame that takes more memory than the header claimed and the bound allows."""
    if isinstance(frame, av.VideoFrame) and source.grid is None:
        context = source.video.codec_context
        memory.check_frame(source.name, context, frame.format, frame.width, frame.height)


def seconds_of(source: Source, frame: Any, due: float = 0.0) -> float:
    """When a frame is shown or played, from the file's start: when it is ``due`` without a time."""
    if frame.time is not None:
        return float(frame.time) - source.origin_seconds
    if frame.dts is None:
        return due
    return float(frame.dts * frame.time_base) - source.origin_seconds


def frame_seconds(frame: Any, packet: Any) -> float:
    """How long a frame is shown or played; by its packet where it does not say."""
    if isinstance(frame, av.AudioFrame):
        return float(frame.samples / frame.sample_rate)
    if frame.duration and frame.time_base:
        return float(frame.duration * frame.time_base)
    return packet_seconds(packet)

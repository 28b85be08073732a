"""A film of any length becomes windows: in one pass forward, and with no more kept than they need.

Every window is filled by the same takers as a clip, so it is what ``media.decode`` makes of that
part of the file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np

from emorec_tf.errors import UserError
from emorec_tf.media import decode
from emorec_tf.media.container import MISSING_SECONDS, MISSING_SHARE, Source, opened, source_of
from emorec_tf.media.decode import Progress, Recording
from emorec_tf.media.samplers import Pictures, Sound

BEHIND_SECONDS = 10.0  # sound and pictures of one moment lie no farther apart in a file
STALE_SECONDS = 2.0  # a picture is not shown longer than that
LEAST_SHARE = 0.5  # of a window, where the film breaks off within it
BROKEN_SECONDS = 1.0  # less that is missing of a film is not worth a word
FRAMES_AT_MOST = 50_000_000  # of 24 hours, at any rate


class CutShort(UserError):  # noqa: N818 - what there is has been given
    """A film holds less than it promises; the windows before have been given."""


@dataclass
class Filling:
    """A window on its way: its takers by stream, and those that still wait for frames."""

    window: tuple[float, float]
    takers: dict[int, Any]
    waiting: set[int] = field(default_factory=set)

    def take(self, index: int, frame: Any, seconds: float) -> None:
        """Pass a frame on."""
        if index in self.waiting and self.takers[index].take(frame, seconds):
            self.waiting.discard(index)


def length_of(path: str) -> float:
    """How long a file lasts in seconds, by its header where that says so.

    Raises:
        UserError: it cannot be read.
    """
    av.logging.set_level(None)
    with decode.blamed(path), opened(path) as container:
        return source_of(path, container).seconds


def windows(
    path: str, cuts: Sequence[tuple[float, float]], picture_rate_hz: float
) -> Iterator[Recording]:
    """Decode the windows [start, end) in seconds, which start one after the other.

    Args:
        path: file to decode.
        cuts: where the windows are.
        picture_rate_hz: pictures a second at most; 0: none.

    Raises:
        UserError: the file cannot be read.
        CutShort: after the last window: some of what was promised is missing.
    """
    av.logging.set_level(None)  # FFmpeg's own lines would stand between ours on stderr
    with decode.blamed(path), opened(path) as container:
        source = source_of(path, container)
        yield from filled(source, cuts, picture_rate_hz)


def filled(
    source: Source, cuts: Sequence[tuple[float, float]], picture_rate_hz: float
) -> Iterator[Recording]:
    """Feed every frame to the windows it may belong to; give each window when it is full."""
    wanted = [s for s in source.streams if s is source.audio or picture_rate_hz]
    progress, shown = Progress(), None  # the last picture may be the nearest of a window to come
    coming, open_now = deque(cuts), deque[Filling]()
    frames = decode.frames_of(source, {s.index: s for s in wanted}, progress, FRAMES_AT_MOST)
    for index, frame in frames:
        seconds = decode.seconds_of(source, frame)
        is_sound = source.audio is not None and index == source.audio.index
        end = seconds + (frame.samples / frame.sample_rate if is_sound else 0.0)
        while coming and coming[0][0] <= end:
            open_now.append(begun(source, coming.popleft(), picture_rate_hz, shown))
        if not is_sound:
            shown = (index, frame, seconds)
        for filling in open_now:
            filling.take(index, frame, seconds)
        while open_now and is_full(open_now[0], seconds):
            yield recording(source, open_now.popleft())
        if not coming and not open_now:
            return
    reached = max(progress.ends.values(), default=0.0)
    open_now.extend(begun(source, window, picture_rate_hz, shown) for window in coming)
    while open_now and breaks_off(open_now[0], reached) <= 1 - LEAST_SHARE:
        yield recording(source, open_now.popleft(), reached)
    check_whole(source, wanted, progress)


def begun(
    source: Source, window: tuple[float, float], picture_rate_hz: float, shown: Any
) -> Filling:
    """Open a window; it is shown the picture before it."""
    takers: dict[int, Any] = {}
    if source.audio is not None:
        takers[source.audio.index] = Sound(source.path, window, None)
    if source.video is not None and picture_rate_hz:
        # The small share keeps windows of one length to one number of pictures.
        count = max(1, int((window[1] - window[0]) * picture_rate_hz + 1e-6))
        takers[source.video.index] = Pictures(source, window, count, sparse=True)
    filling = Filling(window, takers, set(takers))
    if shown is not None:
        filling.take(*shown)
    return filling


def is_full(filling: Filling, seconds: float) -> bool:
    """Say whether a window lacks nothing, or nothing more can come."""
    return not filling.waiting or seconds > filling.window[1] + BEHIND_SECONDS


def breaks_off(filling: Filling, reached: float) -> float:
    """Share of a window that lies beyond the last that was read."""
    start, end = filling.window
    return (end - max(start, reached)) / (end - start) if reached < end else 0.0


def recording(source: Source, filling: Filling, reached: float | None = None) -> Recording:
    """Finish a window; where the film has ``reached`` clearly less, it ends there."""
    start, end = filling.window
    if reached is not None and end - reached > max(MISSING_SECONDS, MISSING_SHARE * (end - start)):
        end = reached
    heard: list[str] = []
    waveform, rate_hz = None, 0
    shown: list[Any] = []
    times = np.zeros(0)
    for taker in filling.takers.values():
        if isinstance(taker, Sound):
            taker.window = (start, end)
            waveform, rate_hz = taker.finish(source, heard), taker.rate_hz
        elif taker.nearest[0][1] is not None:
            frames, seconds = taker.finish()
            near = (taker.gaps <= STALE_SECONDS) & (taker.targets <= end)
            shown, times = [f for f, is_near in zip(frames, near, strict=True) if is_near], seconds
            times = times[near]
    return Recording(
        source.path, waveform, shown, times, end - start, start, tuple(heard), (), rate_hz
    )


def check_whole(source: Source, wanted: Sequence[Any], progress: Progress) -> None:
    """Say what is missing of a film that has been read to its end.

    Raises:
        CutShort: more is missing than encoders leave out.
    """
    longest = max(progress.ends.values(), default=0.0)
    for stream in wanted:
        # Where only the container says how long, whichever stream is longest has to fill it.
        known = stream.index in source.ends
        promised = source.ends[stream.index] if known else source.seconds
        read = progress.ends.get(stream.index, 0.0) if known else longest
        lost = progress.lost.get(stream.index, 0.0)
        missing = max(0.0, promised - read) + lost
        if missing > max(MISSING_SECONDS, min(BROKEN_SECONDS, MISSING_SHARE * promised)):
            raise CutShort(
                f"{source.path}: is cut short or damaged: {missing:.2f} s of {promised:.2f} s of "
                f"its {stream.type} cannot be read; the answer is of the rest"
            )

"""Which audio track of a file is used: the default one, unless it is silent and another is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import av
import numpy as np

SILENCE_PEAK = 1e-3  # what stays below is silence: -60 dB
PROBE_SECONDS = 600.0  # of a file, before it is taken for silent


def choose(
    tracks: Sequence[Any],
    reopen: Callable[[], AbstractContextManager[Any]],
    check: Callable[[], None],
    errors: tuple[type[Exception], ...],
) -> tuple[Any, tuple[str, ...]]:
    """Choose one of a file's audio tracks.

    Args:
        tracks: the streams that can be read, at least one.
        reopen: opens the file once more, where more than one track must be listened to.
        check: called for each packet; what it raises stops the work.
        errors: raised by damaged packets, which are left out.

    Returns:
        The track, and a note that says which one it is where there are several.
    """
    default = next((track for track in tracks if _is_default(track)), tracks[0])
    if len(tracks) == 1:
        return default, ()
    ordered = [default, *(track for track in tracks if track is not default)]
    with reopen() as container:
        heard = _audible([track.index for track in ordered], container, check, errors)
    used = next((track for track in ordered if track.index in heard), default)
    reason = "the default one" if _is_default(used) and used is default else "the first"
    if used is not default:
        reason = "the first that is not silent"
    number = 1 + sum(track.index < used.index for track in tracks)
    return used, (f"{len(tracks)} audio tracks: number {number} is used, {reason}",)


def _is_default(track: Any) -> bool:
    return bool(track.disposition & av.stream.Disposition.default)


def _audible(
    ordered: Sequence[int],
    container: Any,
    check: Callable[[], None],
    errors: tuple[type[Exception], ...],
) -> set[int]:
    """Indices of tracks that are not silent; it stops once the first of ``ordered`` is heard."""
    mixers = {index: av.AudioResampler("flt") for index in ordered}
    heard: set[int] = set()
    packets = container.demux(*[container.streams[index] for index in ordered])
    while True:
        check()
        try:
            packet = next(packets, None)
        except errors:
            return heard  # a damaged container ends here
        if packet is None or _seconds(packet, container) > PROBE_SECONDS:
            return heard
        index = packet.stream.index
        try:
            if index not in heard and _is_loud(packet.decode(), mixers[index]):
                heard.add(index)
        except errors:
            continue
        if ordered[0] in heard:
            return heard


def _seconds(packet: Any, container: Any) -> float:
    """When a packet comes, from the file's start."""
    start = (container.start_time or 0) / av.time_base
    return 0.0 if packet.pts is None else float(packet.pts * packet.time_base) - start


def _is_loud(frames: Iterable[Any], mixer: Any) -> bool:
    parts = (part for frame in frames for part in mixer.resample(frame))
    return any(float(np.abs(part.to_ndarray()).max(initial=0.0)) >= SILENCE_PEAK for part in parts)

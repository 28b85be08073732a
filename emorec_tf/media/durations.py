"""How long a media file lasts, by its header or by its packets, and whether it holds as much."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import av

from emorec_tf.errors import UserError

MISSING_SHARE, MISSING_SECONDS = 0.1, 0.25  # less than promised by more than both: cut short

# These headers carry no duration, FFmpeg guesses one from the bit rate: count the packets instead.
UNTIMED_FORMATS = frozenset(("mp3", "aac", "ac3", "flv", "mpeg", "mpegts"))
# Some writers of these give as duration how long the file lasts, others when it ends. That differs
# for a piece whose time does not start at 0; a codec's delay is no such start.
ENDED_FORMATS = frozenset(("matroska,webm", "ogg", "asf"))
DELAY_SECONDS = 0.1


def promised(
    container: Any, streams: Sequence[Any], origin_seconds: float, measure: Callable[[], float]
) -> tuple[float, dict[int, float]]:
    """Read from an open file's header how long it lasts.

    Args:
        container: the open file.
        streams: those that are read of it.
        origin_seconds: when its first stream starts, in the container's own time.
        measure: gives the length by the file's packets, which takes a pass over it.

    Returns:
        Seconds of the file, and when each stream ends by its index, where the header says so.
    """
    form, known = container.format.name, (container.duration or 0) / av.time_base
    if form in UNTIMED_FORMATS:
        return measure(), {}
    if form in ENDED_FORMATS and origin_seconds > DELAY_SECONDS:
        # A file that ends before either reading of its header is cut short.
        read = max(measure(), known - origin_seconds)
        return min(read, known or read), {}
    ends = {s.index: _end(s) - origin_seconds for s in streams if s.duration}
    if len(ends) < len(streams) and known:
        return max([known, *ends.values()]), ends
    return max(ends.values()) if ends else measure(), ends


def _end(stream: Any) -> float:
    return float(((stream.start_time or 0) + stream.duration) * stream.time_base)


def last_end(packets: Iterable[Any]) -> float:
    """When the last of a file's packets ends, seconds in the container's own time."""
    ends: dict[int, float] = {}
    for packet in packets:
        if packet.size:
            index = packet.stream.index
            before = ends.get(index, 0.0)
            ends[index] = max(before, packet_end(packet, before))
    return max(ends.values(), default=0.0)


def packet_end(packet: Any, before: float = 0.0) -> float:
    """When a packet's content ends, seconds in the container's own time.

    A packet without a time follows the one ``before`` it, given by its end.
    """
    times = [time for time in (packet.pts, packet.dts) if time is not None]
    start = float(max(times) * packet.time_base) if times else before
    return start + packet_seconds(packet)


def packet_seconds(packet: Any) -> float:
    """How long a packet's content lasts, from the frame rate where it does not say."""
    if packet.duration:
        return float(packet.duration * packet.time_base)
    rate = getattr(packet.stream, "average_rate", None)
    return float(1 / rate) if rate else 0.0


def check_wav(name: str, path: str) -> None:
    """Compare a wav's data chunk with the file's length: FFmpeg shortens it silently."""
    length = Path(path).stat().st_size
    bytes_per_second = 0
    with Path(path).open("rb") as file:
        position = 12
        while position + 8 <= length:
            file.seek(position)
            chunk, size = struct.unpack("<4sI", file.read(8))
            if chunk == b"fmt ":
                bytes_per_second = struct.unpack("<8xI", file.read(12).ljust(12, b"\0"))[0]
            if chunk == b"data":
                missing = position + 8 + size - length
                # Writers to a pipe leave a place holder of about 2 or 4 GiB here.
                if size < 0x7FFF0000 and bytes_per_second:
                    check_missing(name, missing / bytes_per_second, size / bytes_per_second)
                return
            position += 8 + size + size % 2


def check_missing(name: str, missing_seconds: float, promised_seconds: float) -> None:
    """Refuse a file that holds clearly less than its header promises."""
    if missing_seconds > max(MISSING_SECONDS, MISSING_SHARE * promised_seconds):
        missing = min(missing_seconds, promised_seconds)
        raise UserError(
            f"{name}: is cut short or damaged: {missing:.2f} s of {promised_seconds:.2f} s "
            "cannot be read; fetch it again or leave it out"
        )

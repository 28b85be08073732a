"""What decoding may hold in memory: frames as FFmpeg gives them, and audio as floats.

A small file can claim frames that take gigabytes: 10 bits a channel are kept as 16, and a decoder
keeps frames that later ones refer to.
"""

from __future__ import annotations

from typing import Any

from emorec_tf.errors import UserError

MAX_HELD_BYTES = 1_400_000_000  # of frames and audio, by one call
# Frames that a decoder may keep by itself; those of other codecs keep at most three.
REFERENCES = {"h264": 16, "hevc": 16, "vp9": 8, "av1": 8, "libdav1d": 8}
OTHER_REFERENCES = 3
SAMPLE_BYTES = 4
COPIES = 2  # of audio while its pieces are joined


def frame_bytes(form: Any, width: int, height: int) -> int:
    """Memory of one frame as FFmpeg gives it; ``form`` is PyAV's format, or none if unknown."""
    bits = form.padded_bits_per_pixel if form is not None else 24
    return width * height * bits // 8


def bytes_of(frame: Any) -> int:
    """Memory of a video frame."""
    return sum(int(plane.buffer_size) for plane in frame.planes)


def check_frame(name: str, context: Any, form: Any, width: int, height: int) -> None:
    """Refuse frames of which a decoder cannot keep what it needs."""
    if _left(context, frame_bytes(form, width, height)) <= 0:
        described = f"{width}x{height}, {form.name if form is not None else 'unknown format'}"
        raise UserError(
            f"{name}: its frames ({described}) take too much memory; scale the video down or "
            "convert it to 8-bit H.264 (yuv420p)"
        )


def most_frames(context: Any) -> int:
    """How many frames of a video may be kept, by the size that its header claims."""
    size = frame_bytes(context.format, context.width, context.height)
    return max(1, _left(context, size) // max(size, 1))


def _left(context: Any, size: int) -> int:
    """Bytes left for kept frames, beside one that is decoded and those it refers to."""
    references = 0 if context.codec.intra_only else OTHER_REFERENCES
    return MAX_HELD_BYTES - (1 + REFERENCES.get(context.name, references)) * size


def check_audio(name: str, channels: int, rate_hz: int, seconds: float) -> None:
    """Refuse audio that takes too much memory; ``seconds`` are those that are kept."""
    if channels * rate_hz * seconds * SAMPLE_BYTES * COPIES > MAX_HELD_BYTES:
        raise UserError(
            f"{name}: {channels} channels at {rate_hz} Hz over {seconds:.1f} s take too much "
            "memory; convert the audio to mono, or set the clip's start and end"
        )


def check_held(name: str, held_bytes: int) -> None:
    """Refuse to go on when what is kept of all windows has grown beyond the bound."""
    if held_bytes > MAX_HELD_BYTES:
        raise UserError(
            f"{name}: its frames and audio take more than {MAX_HELD_BYTES / 1e9:g} GB at once; "
            "scale the video down, convert the audio to mono, or ask for fewer windows at a time"
        )

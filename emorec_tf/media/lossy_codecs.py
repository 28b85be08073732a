"""Audio through a lossy codec and back, in memory."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Codec:
    """An encoder of FFmpeg, the container it is written to, and the rates it takes."""

    encoder: str
    container: str
    rate_hz: int | None = None  # None: that of the audio


MP3 = Codec("libmp3lame", "mp3")
OPUS = Codec("libopus", "ogg", 48000)


def coded(waveform: np.ndarray, rate_hz: int, codec: Codec, bits_a_second: int) -> np.ndarray:
    """Encode and decode a waveform; it keeps its length, and the decoder's delay is removed.

    Shapes:
        float32 [samples], mono, -1 to 1 -> the same
    """
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=codec.container) as container:
        stream: Any = container.add_stream(codec.encoder, rate=codec.rate_hz or rate_hz)
        stream.bit_rate, stream.layout = bits_a_second, "mono"
        frame = av.AudioFrame.from_ndarray(waveform[None], format="flt", layout="mono")
        frame.sample_rate = rate_hz
        resampler = av.AudioResampler(
            stream.format.name, "mono", codec.rate_hz or rate_hz, stream.frame_size or None
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    buffer.seek(0)
    return _decoded(buffer, rate_hz, len(waveform))


def _decoded(buffer: io.BytesIO, rate_hz: int, samples: int) -> np.ndarray:
    """Decode all of a file to mono float32 at this rate, cut or padded to so many samples."""
    import av

    found = np.zeros(samples, np.float32)
    with av.open(buffer, "r") as container:
        resampler = av.AudioResampler("flt", "mono", rate_hz)
        frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
        frames += resampler.resample(None)
        parts = [frame.to_ndarray()[0] for frame in frames]
    joined = np.concatenate(parts)[:samples]
    found[: len(joined)] = joined
    return found

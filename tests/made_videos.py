"""Videos put together from frames and audio, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from emorec_tf.media import decode

AUDIO_HZ, FRAMES_HZ = 24000, 10


def taken_apart(path: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """Frames (10 a second) and mono audio (24 kHz) of a video of the demo corpus."""
    recording = decode.decode(
        str(path), sample_rate_hz=AUDIO_HZ, clip_seconds=None, frame_rate_hz=FRAMES_HZ
    )
    assert recording.waveform is not None
    frames = recording.frames
    wave = np.resize(recording.waveform, len(frames) * AUDIO_HZ // FRAMES_HZ)
    return frames, wave


def joined(paths: Sequence[Path]) -> tuple[list[np.ndarray], np.ndarray]:
    """Videos one after the other."""
    frames, waves = [], []
    for path in paths:
        part, wave = taken_apart(path)
        frames += part
        waves.append(wave)
    return frames, np.concatenate(waves)


def side_by_side(left: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [np.hstack(pair) for pair in zip(left, right, strict=False)]


def write(
    path: Path,
    frames: Sequence[np.ndarray] = (),
    wave: np.ndarray | None = None,
    frames_hz: int = FRAMES_HZ,
    lossless: bool = False,
) -> Path:
    """Write H.264 and PCM, of exactly these lengths; the suffix names the container.

    ``lossless``: the encoding leaves every pixel unchanged.
    """
    with av.open(str(path), "w") as container:
        video = audio = None
        if len(frames):
            codec, form, quality = ("libx264", "yuv420p", {"crf": "20"})
            if lossless:
                codec, form, quality = ("libx264rgb", "rgb24", {"qp": "0"})
            options = {**quality, "preset": "ultrafast"}
            video = container.add_stream(codec, frames_hz, options=options)
            video.height, video.width = frames[0].shape[:2]
            video.pix_fmt = form
            video.codec_context.thread_count = 1
        if wave is not None:
            audio = container.add_stream("pcm_s16le", rate=AUDIO_HZ, layout="mono")
        share = AUDIO_HZ // frames_hz
        for index in range(max(len(frames), -(-len(wave) // share) if audio else 0)):
            if video and index < len(frames):
                frame = av.VideoFrame.from_ndarray(frames[index], format="rgb24")
                container.mux(video.encode(frame))
            part = wave[index * share : (index + 1) * share] if audio else ()
            if audio and len(part):
                ints = (np.clip(part, -1, 1) * 32767).astype(np.int16)
                block = av.AudioFrame.from_ndarray(ints[None], "s16", "mono")
                block.sample_rate, block.pts = AUDIO_HZ, index * share
                container.mux(audio.encode(block))
        for stream in (video, audio):
            if stream:
                container.mux(stream.encode(None))
    return path

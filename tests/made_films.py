"""Films put together from pictures and sound, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from emorec_tf.media import decode

SOUND_HZ, PICTURES_HZ = 24000, 10


def taken_apart(path: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """Pictures (10 a second) and mono sound (24 kHz) of a film of the demo corpus."""
    recording = decode.decode(
        str(path), sample_rate_hz=SOUND_HZ, clip_seconds=None, frame_rate_hz=PICTURES_HZ
    )
    assert recording.waveform is not None
    pictures = recording.frames
    wave = np.resize(recording.waveform, len(pictures) * SOUND_HZ // PICTURES_HZ)
    return pictures, wave


def joined(paths: Sequence[Path]) -> tuple[list[np.ndarray], np.ndarray]:
    """Films one after the other."""
    pictures, waves = [], []
    for path in paths:
        shown, wave = taken_apart(path)
        pictures += shown
        waves.append(wave)
    return pictures, np.concatenate(waves)


def side_by_side(left: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [np.hstack(pair) for pair in zip(left, right, strict=False)]


def write(
    path: Path,
    pictures: Sequence[np.ndarray] = (),
    wave: np.ndarray | None = None,
    pictures_hz: int = PICTURES_HZ,
    lossless: bool = False,
) -> Path:
    """Write H.264 and PCM, of exactly these lengths; the suffix tells the container.

    ``lossless``: what one part of a picture shows does not change another part by the encoding.
    """
    with av.open(str(path), "w") as film:
        video = sound = None
        if len(pictures):
            codec, form, quality = ("libx264", "yuv420p", {"crf": "20"})
            if lossless:
                codec, form, quality = ("libx264rgb", "rgb24", {"qp": "0"})
            options = {**quality, "preset": "ultrafast"}
            video = film.add_stream(codec, pictures_hz, options=options)
            video.height, video.width = pictures[0].shape[:2]
            video.pix_fmt = form
            video.codec_context.thread_count = 1
        if wave is not None:
            sound = film.add_stream("pcm_s16le", rate=SOUND_HZ, layout="mono")
        share = SOUND_HZ // pictures_hz
        for index in range(max(len(pictures), -(-len(wave) // share) if sound else 0)):
            if video and index < len(pictures):
                frame = av.VideoFrame.from_ndarray(pictures[index], format="rgb24")
                film.mux(video.encode(frame))
            part = wave[index * share : (index + 1) * share] if sound else ()
            if sound and len(part):
                ints = (np.clip(part, -1, 1) * 32767).astype(np.int16)
                heard = av.AudioFrame.from_ndarray(ints[None], "s16", "mono")
                heard.sample_rate, heard.pts = SOUND_HZ, index * share
                film.mux(sound.encode(heard))
        for stream in (video, sound):
            if stream:
                film.mux(stream.encode(None))
    return path

"""One take: the properties of its tables, and the video file read independently."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from emorec_tf.config.clip import EMOTIONS
from emorec_tf.datasets.demo.takes import (
    EXPRESSIONS,
    FACE_GROUPS,
    PLAYED,
    PROSODIES,
    VOICE_GROUPS,
    face_of,
    make_clip,
    voice_of,
    write_video,
)


def test_only_face_and_voice_together_identify_every_emotion() -> None:
    assert set(PLAYED) == set(EMOTIONS) - {"boredom"}
    assert len({(FACE_GROUPS[e], VOICE_GROUPS[e]) for e in PLAYED}) == 8
    assert sorted(EXPRESSIONS) == sorted(set(FACE_GROUPS.values()))
    assert sorted(PROSODIES) == sorted(set(VOICE_GROUPS.values()))
    assert (len(EXPRESSIONS), len(PROSODIES)) == (5, 4)
    confused = [{FACE_GROUPS[a], VOICE_GROUPS[a]} & {FACE_GROUPS[b], VOICE_GROUPS[b]}
                for a, b in (("neutral", "calm"), ("angry", "disgust"), ("fearful", "surprised"),
                             ("happy", "surprised"), ("sad", "calm"), ("angry", "fearful"),
                             ("neutral", "disgust"))]  # fmt: skip
    assert all(len(shared) == 1 for shared in confused)


def test_a_ninth_actor_is_someone_else() -> None:
    faces = [face_of(actor, np.random.default_rng(0)) for actor in range(16)]
    voices = [voice_of(actor, np.random.default_rng(actor)) for actor in range(16)]
    assert len(set(faces)) == len(set(voices)) == 16


def test_strength_changes_the_labels(tmp_path: Path) -> None:
    felt = [make_clip(tmp_path / "take.mp4", 0, 0, "angry", take) for take in range(4)]
    activation, valence = zip(*felt, strict=True)
    assert len(set(activation)) == 4
    assert all(3.5 < a <= 5 for a in activation)
    assert all(1 <= v < 2.5 for v in valence)
    assert np.corrcoef(activation, valence)[0, 1] < -0.99  # both grow away from the middle


def test_video_file_holds_the_frames_and_the_audio(tmp_path: Path) -> None:
    shades = [np.full((240, 320, 3), level, np.uint8) for level in range(40, 240, 10)]
    seconds = np.arange(48_000) / 24_000
    tone = (0.5 * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32)
    write_video(tmp_path / "video.mp4", shades, tone)
    with av.open(str(tmp_path / "video.mp4")) as container:
        levels = [frame.to_ndarray(format="rgb24").mean() for frame in container.decode(video=0)]
    with av.open(str(tmp_path / "video.mp4")) as container:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    np.testing.assert_allclose(levels, np.arange(40, 240, 10), atol=3)
    spectrum = np.abs(np.fft.rfft(samples[:48_000]))
    assert np.argmax(spectrum) / 2 == 440.0  # bins of half a hertz

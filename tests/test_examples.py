"""examples: one film to arrays of the schema, whatever is missing in it."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from conftest import DETECTOR

from emorec_tf import examples
from emorec_tf.clip import Clip, UserError
from emorec_tf.config import FeaturesConfig
from emorec_tf.schema import schema


def clip_of(path: Path) -> Clip:
    return Clip("x", "s", "happy", video=str(path), audio=str(path))


def write_wav(path: Path, wave: np.ndarray, rate: int = 16000) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray((wave * 32767).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def test_film_fills_every_array(demo_clips: Path) -> None:
    features = FeaturesConfig(
        clip_seconds=1.5,
        face_frames=3,
        face_pixels=32,
        face_channels=3,
        face_detector=DETECTOR,  # type: ignore[arg-type]
    )
    film = sorted((demo_clips / "clips").glob("*.mp4"))[0]
    example, seen = examples.maker(features)(clip_of(film))
    for name, spec in schema(features).items():
        assert example[name].shape == spec.shape, name
        assert example[name].dtype == spec.dtype, name
    assert example["audio_mask"].all()
    assert example["face_mask"].all()
    assert seen.faces_found == 3
    assert example["faces"].std() > 5


def test_sound_alone_has_no_face(tmp_path: Path) -> None:
    features = FeaturesConfig(clip_seconds=2.0, face_detector=DETECTOR)  # type: ignore[arg-type]
    time = np.arange(16000) / 16000
    write_wav(tmp_path / "sine.wav", 0.5 * np.sin(2 * np.pi * 440 * time))
    example, seen = examples.maker(features)(clip_of(tmp_path / "sine.wav"))
    assert not example["face_mask"].any()
    assert seen.audio_present
    assert seen.seconds == pytest.approx(1.0, abs=0.01)
    # one second of sound in a clip of two: the other frames are masked and zero
    assert example["audio_mask"].sum() == 1 + (16000 - 400) // 160
    assert not example["audio"][example["audio_mask"] == 0].any()


def test_grey_is_the_weighted_sum() -> None:
    crop = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
    grey = examples.to_channels(crop, 1)[..., 0]
    assert grey.tolist() == [[76, 150], [29, 255]]
    assert examples.to_channels(crop, 3) is crop


def test_file_of_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.mp4").write_text("hello")
    with pytest.raises(UserError, match=r"note\.mp4"):
        examples.maker(FeaturesConfig(face_detector=DETECTOR))(  # type: ignore[arg-type]
            clip_of(tmp_path / "note.mp4")
        )

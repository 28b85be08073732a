"""One clip becomes arrays of the schema, with missing parts masked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from conftest import DETECTOR

from emorec_tf.config.clip import Clip
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.config.schema import schema
from emorec_tf.errors import UserError
from emorec_tf.features import examples, face_detection
from emorec_tf.features.decode_cache import Cache
from emorec_tf.features.mesh_points import LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS
from emorec_tf.media import decode

FEATURES = FeaturesConfig(
    clip_seconds=1.5,
    face_frames=3,
    face_pixels=32,
    face_detector=DETECTOR,  # type: ignore[arg-type]
)


def clip_of(path: Path) -> Clip:
    return Clip("x", "s", "happy", video=str(path), audio=str(path))


def write_wav(path: Path, wave: np.ndarray, rate: int = 16000) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray((wave * 32767).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def test_video_fills_every_array(demo_clips: Path) -> None:
    features = FeaturesConfig(
        clip_seconds=1.5,
        face_frames=3,
        face_pixels=32,
        face_channels=3,
        face_detector=DETECTOR,  # type: ignore[arg-type]
    )
    video = sorted((demo_clips / "clips").glob("*.mp4"))[0]
    example, found = examples.maker(features)(clip_of(video))
    for name, spec in schema(features).items():
        assert example[name].shape == spec.shape, name
        assert example[name].dtype == spec.dtype, name
    assert example["audio_mask"].all()
    assert example["face_mask"].all()
    assert found.faces_found == 3
    assert example["faces"].std() > 5


def test_audio_alone_has_no_face(tmp_path: Path) -> None:
    features = FeaturesConfig(clip_seconds=2.0, face_detector=DETECTOR)  # type: ignore[arg-type]
    time = np.arange(16000) / 16000
    write_wav(tmp_path / "sine.wav", 0.5 * np.sin(2 * np.pi * 440 * time))
    example, found = examples.maker(features)(clip_of(tmp_path / "sine.wav"))
    assert not example["face_mask"].any()
    assert found.audio_present
    assert found.seconds == pytest.approx(1.0, abs=0.01)
    # one second of audio in a clip of two: the other frames are masked and zero
    assert example["audio_mask"].sum() == 1 + (16000 - 400) // 160
    assert not example["audio"][example["audio_mask"] == 0].any()


@pytest.mark.parametrize("sampling", ["even", "rate", "adaptive"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_cache_changes_no_byte(
    demo_clips: Path, tmp_path: Path, sampling: Any, channels: Any
) -> None:
    video = min((demo_clips / "clips").glob("*.mp4"))
    features = replace(FEATURES, face_sampling=sampling, face_channels=channels, face_mesh=True)
    cache = Cache(tmp_path, 10**9)
    without, found = examples.maker(features)(clip_of(video))
    for _ in ("cold", "warm"):
        example, again = examples.maker(features, cache=cache)(clip_of(video))
        assert again == found
        for name, array in without.items():
            np.testing.assert_array_equal(example[name], array)
    assert without["face_mask"].sum() == 3
    points = without["mesh"][0]
    assert without["mesh_mask"].all()
    assert 0 < points[..., 0].min() < points[..., 0].max() < 320


@pytest.mark.parametrize("keep_mesh", [False, True])
def test_the_mesh_of_a_crop_has_its_eyes_in_their_places(keep_mesh: bool, demo_clips: Path) -> None:
    video = sorted((demo_clips / "clips").glob("*.mp4"))[0]
    features = replace(
        FEATURES, face_pixels=192, face_channels=3, face_align="mesh", face_mesh=keep_mesh
    )
    example, found = examples.maker(features)(clip_of(video))
    assert found.faces_found == 3
    assert ("mesh" in example) == keep_mesh
    mesh = face_detection.face_mesh()  # finds the face again, in the crop
    left, right = face_detection.eye_places(192, features.face_margin)
    for crop in example["faces"]:
        points = mesh(crop)[:, :2] - 0.5
        for place, corners in ((left, LEFT_EYE_CORNERS), (right, RIGHT_EYE_CORNERS)):
            away = np.hypot(*(points[list(corners)].mean(0) - place))
            assert away < 3, "of 192 pixels"


def test_rate_leaves_the_rest_masked_and_adaptive_refuses(demo_clips: Path) -> None:
    video = min((demo_clips / "clips").glob("*.mp4"))
    slow = replace(FEATURES, face_sampling="rate", face_rate_hz=1.5, clip_seconds=1.5)
    example, _ = examples.maker(slow)(clip_of(video))
    assert example["face_mask"].tolist() == [1, 1, 1]
    assert examples.maker(replace(slow, face_frames=8))(clip_of(video))[1].frames == 3
    many = replace(FEATURES, face_sampling="adaptive", face_frames=64)
    with pytest.raises(UserError, match=rf"{video.name}: shows a face in \d+ frames, .* needs 64"):
        examples.maker(many)(clip_of(video))


def test_a_margin_larger_than_the_kept_region_is_refused() -> None:
    with pytest.raises(UserError, match=r"face_margin is 0\.6; it must be 0 to 0\.5"):
        examples.maker(FeaturesConfig(face_margin=0.6))


@pytest.mark.parametrize(
    ("samples", "trim_db"), [(30_000, 20), (30_001, 60), (700, 30), (5_000, 1)]
)
def test_silence_is_trimmed_as_librosa_does(samples: int, trim_db: float) -> None:
    librosa = pytest.importorskip("librosa")
    random = np.random.default_rng(samples)
    loudness = np.exp(-0.5 * ((np.arange(samples) / samples - 0.4) / 0.12) ** 2) + 1e-3
    wave = (random.normal(size=samples) * loudness * 0.1).astype(np.float32)
    for waveform in (wave, np.zeros_like(wave), np.pad(wave, 4000)):
        wanted, _ = librosa.effects.trim(waveform, top_db=trim_db)
        np.testing.assert_array_equal(examples.trimmed(waveform, trim_db), wanted)


def test_the_middle_is_cut_as_decoding_it_alone_would(demo_clips: Path, tmp_path: Path) -> None:
    rate, wave = 16000, np.random.default_rng(0).normal(size=40_000) * 0.1
    write_wav(tmp_path / "a.wav", wave)
    clip = replace(clip_of(tmp_path / "a.wav"), start_seconds=0.25, end_seconds=2.25)
    found = examples.waveform_of(clip, FeaturesConfig(clip_seconds=1.0))
    alone = decode.decode(
        str(tmp_path / "a.wav"),
        sample_rate_hz=rate,
        clip_seconds=1.0,
        start_seconds=0.25,
        end_seconds=2.25,
    )
    np.testing.assert_array_equal(found, alone.waveform)
    assert len(examples.waveform_of(clip, FeaturesConfig(clip_seconds=30.0))) == 32_000
    loud = wave.copy()
    loud[:16_000] = 0
    write_wav(tmp_path / "b.wav", loud)
    found = examples.waveform_of(
        clip_of(tmp_path / "b.wav"), FeaturesConfig(clip_seconds=1.0, trim_db=40)
    )
    assert found.std() == pytest.approx(0.1, rel=0.05)  # the middle of what was left
    assert len(found) == 16_000


def test_a_file_without_audio_or_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.mp4").write_text("hello")
    with pytest.raises(UserError, match=r"note\.mp4"):
        examples.maker(FeaturesConfig(face_detector=DETECTOR))(  # type: ignore[arg-type]
            clip_of(tmp_path / "note.mp4")
        )

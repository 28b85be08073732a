"""Each part of a clip is decoded once; file and cache give the same."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DETECTOR
from places import DATA

from emorec_tf.config.clip import Clip
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.errors import SetupError
from emorec_tf.features import decoded, face_detection, face_tracks
from emorec_tf.features.decode_cache import Cache
from emorec_tf.media import decode as media
from emorec_tf.media.container import Source, open_media

RAVDESS = DATA / "ravdess"
FEATURES = FeaturesConfig(face_detector=DETECTOR, clip_seconds=1.0)  # type: ignore[arg-type]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "decoded", 10**9)


@pytest.fixture
def video(demo_clips: Path) -> Path:
    return min((demo_clips / "clips").glob("*.mp4"))


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, bool]]:
    """Parts requested by each pass over a file: audio, video."""
    asked: list[tuple[bool, bool]] = []
    real = media.decode_part

    def decode_part(source: Source, wanted: media.Wanted) -> media.Recording:
        asked.append((wanted.want_audio, wanted.want_video))
        return real(source, wanted)

    monkeypatch.setattr(media, "decode_part", decode_part)
    return asked


def clip_of(path: Path, **more: Any) -> Clip:
    return Clip("x", "s", "happy", video=str(path), audio=str(path), **more)


def check_same(one: tuple[Any, Any], other: tuple[Any, Any]) -> None:
    np.testing.assert_array_equal(one[0].waveform, other[0].waveform)
    assert replace(one[0], waveform=None) == replace(other[0], waveform=None)
    assert replace(one[1], key="") == replace(other[1], key="")


def test_a_warm_cache_gives_the_same_without_file_or_model(
    video: Path, cache: Cache, passes: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = decoded.Reader(FEATURES).read(clip_of(video))
    cold = decoded.Reader(FEATURES, None, cache).read(clip_of(video))
    assert passes == [(True, True)] * 2
    assert len(cold[1].frames) == int(cold[1].seconds * face_tracks.TRACK_RATE_HZ)
    assert len(list(cache.folder.iterdir())) == 2
    monkeypatch.setitem(
        face_detection.FACE_DETECTORS, DETECTOR, lambda _: pytest.fail("it was loaded")
    )
    warm = decoded.Reader(FEATURES, None, cache).read(clip_of(video))
    assert len(passes) == 2
    check_same(cold, without)
    check_same(cold, warm)


def test_only_what_is_missing_is_decoded(video: Path, cache: Cache, passes: list) -> None:
    for changes in (
        {"face_frames": 0},  # audio alone
        {},
        {"sample_rate_hz": 8000, "mel_max_hz": 4000.0},  # audio is kept at its own rate
        {"face_pixels": 96, "face_frames": 3, "mel_bands": 20, "face_sampling": "rate"},
        {"clip_seconds": 2.0, "trim_db": 30.0},
        {"clip_seconds": 20.0},  # more of the clip may be needed
    ):
        decoded.Reader(replace(FEATURES, **changes), None, cache).read(clip_of(video))
    assert passes == [(True, False), (False, True), (True, True)]


def test_entries_are_keyed_by_content_part_and_model(
    video: Path, demo_clips: Path, cache: Cache, passes: list, tmp_path: Path
) -> None:
    read = decoded.Reader(FEATURES, None, cache).read
    first = read(clip_of(video))
    copy = tmp_path / "copy.mp4"
    shutil.copy(video, copy)
    check_same(read(clip_of(copy)), first)
    assert len(passes) == 1
    read(clip_of(copy, start_seconds=0.2, end_seconds=1.0))
    shutil.copy(max((demo_clips / "clips").glob("*.mp4")), copy)
    assert read(clip_of(copy))[1].frames != first[1].frames
    assert len(passes) == 3


def test_audio_and_video_in_two_files(video: Path, cache: Cache, passes: list) -> None:
    other = video.with_name("copy-of-audio.mp4")
    shutil.copy(video, other)
    try:
        both = decoded.Reader(FEATURES, None, cache).read(replace(clip_of(video), audio=str(other)))
        check_same(both, decoded.Reader(FEATURES).read(clip_of(video)))
    finally:
        other.unlink()
    assert sorted(passes[:2]) == [(False, True), (True, False)]
    audio, faces = decoded.Reader(FEATURES).read(replace(clip_of(video), audio=None))
    assert audio is None
    assert faces is not None


def test_a_missing_model_file_is_an_error_despite_the_cache(
    video: Path, cache: Cache, tmp_path: Path
) -> None:
    if DETECTOR == "dlib":
        pytest.skip("dlib has no model file")
    decoded.Reader(FEATURES, None, cache).read(clip_of(video))
    with pytest.raises(SetupError, match=r"none\.tflite"):
        decoded.Reader(FEATURES, str(tmp_path / "none.tflite"), cache).read(clip_of(video))


def test_mesh_points_are_kept_with_the_track(video: Path, cache: Cache) -> None:
    _, faces = decoded.Reader(FEATURES, None, cache).read(clip_of(video))
    meshes: list[int] = []

    def mesh(image: np.ndarray) -> np.ndarray | None:
        meshes.append(len(image))
        return None if len(meshes) == 2 else np.ones((478, 3), np.float32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(face_detection, "face_mesh", lambda _: mesh)
        first = [decoded.mesh_finder(None, cache)(faces, index) for index in range(3)]
        again = [decoded.mesh_finder(None, cache)(faces, index) for index in range(3)]
        assert len(meshes) == 3
        np.testing.assert_array_equal(first[0], again[0])
        assert first[1] is again[1] is None
        decoded.mesh_finder(None, None)(faces, 0)
        assert len(meshes) == 4


def test_an_open_file_gives_the_same_as_a_clip_of_it(video: Path) -> None:
    reader = decoded.Reader(FEATURES)
    with open_media(str(video), "a name for errors") as source:
        check_same(reader.read_source(source), reader.read(clip_of(video)))
    without_faces = decoded.Reader(replace(FEATURES, face_frames=0))
    with open_media(str(video)) as source:
        audio, faces = without_faces.read_source(source)
    assert faces is None
    same, _ = without_faces.read(clip_of(video))
    np.testing.assert_array_equal(audio.waveform, same.waveform)


@pytest.mark.data("ravdess/clips")
def test_a_slow_video_gives_each_frame_once() -> None:
    import av

    path = RAVDESS / "clips" / "Actor_02" / "01-01-03-01-01-01-02.mp4"
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    _, faces = decoded.Reader(FEATURES).read(clip_of(path))
    found = np.array([frame.seconds for frame in faces.frames])
    np.testing.assert_allclose(found, np.array(times), atol=1e-6)
    assert all(frame.face for frame in faces.frames)


@pytest.mark.data("ravdess/native")
def test_a_fast_video_gives_six_frames_a_second() -> None:
    path = RAVDESS / "native" / "Actor_01" / "01-01-08-01-01-02-01.mp4"
    _, faces = decoded.Reader(FEATURES).read(clip_of(path))
    times = np.array([frame.seconds for frame in faces.frames])
    assert len(times) <= 6 * faces.seconds
    assert np.diff(times).min() > 0
    assert np.abs(np.diff(times) - 1 / 6).max() < 5 / 29.97
    boxes = np.array([(f.left, f.face.width / f.scale_x) for f in faces.frames])
    assert boxes.std(0).max() < 30  # a calm head keeps its place

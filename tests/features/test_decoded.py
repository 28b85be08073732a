"""decoded: each part of a clip once, the same from a film and from the cache."""

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

RAVDESS = DATA / "ravdess"
FEATURES = FeaturesConfig(face_detector=DETECTOR, clip_seconds=1.0)  # type: ignore[arg-type]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "decoded", 10**9)


@pytest.fixture
def film(demo_clips: Path) -> Path:
    return min((demo_clips / "clips").glob("*.mp4"))


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, bool]]:
    """What each pass over a file asked for: sound, pictures."""
    told: list[tuple[bool, bool]] = []
    real = media.decode

    def decode(path: str, **settings: Any) -> media.Recording:
        told.append((settings["want_audio"], settings["want_video"]))
        return real(path, **settings)

    monkeypatch.setattr(media, "decode", decode)
    return told


def clip_of(path: Path, **more: Any) -> Clip:
    return Clip("x", "s", "happy", video=str(path), audio=str(path), **more)


def check_same(one: tuple[Any, Any], other: tuple[Any, Any]) -> None:
    np.testing.assert_array_equal(one[0].waveform, other[0].waveform)
    assert replace(one[0], waveform=None) == replace(other[0], waveform=None)
    assert replace(one[1], key="") == replace(other[1], key="")


def test_a_warm_cache_gives_the_same_without_file_or_model(
    film: Path, cache: Cache, passes: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = decoded.reader(FEATURES)(clip_of(film))
    cold = decoded.reader(FEATURES, None, cache)(clip_of(film))
    assert passes == [(True, True)] * 2
    assert len(cold[1].looks) == int(cold[1].seconds * face_tracks.TRACK_RATE_HZ)
    assert len(list(cache.folder.iterdir())) == 2
    monkeypatch.setitem(
        face_detection.FACE_DETECTORS, DETECTOR, lambda _: pytest.fail("it was loaded")
    )
    warm = decoded.reader(FEATURES, None, cache)(clip_of(film))
    assert len(passes) == 2
    check_same(cold, without)
    check_same(cold, warm)


def test_only_what_is_missing_is_decoded(film: Path, cache: Cache, passes: list) -> None:
    for changes in (
        {"face_frames": 0},  # sound alone
        {},
        {"sample_rate_hz": 8000, "mel_max_hz": 4000.0},  # sound is kept at its own rate
        {"face_pixels": 96, "face_frames": 3, "mel_bands": 20, "face_sampling": "rate"},
        {"clip_seconds": 2.0, "trim_db": 30.0},
        {"clip_seconds": 20.0},  # more of the clip may be needed
    ):
        decoded.reader(replace(FEATURES, **changes), None, cache)(clip_of(film))
    assert passes == [(True, False), (False, True), (True, True)]


def test_entries_go_by_content_part_and_model(
    film: Path, demo_clips: Path, cache: Cache, passes: list, tmp_path: Path
) -> None:
    read = decoded.reader(FEATURES, None, cache)
    first = read(clip_of(film))
    copy = tmp_path / "copy.mp4"
    shutil.copy(film, copy)
    check_same(read(clip_of(copy)), first)
    assert len(passes) == 1
    read(clip_of(copy, start_seconds=0.2, end_seconds=1.0))
    shutil.copy(max((demo_clips / "clips").glob("*.mp4")), copy)
    assert read(clip_of(copy))[1].looks != first[1].looks
    assert len(passes) == 3


def test_sound_and_pictures_in_two_files(film: Path, cache: Cache, passes: list) -> None:
    other = film.with_name("copy-of-sound.mp4")
    shutil.copy(film, other)
    try:
        both = decoded.reader(FEATURES, None, cache)(replace(clip_of(film), audio=str(other)))
        check_same(both, decoded.reader(FEATURES)(clip_of(film)))
    finally:
        other.unlink()
    assert sorted(passes[:2]) == [(False, True), (True, False)]
    sound, pictures = decoded.reader(FEATURES)(replace(clip_of(film), audio=None))
    assert sound is None
    assert pictures is not None


def test_a_model_file_that_is_missing_is_said_despite_the_cache(
    film: Path, cache: Cache, tmp_path: Path
) -> None:
    if DETECTOR == "dlib":
        pytest.skip("dlib has no model file")
    decoded.reader(FEATURES, None, cache)(clip_of(film))
    with pytest.raises(SetupError, match=r"none\.tflite"):
        decoded.reader(FEATURES, str(tmp_path / "none.tflite"), cache)(clip_of(film))


def test_mesh_points_are_kept_with_the_track(film: Path, cache: Cache) -> None:
    _, pictures = decoded.reader(FEATURES, None, cache)(clip_of(film))
    meshes: list[int] = []

    def mesh(picture: np.ndarray) -> np.ndarray | None:
        meshes.append(len(picture))
        return None if len(meshes) == 2 else np.ones((478, 3), np.float32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(face_detection, "face_mesh", lambda _: mesh)
        first = [decoded.mesher(None, cache)(pictures, index) for index in range(3)]
        again = [decoded.mesher(None, cache)(pictures, index) for index in range(3)]
        assert len(meshes) == 3
        np.testing.assert_array_equal(first[0], again[0])
        assert first[1] is again[1] is None
        decoded.mesher(None, None)(pictures, 0)
        assert len(meshes) == 4


@pytest.mark.data("ravdess/clips")
def test_a_slow_film_gives_each_frame_once() -> None:
    import av

    path = RAVDESS / "clips" / "Actor_02" / "01-01-03-01-01-01-02.mp4"
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    _, pictures = decoded.reader(FEATURES)(clip_of(path))
    found = np.array([look.seconds for look in pictures.looks])
    np.testing.assert_allclose(found, np.array(times), atol=1e-6)
    assert all(look.face for look in pictures.looks)


@pytest.mark.data("ravdess/native")
def test_a_fast_film_gives_six_pictures_a_second() -> None:
    path = RAVDESS / "native" / "Actor_01" / "01-01-08-01-01-02-01.mp4"
    _, pictures = decoded.reader(FEATURES)(clip_of(path))
    times = np.array([look.seconds for look in pictures.looks])
    assert len(times) <= 6 * pictures.seconds
    assert np.diff(times).min() > 0
    assert np.abs(np.diff(times) - 1 / 6).max() < 5 / 29.97
    boxes = np.array([(look.left, look.face.width / look.scale_x) for look in pictures.looks])
    assert boxes.std(0).max() < 30  # a calm head stays in its place

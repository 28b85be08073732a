"""Walking a folder and joining the files of one clip."""

from __future__ import annotations

from pathlib import Path

import pytest

from emorec_tf.config.clip import Clip
from emorec_tf.datasets.discovery import MEDIA_SUFFIXES, files_below, is_media, join
from emorec_tf.errors import UserError


def test_files_below(tmp_path: Path):
    for path in ("b/2.wav", "b/10.wav", "a.txt", ".hidden", ".git/x.wav", "__MACOSX/a.wav"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    assert files_below(str(tmp_path)) == ["a.txt", "b/10.wav", "b/2.wav"]
    with pytest.raises(UserError, match="is a file, not a folder"):
        files_below(str(tmp_path / "a.txt"))
    with pytest.raises(UserError, match="does not exist"):
        files_below(str(tmp_path / "c"))


def test_is_media():
    assert all(is_media(f"a/b{suffix}") for suffix in MEDIA_SUFFIXES)
    assert is_media("X.MP4")
    assert not any(map(is_media, ("x.txt", "wav", "a.wav/b", "")))


def found(*paths: str, modality: str = ""):
    return [(Clip("1", "x", "sad"), path, modality) for path in paths]


def test_join_prefers_lossless_audio_and_keeps_the_video():
    (clip,) = join(found("1.mp4", "1.mp3", "1.wav"))
    assert (clip.video, clip.audio) == ("1.mp4", "1.wav")
    (clip,) = join(found("1.mp4"))
    assert (clip.video, clip.audio) == ("1.mp4", "1.mp4")
    (clip,) = join(found("1.wav"))
    assert (clip.video, clip.audio) == (None, "1.wav")


def test_join_by_modality():
    (clip,) = join(found("02.mp4", modality="video_only") + found("03.mp4", modality="audio_only"))
    assert (clip.video, clip.audio) == ("02.mp4", "03.mp4")


def test_join_sorts_and_does_not_depend_on_the_order():
    files = [(Clip(name, "x", "sad"), f"{name}.wav", "") for name in ("b", "a", "c")]
    assert [c.clip_id for c in join(files)] == ["a", "b", "c"]
    assert join(files) == join(files[::-1])
    assert join([]) == []


def test_join_refuses():
    with pytest.raises(UserError, match=r"twice: a/1\.wav and b/1\.wav; remove one"):
        join(found("a/1.wav", "b/1.wav"))
    other = [(Clip("1", "y", "sad"), "1.mp4", "")]
    with pytest.raises(UserError, match="one clip with different labels"):
        join(found("1.wav") + other)

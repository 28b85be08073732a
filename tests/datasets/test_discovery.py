"""Walking a folder and joining the files of one clip."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from emorec_tf.config.clip import Clip
from emorec_tf.datasets.discovery import (
    IMAGE_SUFFIXES,
    MEDIA_SUFFIXES,
    VIDEO_SUFFIXES,
    by_ending,
    files_below,
    is_media,
    join,
)
from emorec_tf.datasets.discovery import found as found_files
from emorec_tf.errors import UserError
from emorec_tf.media import decode
from emorec_tf.media.container import open_media


def test_files_below(tmp_path: Path):
    for path in ("b/2.wav", "b/10.wav", "a.txt", ".hidden", ".git/x.wav", "__MACOSX/a.wav"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    assert files_below(str(tmp_path)) == ["a.txt", "b/10.wav", "b/2.wav"]
    with pytest.raises(UserError, match="is a file, not a folder"):
        files_below(str(tmp_path / "a.txt"))
    with pytest.raises(UserError, match="does not exist"):
        files_below(str(tmp_path / "c"))


def test_links_to_folders_are_followed_once(tmp_path: Path, caplog):
    corpus, elsewhere = tmp_path / "corpus", tmp_path / "elsewhere"
    for folder in (corpus / "anna", elsewhere / "sad"):
        folder.mkdir(parents=True)
        (folder / "1.wav").touch()
    (corpus / "ben").symlink_to(elsewhere)
    assert files_below(str(corpus)) == ["anna/1.wav", "ben/sad/1.wav"]
    (tmp_path / "linked").symlink_to(corpus)
    assert files_below(str(tmp_path / "linked")) == ["anna/1.wav", "ben/sad/1.wav"]
    assert not caplog.messages
    for name, target in (
        ("a_view", corpus / "anna"),  # a folder of the corpus, read by its own name
        ("ben2", elsewhere),
        ("up", tmp_path),
        ("anna/loop", corpus),
        ("ben/loop", elsewhere),
        ("itself", corpus / "itself"),
    ):
        (corpus / name).symlink_to(target)
    with caplog.at_level(logging.WARNING):
        assert files_below(str(corpus)) == ["anna/1.wav", "ben/sad/1.wav", "itself"]
    assert caplog.messages == ["left out 5 links to folders that are read already, such as a_view/"]


def test_two_folders_that_link_to_each_other(tmp_path: Path):
    for one, other in (("a", "b"), ("b", "a")):
        (tmp_path / one).mkdir()
        (tmp_path / one / "1.wav").touch()
        (tmp_path / one / "link").symlink_to(tmp_path / other)
    assert files_below(str(tmp_path)) == ["a/1.wav", "b/1.wav"]
    assert files_below(str(tmp_path / "a")) == ["1.wav", "link/1.wav"]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch):
    for path in ("anna/1.wav", "closed/1.wav"):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).touch()
    real = os.scandir

    def scandir(folder):  # as root, no folder is closed
        if Path(folder).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UserError, match=r"closed: cannot be listed \(Permission denied\)"):
        files_below(str(tmp_path))


def test_an_archive_is_no_folder(tmp_path: Path):
    (tmp_path / "corpus.zip").touch()
    with pytest.raises(UserError, match="is an archive that was not unpacked; unpack it"):
        files_below(str(tmp_path / "corpus.zip"))


# How PyAV writes each ending: container, audio codec, video codec.
FORMS = {
    **dict.fromkeys((".aif", ".aiff", ".aifc"), ("aiff", "pcm_s16be", "")),
    **dict.fromkeys((".au", ".snd"), ("au", "pcm_s16be", "")),
    **dict.fromkeys((".wav", ".w64", ".caf"), ("", "pcm_s16le", "")),
    ".flac": ("flac", "flac", ""),
    ".opus": ("ogg", "libopus", ""),
    **dict.fromkeys((".ogg", ".oga"), ("ogg", "libopus", "")),
    ".mka": ("matroska", "pcm_s16le", ""),
    ".weba": ("webm", "libopus", ""),
    **dict.fromkeys((".m4a", ".m4b"), ("mp4", "aac", "")),
    ".aac": ("adts", "aac", ""),
    ".mp3": ("mp3", "libmp3lame", ""),
    ".mp2": ("mp2", "mp2", ""),
    ".ac3": ("ac3", "ac3", ""),
    ".amr": ("amr", "libopencore_amrnb", ""),
    ".wma": ("asf", "wmav2", ""),
    **dict.fromkeys((".wmv", ".asf"), ("asf", "wmav2", "wmv2")),
    **dict.fromkeys((".mp4", ".m4v", ".f4v"), ("mp4", "aac", "libx264")),
    **dict.fromkeys((".mov", ".qt"), ("mov", "aac", "libx264")),
    ".mkv": ("matroska", "aac", "libx264"),
    ".avi": ("avi", "mp2", "mpeg4"),
    ".webm": ("webm", "libopus", "libvpx"),
    ".flv": ("flv", "aac", "libx264"),
    **dict.fromkeys((".mpg", ".mpeg", ".mpe"), ("mpeg", "mp2", "mpeg1video")),
    ".vob": ("vob", "mp2", "mpeg2video"),
    **dict.fromkeys((".ts", ".mts", ".m2ts", ".m2t"), ("mpegts", "aac", "libx264")),
    **dict.fromkeys((".3gp", ".3g2"), ("3gp", "aac", "mpeg4")),
    ".ogv": ("ogg", "libopus", "libvpx"),
}


def write_media(path: Path) -> None:
    """Write a second of a tone and, where the ending is of a video, of grey frames."""
    form, audio_codec, video_codec = FORMS[path.suffix]
    rate, bits = (8000, 12200) if path.suffix == ".amr" else (48000, 64000)
    with av.open(str(path), "w", format=form or path.suffix[1:]) as container:
        audio: Any = container.add_stream(audio_codec, rate=rate, layout="mono")
        audio.bit_rate = bits
        video: Any = container.add_stream(video_codec, rate=25) if video_codec else None
        if video:
            video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
            for _ in range(25):
                grey = np.full((64, 64, 3), 128, np.uint8)
                container.mux(video.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
            container.mux(video.encode())
        wave = (np.sin(np.arange(rate) / 20) * 9000).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(audio.format, "mono", rate, audio.frame_size or None)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(audio.encode(part))
        container.mux(audio.encode())


@pytest.mark.parametrize("suffix", sorted(MEDIA_SUFFIXES))
def test_every_ending_is_read(tmp_path: Path, suffix):
    write_media(tmp_path / f"a{suffix}")
    assert found_files([str(tmp_path)]) == [str(tmp_path / f"a{suffix}")]
    with open_media(str(tmp_path / f"a{suffix}")) as source:
        assert source.audio is not None
        assert (source.video is not None) == (suffix in VIDEO_SUFFIXES)


@pytest.mark.parametrize("suffix", sorted(set(IMAGE_SUFFIXES) - {".heic", ".heif"}))
def test_every_image_is_read(tmp_path: Path, suffix):
    Image.new("RGB", (64, 48), "red").save(tmp_path / f"a{suffix}")
    (file,) = found_files([str(tmp_path)])
    (frame,) = decode.decode(file, sample_rate_hz=16000, frame_count=1).frames
    assert frame.shape == (48, 64, 3)
    assert np.abs(frame[20, 20].astype(int) - (255, 0, 0)).max() < 30


def test_what_is_no_clip_is_counted_by_ending():
    files = ["a/1.jpg", "a/2.JPG", "b/3.TextGrid", "notes"]
    assert by_ending(files) == (
        "2 .jpg (such as a/1.jpg), 1 .textgrid (such as b/3.TextGrid), 1 without ending (such as "
        "notes)"
    )
    assert by_ending([f"a.{n}" for n in range(9)]).endswith("(such as a.5) and 3 more")


def test_predict_says_what_a_folder_holds_instead(tmp_path: Path):
    (tmp_path / "notes.pdf").touch()
    with pytest.raises(UserError, match=r"it holds 1 \.pdf \(such as notes\.pdf\)"):
        found_files([str(tmp_path)])
    (tmp_path / "clips.zip").touch()
    with pytest.raises(UserError, match=r"it holds clips\.zip, not unpacked: unpack it"):
        found_files([str(tmp_path)])


def test_images_count_where_nothing_else_is(tmp_path: Path):
    (tmp_path / "a.heic").touch()
    (tmp_path / "b.JPG").touch()
    assert len(found_files([str(tmp_path)])) == 2
    (tmp_path / "c.wav").touch()
    assert found_files([str(tmp_path)]) == [str(tmp_path / "c.wav")]
    (clip,) = join(found("1.jpg"))
    assert (clip.video, clip.audio) == ("1.jpg", None)


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

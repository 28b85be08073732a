"""film: every window is what decoding that part alone gives; nothing piles up."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_films import SOUND_HZ, joined, write

from emorec_tf.errors import UserError
from emorec_tf.inference import windows
from emorec_tf.media import decode, decode_windows

RATE_HZ = 6.0


@pytest.fixture(scope="module")
def long_film(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five films of the demo corpus, one after the other: about 11 s."""
    pictures, wave = joined(sorted((demo_clips / "clips").glob("actor01*.mp4"))[:5])
    return write(tmp_path_factory.mktemp("film") / "long.mov", pictures, wave)


def cuts_of(path: Path, window: float = 1.5, hop: float = 0.75) -> list[tuple[float, float]]:
    return windows.cut(decode_windows.length_of(str(path)), window, hop)


@pytest.mark.parametrize(("window", "hop"), [(1.5, 0.75), (2.0, 2.0), (3.1, 0.7)])
def test_windows_are_what_decoding_that_part_gives(long_film, window, hop):
    cuts = cuts_of(long_film, window, hop)
    found = list(decode_windows.windows(str(long_film), cuts, RATE_HZ))
    assert len(found) == len(cuts) > 3
    for recording, (start, end) in zip(found, cuts, strict=True):
        alone = decode.decode(
            str(long_film),
            sample_rate_hz=None,
            clip_seconds=None,
            frame_rate_hz=RATE_HZ,
            start_seconds=start,
            end_seconds=end,
        )
        np.testing.assert_array_equal(recording.waveform, alone.waveform)
        np.testing.assert_allclose(recording.frame_seconds, alone.frame_seconds, atol=1e-9)
        for one, other in zip(recording.frames, alone.frames, strict=True):
            np.testing.assert_array_equal(one, other)


def test_sound_alone_and_pictures_alone(long_film, tmp_path, demo_clips):
    pictures, wave = joined(sorted((demo_clips / "clips").glob("actor02*.mp4"))[:2])
    sound = write(tmp_path / "sound.wav", wave=wave)
    found = list(decode_windows.windows(str(sound), cuts_of(sound), RATE_HZ))
    assert all(len(r.waveform) == 1.5 * SOUND_HZ and not r.shown for r in found)
    silent = write(tmp_path / "silent.mp4", pictures)
    found = list(decode_windows.windows(str(silent), cuts_of(silent), RATE_HZ))
    assert all(r.waveform is None and len(r.shown) == 9 for r in found)
    unseen = list(decode_windows.windows(str(long_film), cuts_of(long_film), 0.0))
    assert all(len(r.waveform) and not r.shown for r in unseen)


def test_a_picture_is_not_shown_for_ever(tmp_path, demo_clips):
    pictures, wave = joined(sorted((demo_clips / "clips").glob("actor02*.mp4"))[:4])
    path = write(tmp_path / "short.mov", pictures[:10], wave)
    found = list(decode_windows.windows(str(path), cuts_of(path), RATE_HZ))
    assert [bool(r.shown) for r in found[:2]] == [True, True]
    assert not any(r.shown for r in found if r.start_seconds > 3.1)
    assert all(r.waveform.any() for r in found)


def test_a_film_that_breaks_off_gives_what_there_is(long_film, tmp_path, demo_clips):
    pictures, wave = joined(sorted((demo_clips / "clips").glob("actor01*.mp4"))[:5])
    whole = write(tmp_path / "whole.mkv", pictures, wave)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    cuts, found = cuts_of(whole), list[Any]()
    given = decode_windows.windows(str(cut), cuts, RATE_HZ)
    with pytest.raises(
        decode_windows.CutShort, match=r"cut\.mkv: is cut short or damaged: \d+\.\d+ s of"
    ):
        collections.deque(map(found.append, given))
    assert 0.4 * len(cuts) < len(found) < 0.8 * len(cuts)
    for one, other in zip(
        found[:-1], decode_windows.windows(str(whole), cuts, RATE_HZ), strict=False
    ):
        np.testing.assert_array_equal(one.waveform, other.waveform)
    last = found[-1]
    assert 0.75 <= last.seconds <= 1.5
    assert last.frame_seconds.max() <= last.seconds + 0.1
    assert len(last.waveform) == pytest.approx(last.seconds * SOUND_HZ, abs=SOUND_HZ // 5)


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "text.mp4").write_text("text")
    with pytest.raises(UserError, match=r"text\.mp4"):
        decode_windows.length_of(str(tmp_path / "text.mp4"))
    with pytest.raises(UserError, match=r"text\.mp4"):
        list(decode_windows.windows(str(tmp_path / "text.mp4"), [(0.0, 1.0)], RATE_HZ))


def test_memory_stays_flat(tmp_path):
    psutil = pytest.importorskip("psutil")
    picture = np.zeros((720, 1280, 3), np.uint8)
    picture[200:500, 300:700] = 200
    path = write(tmp_path / "large.mov", [picture] * 500, np.zeros(50 * SOUND_HZ, np.float32))
    used = []
    for recording in decode_windows.windows(str(path), cuts_of(path, 4.0, 2.0), RATE_HZ):
        assert recording.shown
        used.append(psutil.Process().memory_info().rss / 2**20)
    assert len(used) == 24
    assert max(used) - used[3] < 60  # MiB; all pictures together are 690 as FFmpeg gives them

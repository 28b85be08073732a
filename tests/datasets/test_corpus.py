"""A new corpus is one entry: its pattern turns file names into clips."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from emorec_tf.datasets.corpus import Corpus, clip_named, files_named
from emorec_tf.datasets.discovery import join
from emorec_tf.errors import UserError

TOY = Corpus(
    title="toy",
    homepage="nowhere",
    licence="none",
    citation="none",
    label_meaning="acted",
    emotions=("happy", "sad"),
    example="p1/day2_H_tea.wav",
    pattern=r"(?P<speaker>p\d)/day(?P<session>\d)_(?P<emotion>[A-Z])_(?P<drink>[a-z]+)",
    clip_id="{speaker}-{session}-{emotion}-{drink}",
    codes={"H": "happy", "S": "sad"},
    values={"drink": {"tea": "hot"}},
    men=("p1",),
)


def test_a_name_becomes_a_clip():
    read = clip_named("toy", TOY, "/data/p1/day2_H_tea.WAV")
    assert read is not None
    clip, modality = read
    assert (clip.clip_id, clip.speaker, clip.session) == ("p1-2-H-tea", "p1", "2")
    assert (clip.emotion, modality) == ("happy", "")
    assert clip.traits == {"drink": "hot", "sex": "male"}
    other = clip_named("toy", TOY, "p2/day1_S_ale.mp4")
    assert other is not None
    assert other[0].traits == {"drink": "ale", "sex": "female"}


@pytest.mark.parametrize("path", ["xp1/day2_H_tea.wav", "p1/day2_H_tea.txt", "p1/day2_H_tea2.wav"])
def test_other_names_are_not_of_the_corpus(path):
    assert clip_named("toy", TOY, path) is None


def test_unknown_code():
    with pytest.raises(UserError, match=r"unknown emotion code 'X' for toy; known: H happy, S sad"):
        clip_named("toy", TOY, "p1/day2_X_tea.wav")


def test_files_named(tmp_path: Path, caplog):
    (tmp_path / "p1").mkdir()
    for name in ("day2_H_tea.wav", "day2_H_tea.mp4", "notes.txt", "noise.wav"):
        (tmp_path / "p1" / name).touch()
    with caplog.at_level(logging.WARNING):
        (clip,) = join(files_named("toy", TOY, str(tmp_path / "p1"), "auto"))
    assert (Path(str(clip.video)).suffix, Path(str(clip.audio)).suffix) == (".mp4", ".wav")
    assert "left out 1 files not named like toy's: 1 .wav (such as noise.wav)" in caplog.text

"""A corpus is recognised by the names of its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from emorec_tf.datasets.corpora import DATASETS
from emorec_tf.datasets.detection import kind_of, recognised
from emorec_tf.errors import UserError

Make = Callable[..., str]

NAMES = {
    "ravdess": ("Actor_02/01-01-08-02-02-02-02.mp4", "Actor_01/03-02-03-01-01-01-01.wav"),
    "savee": ("AudioData/DC/a01.wav", "AudioData/JK/su15.wav"),
    "crema-d": ("AudioWAV/1001_DFA_ANG_XX.wav", "VideoFlash/1091_WSI_SAD_HI.flv"),
    "msp-improv": ("session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.avi",),
    "emodb": ("wav/03a01Fa.wav", "wav/16b10Wb.wav"),
    "tess": ("OAF_angry/OAF_back_angry.wav", "YAF_pleasant_surprised/YAF_dog_ps.wav"),
    "nemo": ("samples/EB0_anger_1.wav", "samples/WR0_surprised_90.wav"),
    "jl-corpus": ("female1_angry_10a_1.wav", "male2_anxious_3b_2.wav"),
    "fer2013": ("train/happy/Training_10019449.jpg", "test/sad/PrivateTest_10131363.jpg"),
}


def test_every_corpus_with_names_of_its_own_is_tested():
    named = {name for name, corpus in DATASETS.items() if corpus.pattern or corpus.own_names}
    assert named == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_corpus_is_recognised(name: str, make: Make):
    kind = kind_of(make(*NAMES[name], "readme.txt"))
    assert (kind.dataset, kind.why) == (name, f"{len(NAMES[name])} of {len(NAMES[name])} files")


def test_the_folder_of_one_speaker_is_recognised(make: Make):
    source = make("AudioData/DC/a01.wav", "AudioData/DC/n02.wav")
    assert kind_of(f"{source}/AudioData/DC").dataset == "savee"


def test_most_files_decide(make: Make):
    source = make("03a01Fa.wav", "03a02Na.wav", "holiday.wav")
    assert kind_of(source).why == "2 of 3 files"
    make("party.wav")
    assert kind_of(source).dataset == "folder"


@pytest.mark.parametrize(
    ("paths", "dataset"),
    [
        (("anna/happy/1.mp4", "ben/sad/1.mp4"), "folder"),
        (("happy/anna_1.wav", "sad/ben_1.wav"), "folder"),
        (("happy/1.jpg", "sad/1.jpg"), "image_folder"),
        (("train/happy/1.jpg", "test/sad/1.jpg"), "image_folder"),
        (("anna/happy/1.jpg", "ben/sad/1.jpg"), "folder"),
        (("EB0_joy_1.wav", "AB1_hope_2.wav"), "folder"),  # no emotions of nEMO
        (("fer2013.csv",), "fer2013"),
    ],
)
def test_own_clips_and_images(paths: tuple[str, ...], dataset: str, make: Make):
    assert kind_of(make(*paths)).dataset == dataset


def test_a_table_of_ones_own_goes_before_names(make: Make):
    source = make("03a01Fa.wav", "Labels.CSV")
    assert (kind_of(source).dataset, kind_of(source).why) == ("folder", "the table Labels.CSV")
    assert kind_of(f"{source}/Labels.CSV").dataset == "folder"


def test_no_folder_is_an_error(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        kind_of(str(tmp_path / "nowhere"))


def test_what_is_recognised_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("03a01Fa.wav", "03a01Wa.wav"):
        (tmp_path / name).touch()
    with caplog.at_level("INFO", "emorec_tf"):
        assert recognised(str(tmp_path)) == "emodb"
    assert f"{tmp_path} looks like emodb (2 of 2 files)" in caplog.messages

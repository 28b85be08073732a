"""Own clips: any label is a class, in one spelling; what was changed is named."""

from __future__ import annotations

import logging
import unicodedata

import pytest

from emorec_tf.config.class_names import ordered
from emorec_tf.datasets.corpora import clips
from emorec_tf.datasets.labels import merge_classes

OWN = ("engaged", "contempt", "frustrated", "pain", "\u56f0\u60d1", "very, sad", "[b]x[/b] <i>|$y$")


def table(write, labels, head="path,emotion,speaker") -> str:
    rows = [f'{n}.wav,"{label}",p{n}' for n, label in enumerate(labels)]
    return write(
        {"labels.csv": "\n".join([head, *rows]) + "\n"}
        | {f"{n}.wav": "" for n in range(len(labels))}
    )


def test_any_label_of_a_table_is_a_class(write):
    source = table(write, [*OWN, "sad"])
    found = clips("folder", source)
    assert [c.emotion for c in found] == [*OWN, "sad"]
    assert ordered(c.emotion for c in found)[0] == "sad"
    kept = clips("folder", source, classes='"very, sad", PAIN')
    assert [c.emotion for c in kept] == ["pain", "very, sad"]
    assert merge_classes(found, '"very, sad",pain') == kept


def test_any_folder_is_a_class(write):
    source = write(
        {"ann/\u56f0\u60d1/1.wav": "", "ann/In pain/1.wav": "", "contempt/ben_1.wav": ""}
    )
    found = {(c.speaker, c.emotion) for c in clips("folder", source)}
    assert found == {("ann", "\u56f0\u60d1"), ("ann", "In pain"), ("ben", "contempt")}
    images = write({"faces/train/puzzled/1.png": "", "faces/test/happiness/1.png": ""}) + "/faces"
    for dataset in ("image_folder", "face_folder"):
        assert [c.emotion for c in clips(dataset, images)] == ["happy", "puzzled"]


def test_spellings_of_one_label_are_one_class_and_named(write, caplog):
    composed = unicodedata.normalize("NFC", "\u00dcberdruss")
    labels = [
        "Confused",
        " confused ",
        "Confused",
        unicodedata.normalize("NFD", composed),
        composed,
    ]
    with caplog.at_level(logging.INFO):
        found = clips("folder", table(write, labels))
    assert [c.emotion for c in found] == ["Confused"] * 3 + [composed] * 2
    assert caplog.messages == [
        "labels of equal names taken as one: 'confused' as 'Confused'; rename them if they differ"
    ]


def test_known_emotions_and_their_other_names_stay_known(write, caplog):
    with caplog.at_level(logging.INFO):
        found = clips("folder", table(write, ["joy", "Happy", "happy", "engaged"]))
    assert [c.emotion for c in found] == ["happy", "happy", "happy", "engaged"]
    assert caplog.messages == [
        "labels read as known emotions: 'Happy' as happy, 'joy' as happy (--label_map Happy=Happy "
        "keeps one as written)"
    ]


def test_the_label_map_names_labels_as_they_are_written(write, caplog):
    source = table(write, ["joy", "Excited", "speech", "very, sad", "happiness"])
    mapped = 'joy=joy,excited=anger,speech=talking,"very, sad=sad"'
    with caplog.at_level(logging.INFO):
        found = clips("folder", source, label_map=mapped)
    assert [c.emotion for c in found] == ["joy", "angry", "talking", "sad", "happy"]
    line = "excited as angry (1 clips), speech as talking (1 clips), very, sad as sad (1 clips)"
    assert f"folder: {line}" in caplog.messages
    kept = clips("folder", source, label_map="joy=,speech=")
    assert [c.emotion for c in kept] == ["Excited", "very, sad", "happy"]


def test_misspelt_emotions_are_named(write, caplog, refused):
    source = table(write, ["sadd", "sad", "pain"])
    with caplog.at_level(logging.INFO):
        assert [c.emotion for c in clips("folder", source)] == ["sadd", "sad", "pain"]
    assert caplog.messages == [
        "'sadd' is a class of its own (1 clips); if it is sad: --label_map sadd=sad"
    ]
    assert [c.emotion for c in clips("folder", source, label_map="sadd=sad")][:2] == ["sad", "sad"]
    assert "no clip is 'paint'; did you mean 'pain'" in refused(
        "folder", source, label_map="paint=sad"
    )
    assert "no clip is 'paine'; did you mean 'pain'" in refused("folder", source, classes="paine")


def test_several_corpora_spell_a_class_one_way(write, caplog):
    source = table(write, ["Puzzled", "Puzzled", "sad"])
    write({"faces/test/puzzled/1.png": "", "faces/train/sad/1.png": ""})
    both = f"{source},{source}/faces"
    with caplog.at_level(logging.INFO):
        found = clips("folder+image_folder", both)
    assert sorted(c.emotion for c in found) == ["Puzzled", "Puzzled", "Puzzled", "sad", "sad"]
    assert any("'puzzled' as 'Puzzled'" in line for line in caplog.messages)


def test_people_may_be_called_like_emotions(write):
    source = write({"Joy/puzzled/1.wav": "", "Joy/sad/1.wav": "", "ben/puzzled/1.wav": ""})
    assert {c.speaker for c in clips("folder", source)} == {"Joy", "ben"}


@pytest.mark.parametrize(
    ("columns", "head"),
    [
        ("emotion=Label, speaker=subject", "path,label,SUBJECT"),
        ("emotion=label,path=file,speaker=who", "file,Label,Who"),
    ],
)
def test_columns_by_another_name(write, columns, head):
    found = clips("folder", table(write, ["pain", "sad"], head), columns=columns)
    assert [(c.emotion, c.speaker) for c in found] == [("pain", "p0"), ("sad", "p1")]


def test_a_column_named_beside_the_usual_one(write):
    source = write({"a.wav": "", "labels.csv": "path;emotion;rated;speaker\na.wav;sad;pain;p\n"})
    (clip,) = clips("folder", source, columns="emotion=rated")
    assert (clip.emotion, clip.traits) == ("pain", {"emotion (own)": "sad"})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("emotion", "'emotion' is no pair; write emotion=label,speaker=subject"),
        ("emotoin=label", "did you mean 'emotion'?"),
        ("emotion=a,emotion=b", "emotion is named twice"),
        (
            "emotion=mood",
            "no column mood, which emotion=mood names; there are path, label, speaker",
        ),
        (
            None,
            "no column emotion among path, label, speaker; the first row must name path,emotion",
        ),
    ],
)
def test_columns_that_do_not_fit(write, refused, columns, message):
    source = table(write, ["pain"], "path,label,speaker")
    assert message in (said := refused("folder", source, columns=columns))
    assert columns or "say how it names them: --columns emotion=label" in said
    assert "not read from a table" in refused("ravdess", source, columns="emotion=label")

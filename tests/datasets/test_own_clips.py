"""Your own clips: tables in many forms, folders, and what is wrong with them in one line."""

from __future__ import annotations

import contextlib
import logging
import random
from pathlib import Path

import pytest

from emorec_tf.datasets.corpora import clips
from emorec_tf.errors import UserError

OWN = {"media/a.mp4": "", "media/b.wav": "", "c.MP4": ""}
TABLE = """\ufeffpath, Emotion ,speaker,session,activation,valence,start,end,mood
media/a.mp4,anger,anna,1,2.5,,0,2.5,rainy
media/a.mp4,joy,anna,1,NaN,3,2.5,,sunny

media/b.wav,Neutral,ben,2,,,,,
"""


@pytest.mark.parametrize("corpus", ["folder", "demo"])
def test_csv(write, corpus):
    source = write(OWN | {"labels.csv": TABLE})
    found = clips(corpus, source)
    assert found == clips(corpus, f"{source}/labels.csv")
    assert [c.clip_id for c in found] == ["media/a@0.000", "media/a@2.500", "media/b"]
    assert [c.emotion for c in found] == ["angry", "happy", "neutral"]
    assert [(c.start_seconds, c.end_seconds) for c in found] == [(0, 2.5), (2.5, None), (0, None)]
    assert [c.activation for c in found] == [2.5, None, None]
    assert [c.valence for c in found] == [None, 3, None]
    assert (found[0].speaker, found[0].session, found[0].traits) == ("anna", "1", {"mood": "rainy"})
    assert found[0].video == found[0].audio == str(Path(source) / "media/a.mp4")
    assert found[2].video is None


def test_csv_joins_the_formats_of_a_clip(write, refused):
    source = write({"a.mp4": "", "a.wav": "", "clips.csv": "path,emotion,speaker\na.mp4,sad,x\n"})
    write({"clips.csv": "path,emotion,speaker\na.mp4,sad,x\na.wav,sad,x\n"})
    (clip,) = clips("folder", source)
    assert (Path(clip.video).name, Path(clip.audio).name) == ("a.mp4", "a.wav")
    write({"clips.csv": "path,emotion,speaker\na.mp4,sad,x\na.wav,happy,x\n"})
    assert "different labels" in refused("folder", source)


ROWS = ("Path,Emotion,Speaker,Note", "c.MP4,sad,Zo\u00eb,x", "media\\b.wav,joy,7,")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("first", ["", "sep={}", '"sep={}"'])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_tables_of_spreadsheets(write, delimiter, encoding, first, ends):
    source = write(OWN)
    rows = [*([first.format(delimiter)] if first else []), *ROWS, ",,,"]
    text = ends.join([*rows[:-4], *(row.replace(",", delimiter) for row in rows[-4:])])
    (Path(source) / "LABELS.CSV").write_bytes(text.encode(encoding))
    found = clips("folder", source)
    assert [(c.clip_id, c.emotion, c.speaker) for c in found] == [
        ("c", "sad", "Zo\u00eb"),
        ("media/b", "happy", "7"),
    ]
    assert found[1].audio == f"{source}/media/b.wav"
    assert found[0].traits == {"note": "x"}


def test_decimal_commas(write, refused):
    head = "path;emotion;speaker;start;end;valence;\n"
    source = write(OWN | {"labels.csv": f"{head}c.MP4;sad;x;0,5;1,25;3;;\n"})
    (clip,) = clips("folder", source)
    assert (clip.start_seconds, clip.end_seconds, clip.valence) == (0.5, 1.25, 3.0)
    write({"labels.csv": 'path,emotion,speaker,start\nc.MP4,sad,x,"1,250"\n'})
    assert "start is '1,250', not a number" in refused("folder", source)


def test_paths_of_other_systems(write):
    source = write(OWN | {"Ju\u0308rgen.wav": ""})
    rows = f"{source}/c.MP4,sad,x\n.\\media\\b.wav,sad,x\nJ\u00fcrgen.wav,sad,y\n"
    write({"labels.csv": f"path,emotion,speaker\n{rows}"})
    found = clips("folder", source)
    assert [c.clip_id for c in found] == ["Ju\u0308rgen", "c", "media/b"]
    assert all(Path(c.audio).is_file() for c in found)


def test_two_tables_that_differ_in_case(write, refused):
    table = "path,emotion,speaker\nc.MP4,sad,x\n"
    source = write(OWN | {"labels.csv": table, "Labels.csv": table})
    assert "holds Labels.csv and labels.csv; remove one" in refused("folder", source)
    assert len(clips("folder", f"{source}/Labels.csv")) == 1


def test_missing_files(write, refused):
    table = "path,emotion,speaker\nc.MP4,sad,x\ngone.wav,sad,y\nmedia/b.wav,sad,z\nfar.mp4,sad,z\n"
    source = write(OWN | {"labels.csv": table})
    message = "labels.csv: 2 of 4 rows name no file, the first in row 3: gone.wav"
    assert message in refused("folder", source)
    write({"media.zip": ""})
    assert refused("folder", source).endswith("it holds media.zip, not unpacked: unpack it")
    found = clips("folder", source, allow_missing=True)
    assert [c.clip_id for c in found] == ["c", "far", "gone", "media/b"]
    assert found[2].audio == f"{source}/gone.wav"


def test_talkers_at_once_are_clips_of_their_own(write):
    head = "path,emotion,speaker,start,end\n"
    rows = "c.MP4,sad,left,2,4\nc.MP4,joy,right,2,5\nc.MP4,joy,right,2,\nc.MP4,sad,left,6,7\n"
    found = clips("folder", write(OWN | {"labels.csv": head + rows}))
    assert [(c.clip_id, c.speaker, c.emotion, c.end_seconds) for c in found] == [
        ("c@2.000-4.000 left", "left", "sad", 4),
        ("c@2.000-5.000 right", "right", "happy", 5),
        ("c@2.000-end right", "right", "happy", None),
        ("c@6.000", "left", "sad", 7),
    ]


def test_files_that_no_row_names_are_counted(write, caplog):
    table = "path,emotion,speaker\nc.MP4,sad,x\n"
    source = write(OWN | {"labels.csv": table})
    with caplog.at_level(logging.WARNING):
        assert len(clips("folder", source)) == 1
    assert caplog.messages == [
        "left out 2 files not in labels.csv: 1 .mp4 (such as media/a.mp4), 1 .wav (such as "
        "media/b.wav)"
    ]


def test_damaged_tables_are_read_or_refused(write):
    head = "path,emotion,speaker,start,end,valence\n"
    source = write(OWN)
    whole = (head + "c.MP4,sad,x,0,2.5,3\nmedia/b.wav,joy,y,,,\n" * 2).encode()
    draw = random.Random(0)
    for _ in range(1000):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 6)):
            at = draw.randrange(len(data))
            piece = draw.choice([bytes([draw.randrange(256)]), b"", b'"', b"\0", b"x" * 5000])
            data[at : at + draw.randint(0, 3)] = piece
        (Path(source) / "labels.csv").write_bytes(data)
        for allow_missing in (False, True):
            with contextlib.suppress(UserError):
                clips("folder", source, allow_missing=allow_missing)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("path,emotion\nc.MP4,sad\n", "no column speaker"),
        ("path|emotion|speaker\nc.MP4|sad|x\n", "no column path, emotion, speaker among path|emo"),
        ("path;emotion\nc.MP4;sad\n", "no column speaker among path, emotion"),
        ("path,emotion,speaker,Speaker\nc.MP4,sad,x,y\n", "column speaker occurs twice"),
        ("", "no column"),
        ("path,emotion,speaker\n", "no row"),
        ("path,emotion,speaker\nc.MP4,sad\x07,x\n", "row 2: the label 'sad\\x07' holds a line"),
        ("path,emotion,speaker\n\nc.MP4,speech,x\n", "row 3: 'speech' cannot be a class"),
        (f"path,emotion,speaker\nc.MP4,{'so it is' * 11},x\n", "has 88 characters, more than 80"),
        ("path,emotion,speaker\nc.MP4,sad,\n", "row 2: no speaker"),
        (
            "path,emotion,speaker\nd.mp4,sad,x\n",
            "1 of 1 rows name no file, the first in row 2: d",
        ),
        ("sep=;\npath;emotion;speaker\nd.mp4;sad;x\n", "the first in row 3: d.mp4"),
        ("path,emotion,speaker\nC:\\d.mp4,sad,x\n", "in row 2: C:\\d.mp4 (no file"),
        ("version https://git-lfs.github.com/spec/v1\n", "is a git-lfs pointer, no CSV file"),
        ("PK\x03\x04", "an archive or a workbook; unpack it, or save the sheet as CSV UTF-8"),
        ("path,emotion,speaker\nlabels.csv,sad,x\n", "no audio, video or image"),
        (
            "path,emotion,speaker\nc.MP4,sad,x,y\n",
            "row 2: 4 fields, the first row has 3; found c.MP4, ",
        ),
        ("path,emotion,speaker,start,end\nc.MP4,sad,x,2,1\n", "are no interval"),
        ("path,emotion,speaker,start\nc.MP4,sad,x,0:30\n", "start is '0:30', not a number"),
        ("path,emotion,speaker,valence\nc.MP4,sad,x,inf\n", "valence is 'inf'"),
        ("path,emotion,speaker\nc.MP4,sad,x\nc.MP4,sad,x\n", "twice"),
    ],
)
def test_csv_mistakes(write, table, message, refused):
    assert message in refused("folder", write(OWN | {"labels.csv": table}))


def test_csv_in_another_encoding(write, refused):
    source = write(OWN)
    (Path(source) / "labels.csv").write_bytes(b"path,emotion,speaker\nc.MP4,sad,J\xfcrgen\n")
    assert "no CSV file in UTF-8 or UTF-16 (row 2: byte 0xfc)" in refused("folder", source)


def test_folder_names(write):
    source = write({"anna/happiness/1.mp4": "", "anna/happiness/1.wav": "", "ben/sad/1.wav": ""})
    assert [(c.clip_id, c.speaker, c.emotion) for c in clips("folder", source)] == [
        ("anna/happiness/1", "anna", "happy"),
        ("ben/sad/1", "ben", "sad"),
    ]


def test_folder_of_all_endings(write, caplog):
    paths = [f"anna/sad/{n}{suffix}" for n, suffix in enumerate((".caf", ".AIFF", ".MTS", ".wma"))]
    source = write(dict.fromkeys([*paths, "anna/sad/cover.jpg", "anna/sad/1.srt", "notes.txt"], ""))
    with caplog.at_level(logging.WARNING):
        assert len(clips("folder", source)) == 4
    assert caplog.messages == [
        "left out 2 files that are no clips: 1 .jpg (such as anna/sad/cover.jpg), 1 .srt (such as "
        "anna/sad/1.srt)"
    ]


def test_folder_of_images(write):
    (clip,) = clips("folder", write({"anna/sad/1.jpg": ""}))
    assert (Path(clip.video).name, clip.audio) == ("1.jpg", None)


def test_folder_of_emotions(write):
    source = write({"fear/ben_01.wav": ""})
    (clip,) = clips("folder", source)
    assert (clip.speaker, clip.emotion) == ("ben", "fearful")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("fear/01.wav", "the speaker is unknown"),
        ("train/fear/01.wav", "train looks like a split, not a speaker"),
        ("fear/test_01.wav", "test looks like a split, not a speaker"),
        ("ann/train/01.wav", "train looks like a split, not an emotion"),
        ("ann/unsure/01.wav", "rename it: --label_map unsure=my unsure"),
        ("01.wav", "are not in the path"),
        ("fear/ben/01.wav", "are <emotion>/<speaker>/; change them to <speaker>/<emotion>/, or"),
        ("notes.txt", "no file of folder"),
    ],
)
def test_folder_mistakes(write, path, message, refused):
    assert message in refused("folder", write({path: ""}))

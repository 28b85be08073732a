"""Label files: votes, evaluation lines, one's own tables, in their exact forms and damaged."""

from __future__ import annotations

import csv
import logging
from collections import Counter
from pathlib import Path

import pytest
from places import DATA

from emorec_tf.config.clip import EMOTIONS
from emorec_tf.datasets.corpora import DATASETS, clips
from emorec_tf.datasets.label_files import ALIASES, emotion_named
from emorec_tf.errors import UserError


@pytest.fixture
def write(tmp_path):
    """Return a function that makes files {path: text} below a folder and returns the folder."""

    def make(files: dict[str, str]) -> str:
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text, encoding="utf-8")
        return str(tmp_path)

    return make


def refused(*args, **kwargs) -> str:
    with pytest.raises(UserError) as error:
        clips(*args, **kwargs)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_aliases():
    assert set(ALIASES) == set(EMOTIONS)
    assert emotion_named(" Anger ", "here") == "angry"
    for emotion in EMOTIONS:
        assert emotion_named(emotion, "here") == emotion
    with pytest.raises(UserError, match=r"row 3: unknown emotion 'Angru'.*'angry'"):
        emotion_named("Angru", "row 3")


# --- CREMA-D -----------------------------------------------------------------------------------

DEMOGRAPHICS = (
    '"ActorID","Age","Sex","Race","Ethnicity"\n1001,51,"Male","Caucasian","Not Hispanic"\n'
)
SUMMARY = (
    '"","FileName","VoiceVote","VoiceLevel","FaceVote","FaceLevel","MultiModalVote",'
    '"MultiModalLevel"\n'
    '"1","1001_IEO_HAP_LO","N","71.67","H","57","H","57.38"\n'
    '"2","1001_IEO_ANG_XX","A","69.1","A","92.22","D","64.78"\n'
    '"3","1001_IEO_SAD_XX","N","69.1","S","92.22","N:S","60:61"\n'
)
TABULATED = (
    '"","A","D","F","H","N","S","fileName","numResponses"\n'
    '"100001",0,0,0,3,6,0,"1001_IEO_HAP_LO",9\n'
    '"200001",0,0,0,3,6,0,"1001_IEO_HAP_LO",9\n'
    '"300001",0,0,0,7,2,0,"1001_IEO_HAP_LO",9\n'
    '"300002",4,5,0,0,0,0,"1001_IEO_ANG_XX",9\n'
    '"300003",0,0,0,0,4,4,"1001_IEO_SAD_XX",8\n'
)
CREMA_D = {f"VideoFlash/1001_IEO_{x}.flv": "" for x in ("HAP_LO", "ANG_XX", "SAD_XX")}


@pytest.mark.parametrize(
    "votes",
    [{"processedResults/summaryTable.csv": SUMMARY}, {"tabulatedVotes.csv": TABULATED}],
)
def test_crema_d_votes(write, caplog, votes):
    source = write(CREMA_D | votes | {"VideoDemographics.csv": DEMOGRAPHICS})
    intended = clips("crema-d", source)
    assert intended == clips("crema-d", source, label="intended")
    assert [c.emotion for c in intended] == ["angry", "happy", "sad"]
    assert intended[1].traits == {
        "statement": "IEO",
        "intensity": "LO",
        "sex": "male",
        "age": "51",
        "race": "Caucasian",
        "ethnicity": "Not Hispanic",
    }
    with caplog.at_level(logging.WARNING):
        perceived = clips("crema-d", source, label="perceived")
    assert {c.clip_id: c.emotion for c in perceived} == {
        "1001_IEO_ANG_XX": "disgust",
        "1001_IEO_HAP_LO": "happy",
    }
    assert "left out 1 of 3 clips" in caplog.text


def test_crema_d_mistakes(write):
    source = write(CREMA_D)
    assert "sex" not in clips("crema-d", source)[0].traits
    assert "processedResults" in refused("crema-d", source, label="perceived")
    write({"summaryTable.csv": "a,b\n1,2\n"})
    assert "no column filename" in refused("crema-d", source, label="perceived")
    write({"summaryTable.csv": "fileName,MultiModalVote\nx,A\n"})
    assert "none of the 3" in refused("crema-d", source, label="perceived")


@pytest.mark.data("crema_d")
@pytest.mark.parametrize("table", ["summaryTable.csv", "tabulatedVotes.csv"])
def test_real_crema_d_tables(tmp_path, caplog, table):
    real = DATA / "crema_d"
    with (real / "SentenceFilenames.csv").open(encoding="utf-8") as file:
        names = [row["Filename"] for row in csv.DictReader(file)]
    for name in names:
        (tmp_path / f"{name}.wav").touch()
    for path in ("VideoDemographics.csv", f"processedResults/{table}"):
        (tmp_path / Path(path).name).symlink_to(real / path)
    intended = clips("crema-d", str(tmp_path))
    assert len(intended) == DATASETS["crema-d"].clip_count
    assert len({c.speaker for c in intended}) == DATASETS["crema-d"].speaker_count
    per_class = Counter(c.emotion for c in intended)
    assert per_class == {e: 1087 if e == "neutral" else 1271 for e in DATASETS["crema-d"].emotions}
    # The corpus's README: 48 male and 43 female actors.
    sexes = Counter({c.speaker: c.traits["sex"] for c in intended}.values())
    assert sexes == {"male": 48, "female": 43}
    with caplog.at_level(logging.WARNING):
        perceived = clips("crema-d", str(tmp_path), label="perceived")
    assert len(perceived) == 7022  # single-letter MultiModalVote in the summary table
    assert Counter(c.emotion for c in perceived)["sad"] == 589
    assert "left out 420 of 7442" in caplog.text


# --- MSP-IMPROV --------------------------------------------------------------------------------

EVALUATION = """UTD-IMPROV-S01A-F01-P-FM01.avi; A; A:2.80; V:2.60; D:3.40 ; N:3.20;
ID-13; Angry; Frustrated,; A:3.000000; V:2.000000; D:3.000000 ; N:4.000000;
ID-27; Other; tired; A:2.000000; V:3.000000; D:NaN ; N:2.000000;

UTD-IMPROV-S02H-M03-T-MF02.avi; H; A:3.500000; V:NaN; D:3.000000 ; N:NaN;
UTD-IMPROV-S02H-M03-T-MF03.avi; X; A:3.500000; V:3.00; D:3.000000 ; N:NaN;
UTD-IMPROV-S02H-M03-T-MF04.avi; O; A:3.500000; V:3.00; D:3.000000 ; N:NaN;
"""
IMPROV = {
    f"session{s}/{x}": ""
    for s, x in (
        (1, "S01A/P/MSP-IMPROV-S01A-F01-P-FM01.avi"),
        (1, "S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav"),
        (3, "S02H/T/MSP-IMPROV-S02H-M03-T-MF02.wav"),
        (3, "S02H/T/MSP-IMPROV-S02H-M03-T-MF03.wav"),
        (3, "S02H/T/MSP-IMPROV-S02H-M03-T-MF04.wav"),
        (3, "S02H/T/MSP-IMPROV-S02H-M03-T-MF05.wav"),
    )
}


@pytest.mark.parametrize("name", ["Evaluation.txt", "labels/Evalution.txt"])
def test_msp_improv(write, caplog, name):
    source = write(IMPROV | {name: EVALUATION})
    with caplog.at_level(logging.WARNING):
        first, second = clips("msp-improv", source)
    assert "left out 3 of 5 clips" in caplog.text
    assert first.clip_id == "MSP-IMPROV-S01A-F01-P-FM01"
    assert (first.speaker, first.session, first.emotion) == ("F01", "1", "angry")
    assert (first.activation, first.valence) == (2.8, 2.6)
    assert first.video.endswith(".avi")
    assert first.audio.endswith(".wav")
    assert (second.speaker, second.session, second.emotion) == ("M03", "3", "happy")
    assert (second.activation, second.valence) == (3.5, None)
    assert (second.traits["sex"], second.traits["scenario"]) == ("male", "T")


def test_msp_improv_mistakes(write):
    source = write(IMPROV)
    assert "no Evaluation.txt" in refused("msp-improv", source)
    write({"Evaluation.txt": "something else\n"})
    assert "no line like" in refused("msp-improv", source)


# --- one's own clips ---------------------------------------------------------------------------

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


def test_csv_joins_the_formats_of_a_clip(write):
    source = write({"a.mp4": "", "a.wav": "", "clips.csv": "path,emotion,speaker\na.mp4,sad,x\n"})
    write({"clips.csv": "path,emotion,speaker\na.mp4,sad,x\na.wav,sad,x\n"})
    (clip,) = clips("folder", source)
    assert (Path(clip.video).name, Path(clip.audio).name) == ("a.mp4", "a.wav")
    write({"clips.csv": "path,emotion,speaker\na.mp4,sad,x\na.wav,happy,x\n"})
    assert "different labels" in refused("folder", source)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("path,emotion\nc.MP4,sad\n", "no column speaker"),
        ("path;emotion;speaker\nc.MP4;sad;x\n", "no column path, emotion, speaker"),
        ("", "no column"),
        ("path,emotion,speaker\n", "no row"),
        ("path,emotion,speaker\nc.MP4,sadd,x\n", "row 2: unknown emotion 'sadd'; did you mean"),
        ("path,emotion,speaker\n\nc.MP4,glee,x\n", "row 3: unknown emotion 'glee'"),
        ("path,emotion,speaker\nc.MP4,sad,\n", "row 2: no speaker"),
        ("path,emotion,speaker\nd.mp4,sad,x\n", "row 2: no file"),
        ("path,emotion,speaker\nlabels.csv,sad,x\n", "no audio, video or image"),
        ("path,emotion,speaker\nc.MP4,sad,x,y\n", "row 2: 4 fields"),
        ("path,emotion,speaker,start,end\nc.MP4,sad,x,2,1\n", "are no interval"),
        ("path,emotion,speaker,start\nc.MP4,sad,x,0:30\n", "start is '0:30', not a number"),
        ("path,emotion,speaker,valence\nc.MP4,sad,x,inf\n", "valence is 'inf'"),
        ("path,emotion,speaker\nc.MP4,sad,x\nc.MP4,sad,x\n", "twice"),
    ],
)
def test_csv_mistakes(write, table, told):
    assert told in refused("folder", write(OWN | {"labels.csv": table}))


def test_csv_in_another_encoding(write):
    source = write(OWN)
    (Path(source) / "labels.csv").write_bytes(b"path,emotion,speaker\nc.MP4,sad,J\xfcrgen\n")
    assert "UTF-8" in refused("folder", source)


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
    ("path", "told"),
    [
        ("fear/01.wav", "the speaker is unknown"),
        ("train/fear/01.wav", "train looks like a split, not a speaker"),
        ("fear/test_01.wav", "test looks like a split, not a speaker"),
        ("ben/feer/01.wav", "unknown emotion 'feer'; did you mean"),
        ("01.wav", "are not in the path"),
        ("notes.txt", "no file of folder"),
    ],
)
def test_folder_mistakes(write, path, told):
    assert told in refused("folder", write({path: ""}))

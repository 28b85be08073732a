"""Label files: votes, evaluation files and the user's own tables, valid and damaged."""

from __future__ import annotations

import csv
import logging
from collections import Counter
from pathlib import Path

import pytest
from places import DATA

from emorec_tf.config.clip import EMOTIONS
from emorec_tf.datasets.corpora import DATASETS, clips
from emorec_tf.datasets.emotion_names import ALIASES, emotion_named
from emorec_tf.errors import UserError


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


def test_crema_d_mistakes(write, refused):
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


def test_msp_improv_mistakes(write, refused):
    source = write(IMPROV)
    assert "no Evaluation.txt" in refused("msp-improv", source)
    write({"Evaluation.txt": "something else\n"})
    assert "no line like" in refused("msp-improv", source)

"""Protocols: as published, nested, hashed; independent of order; shrinking leaves a note."""

from __future__ import annotations

import csv
import random
import shutil

import pytest
from places import DATA

from emorec_tf.config.clip import Clip
from emorec_tf.datasets import corpora
from emorec_tf.errors import UserError
from emorec_tf.splits import protocols
from emorec_tf.splits.leaks import guard
from emorec_tf.splits.protocols import folds, manifest, names

ACTORS = [str(i) for i in range(1, 25)]
GENERIC = ("loso_session", "group_kfold", "group_kfold:3", "leaky_kfold", "leaky_kfold:4")


def made(speakers, count=60, **fields) -> list[Clip]:
    return [
        Clip(f"{speaker}-{i:02d}", speaker, "happy", **fields)
        for speaker in speakers
        for i in range(count)
    ]


def complete(name: str) -> list[Clip]:
    """Clips of all speakers in a manifest, as many as it states."""
    content = manifest(name)
    speakers = content["speakers"]
    return [
        Clip(f"{speakers[i % len(speakers)]}-{i}", speakers[i % len(speakers)], "happy")
        for i in range(content["clips"])
    ]


def refused(*args, **kwargs) -> str:
    with pytest.raises(UserError) as error:
        folds(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_manifests_are_listed():
    assert names() == [
        "crema-d/contiguous5",
        "emodb/loso10",
        "fer2013/official",
        "msp-improv/loso6",
        "ravdess/chumachenko1",
        "ravdess/contiguous6",
        "ravdess/emobox6",
        "ravdess/loso24",
        "ravdess/luna5",
        "ravdess/seed_actors_21_24",
        "savee/loso4",
    ]


@pytest.mark.parametrize("name", names())
def test_manifest_on_complete_data(name):
    content = manifest(name)
    assert content["sha256"] == protocols.digest(name, content)
    corpus = corpora.DATASETS[name.split("/")[0]]
    assert len(content["speakers"]) == corpus.speaker_count or (
        sorted(content["speakers"]) == sorted(corpus.parts)
    )
    assert content["clips"] == corpora.DATASETS[name.split("/")[0]].clip_count
    found, notes = folds(name, complete(name), allow_partial=False)
    assert notes == []
    one_of_many = name.endswith(("loso10", "loso24", "21_24", "official"))
    assert one_of_many or len(found) == int(name[-1])
    tested = [s for fold in found for s in fold.test]
    if len(found) > 1:
        assert sorted(tested) == sorted(content["speakers"])  # every speaker once
    for fold, written in zip(found, content["folds"], strict=True):
        assert list(fold.test) == written["test"]
        assert list(fold.validation) == written["validation"]
        assert sorted(fold.train + fold.validation + fold.test) == sorted(content["speakers"])


@pytest.mark.parametrize(
    "name", [n for n in names() if not n.startswith(("savee", "crema", "fer"))]
)
def test_validation_has_as_many_men_as_women(name):
    men = corpora.DATASETS[name.split("/")[0]].men
    for fold in manifest(name)["folds"]:
        assert 2 * sum(s in men for s in fold["validation"]) == len(fold["validation"])


@pytest.mark.data("crema_d")
def test_crema_d_validation_has_as_many_men_as_women():
    with (DATA / "crema_d" / "VideoDemographics.csv").open() as file:
        sex = {row["ActorID"]: row["Sex"] for row in csv.DictReader(file)}
    assert sorted(sex) == manifest("crema-d/contiguous5")["speakers"]
    for fold in manifest("crema-d/contiguous5")["folds"]:
        assert sorted(sex[s] for s in fold["validation"]) == ["Female"] * 4 + ["Male"] * 4


def test_groups_are_the_published_ones():
    def groups(name):
        return [[int(s) for s in fold["test"]] for fold in manifest(f"ravdess/{name}")["folds"]]

    assert groups("contiguous6") == [list(range(i, i + 4)) for i in range(1, 25, 4)]
    assert groups("emobox6")[0] == [1, 11, 20, 21]
    assert groups("emobox6")[5] == [6, 13, 17, 22]
    assert groups("luna5")[3] == [8, 17, 21, 23, 24]
    assert groups("chumachenko1") == [[5, 10, 16, 19]]
    assert manifest("ravdess/chumachenko1")["folds"][0]["validation"] == ["11", "13", "18", "22"]
    crema = [(f["test"][0], f["test"][-1]) for f in manifest("crema-d/contiguous5")["folds"]]
    assert crema[0] == ("1001", "1018")
    assert crema[4] == ("1073", "1091")


def test_a_changed_manifest_is_refused(tmp_path, monkeypatch):
    shutil.copytree(protocols.FOLDER, tmp_path / "manifests")
    file = tmp_path / "manifests" / "savee_loso4.yaml"
    file.write_text(file.read_text().replace("validation: ['JE']", "validation: ['JK']"))
    monkeypatch.setattr(protocols, "FOLDER", tmp_path / "manifests")
    manifest.cache_clear()
    try:
        assert "edited by hand" in refused("savee/loso4", made(["DC", "JE", "JK", "KL"]))
        assert folds("emodb/loso10", complete("emodb/loso10"))[1] == []
    finally:
        manifest.cache_clear()


def test_missing_actors_shrink_the_folds_with_a_note():
    clips = made(ACTORS[:20])
    found, notes = folds("ravdess/contiguous6", clips)
    assert [f.test[0] for f in found] == ["1", "5", "9", "13", "17"]
    assert notes == [
        "1200 of the 1440 clips of ravdess/contiguous6 are in the data",
        "fold named 5: speakers 1, 2 validate in place of speakers 21, 22, not in the data",
        "fold named 6 left out: speakers 21, 22, 23, 24 are not in the data",
    ]
    assert found[4].validation == ("1", "2")
    assert len(found[4].train) == 14
    luna, notes = folds("ravdess/luna5", clips)
    assert luna[3].test == ("8", "17")
    note = "fold named 4 tests only speakers 8, 17: speakers 21, 23, 24 are not in the data"
    assert note in notes
    assert "1200 of the 1440" in refused("ravdess/contiguous6", clips, allow_partial=False)


def test_baseline_actors_fall_back_to_earlier_ones():
    whole = folds("ravdess/seed_actors_21_24", made(ACTORS))
    assert whole[0][0].test == ("21", "22", "23", "24")
    assert whole[1] == []
    some, _ = folds("ravdess/seed_actors_21_24", made(ACTORS[:22]))
    assert some[0].test == ("21", "22")
    none, notes = folds("ravdess/seed_actors_21_24", made(ACTORS[:20]))
    assert none[0].test == ("17", "18", "19", "20")
    assert none[0].validation == ("1", "2")
    assert notes[1] == (
        "fold named 1 tests speakers 17, 18, 19, 20 instead: "
        "speakers 21, 22, 23, 24 are not in the data"
    )


@pytest.mark.data("ravdess/clips")
def test_real_ravdess():
    clips = corpora.clips("ravdess", str(DATA / "ravdess" / "clips"))
    found, notes = folds("ravdess/contiguous6", clips)
    assert len(found) == 5
    assert notes[-1].startswith("fold named 6 left out")
    for fold in found:
        subsets = fold.clips(clips)
        assert len(subsets["test"]) == 240
        assert len(subsets["validation"]) == 120
        guard(subsets, {})


def test_unknown_speakers_are_left_out_with_a_note():
    found, notes = folds("ravdess/loso24", made([*ACTORS, "99"]))
    assert notes == ["speaker 99 left out: not in ravdess/loso24"]
    assert not any("99" in f.train + f.validation + f.test for f in found)
    assert "has none of the speakers" in refused("ravdess/loso24", made(["anna", "berta"]))


def test_speakers_of_a_manifest_in_another_spelling():
    content = manifest("ravdess/loso24")
    assert content["speakers"][0] == "1"
    found, notes = folds("ravdess/loso24", made([f"{int(actor):02d}" for actor in ACTORS]))
    assert notes == []
    assert [f.test for f in found][:2] == [("01",), ("02",)]
    assert all(len(f.train + f.validation + f.test) == 24 for f in found)


@pytest.mark.parametrize("protocol", [*names(), *GENERIC])
def test_any_subset_of_the_data_gives_valid_folds_or_one_line(protocol):
    draw = random.Random(protocol)
    speakers = manifest(protocol)["speakers"] if protocol in names() else ACTORS
    refusals = 0
    for _ in range(40):
        clips = []
        for speaker in draw.sample(speakers, draw.randint(1, len(speakers))):
            session = str(len(speaker) + speakers.index(speaker) % 5)
            sex = {"sex": draw.choice(["male", "female"])}
            clips += made([speaker], draw.randint(1, 3), session=session, traits=sex)
        try:
            found, _ = folds(protocol, clips)
        except UserError:
            refusals += 1
            continue
        draw.shuffle(clips)
        assert folds(protocol, clips)[0] == found  # the order of a listing does not matter
        for fold in found:
            guard(fold.clips(clips), {}, leaky=fold.leaky)
        tested = [name for fold in found for name in fold.test]
        assert len(tested) == len(set(tested))
        if protocol not in names():
            whole = {c.clip_id if found[0].leaky else c.speaker for c in clips}
            assert set(tested) == whole
    assert refusals < 40


@pytest.mark.parametrize(
    ("protocol", "hint"),
    [
        ("ravdess/contigous6", "did you mean 'ravdess/contiguous6'"),
        ("group_kfol", "did you mean 'group_kfold'"),
        ("group_kfold:1", "K a whole number from 2"),
        ("group_kfold:many", "K a whole number from 2"),
        ("leaky_kfold:-3", "K a whole number from 2"),
        ("loso_session:4", "write loso_session alone"),
        ("group_kfold:25", "at least 25 speakers, the data has 24"),
        ("savee/loso4", "has none of the speakers"),
        ("../secrets", "unknown protocol"),
        ("", "unknown protocol"),
    ],
)
def test_mistakes_are_refused_in_one_line(protocol, hint):
    assert hint in refused(protocol, made(ACTORS))

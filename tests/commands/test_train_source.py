"""train --source: from a folder of clips to a scored model, for few and for unknown speakers."""

from __future__ import annotations

import json
import shlex
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest

from emorec_tf.datasets.corpora import clips
from emorec_tf.errors import UserError
from emorec_tf.evaluation import crossvalidation
from emorec_tf.predict import main as predict_main
from emorec_tf.report import main as report_main
from emorec_tf.ship import main as ship_main
from emorec_tf.train import main as train_main
from emorec_tf.training import run_dir

SMALL = ("--face_frames=2", "--face_pixels=48", "--sample_rate_hz=8000", "--mel_max_hz=4000")
QUICK = (
    *SMALL[2:], "--clip_seconds=0.5", "--face_frames=0", "--fusion=audio_only",
    "--audio=functionals", "--classifier=lda(shrinkage=0.3)", "--refit", "--batch_size=2",
)  # fmt: skip
TONES = {"neutral": 200, "happy": 700}
COMMANDS = {"predict": predict_main, "report": report_main, "ship": ship_main}


def tones(folder: Path, *paths: str) -> Path:
    """Write half a second of a tone per class, with noise of its own, for each path."""
    for number, path in enumerate(paths):
        draw = np.random.default_rng(number)
        emotion = next(name for name in TONES if name in path)
        time = np.arange(4000) / 8000
        heard = 0.3 * np.sin(2 * np.pi * TONES[emotion] * time) + draw.normal(0, 0.02, 4000)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(folder / path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes((heard * 32767).astype("<i2").tobytes())
    return folder


def of_people(folder: Path, *speakers: str) -> Path:
    names = [f"{s}/{e}/{take}.wav" for s in speakers for e in TONES for take in (1, 2, 3)]
    return tones(folder, *names)


def facts_of(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_one_command_to_a_scored_model_and_what_is_next_runs(
    demo_clips: Path, here: Path, capsys: pytest.CaptureFixture[str]
):
    (here / "my clips").mkdir()
    for file in sorted((demo_clips / "clips").glob("actor0[1-3]_*.mp4")):
        speaker, emotion, take = file.stem.split("_")
        place = here / "my clips" / speaker / emotion
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place / f"{take}.mp4")
    arguments = ["--source", "my clips", *SMALL]
    assert train_main(arguments) == 0
    said = capsys.readouterr().out
    assert "my clips looks like folder (18 files of own names)" in said
    assert "18 clips, 3 speakers, 3 classes: neutral 6, happy 6, sad 6" in said
    assert "recipe small_data" in said
    run = run_dir.load("runs/my-clips")
    assert (run.split.test, set(run.steps)) == ((), set(run.steps))
    assert {name.partition("-")[0] for name in run.steps} == {
        "small_data_audio", "small_data_face"
    }  # fmt: skip
    assert facts_of(Path("runs/my-clips-cv/crossval.json"))["protocol"] == "group_kfold:3"
    kept = facts_of(run.folder / "temperature.json")
    assert kept["fitted_to"] == "out-of-fold predictions of my-clips-cv"
    lines = [line.removeprefix("next: ") for line in said.splitlines() if line[:5] == "next:"]
    for line in lines:
        _, _, module, *words = shlex.split(line)
        assert COMMANDS[module.removeprefix("emorec_tf.")](words) == 0, line
    shipped = facts_of(Path("saved_models/my-clips/temperature.json"))
    assert shipped["temperature"] == pytest.approx(kept["temperature"])
    before = run.model_file.read_bytes()
    capsys.readouterr()
    assert train_main(arguments) == 0, "the same command goes on"
    assert "is finished" in capsys.readouterr().out
    assert run.model_file.read_bytes() == before


def test_two_speakers_are_each_tested_once(here: Path, capsys: pytest.CaptureFixture[str]):
    of_people(here / "two", "anna", "ben")
    assert train_main(["--source", "two", *QUICK]) == 0
    said = capsys.readouterr().out
    assert "two speakers: each is tested once by a model of the other" in said
    facts = facts_of(Path("runs/two-cv/crossval.json"))
    assert [fold["test"] for fold in facts["folds"]] == [["anna"], ["ben"]]
    assert not facts["leaky"]
    split = run_dir.load("runs/two").split
    assert {*split.train, *split.validation} == {"anna", "ben"}


def test_one_speaker_gets_a_model_and_a_plain_answer(
    here: Path, capsys: pytest.CaptureFixture[str]
):
    of_people(here / "one", "anna")
    assert train_main(["--source", "one", *QUICK]) == 0
    said = capsys.readouterr().out
    assert "one speaker: no cross-validation" in said
    assert "UAR" not in said.partition("model: runs/one")[2]
    assert not Path("runs/one-cv").exists()
    assert run_dir.load("runs/one").is_finished()
    tones(here / "one", "anna/happy/4.wav")
    assert train_main(["--source", "one", *QUICK]) == 1, "these are other clips"
    assert "--overwrite" in capsys.readouterr().err


def test_unknown_speakers_only_on_request_and_stamped(
    here: Path, capsys: pytest.CaptureFixture[str]
):
    names = [f"{emotion}/{take}.wav" for emotion in TONES for take in range(5)]
    tones(here / "clips", *names)
    assert train_main(["--source", "clips", *QUICK]) == 1
    assert "--speakers clips, whose scores are LEAKY" in capsys.readouterr().err
    assert train_main(["--source", "clips", "--speakers=clips", *QUICK]) == 0
    said = capsys.readouterr().out
    assert "speakers not known" in said
    assert "LEAKY: no score for new speakers" in said
    assert ".ship" not in said
    stored = facts_of(Path("runs/clips/run.json"))
    assert stored["split"]["leaky"]
    assert stored["source"]["speakers"] == "clips"
    assert facts_of(Path("runs/clips-cv/crossval.json"))["leaky"]
    assert report_main(["--run", "runs/clips-cv", "--out", "page.html"]) == 0
    assert "LEAKY" in Path("page.html").read_text(encoding="utf-8")
    run = run_dir.load("runs/clips")
    from emorec_tf.evaluation.run_card import short_card
    from emorec_tf.training.experiment import resolve

    assert "LEAKY" in short_card(run)
    settings, records = resolve({"records": run.config.data.records})
    with pytest.raises(UserError, match="leaky_kfold"):
        crossvalidation.plan(settings, records, "group_kfold:3")


def test_named_test_speakers_make_one_split(here: Path, capsys: pytest.CaptureFixture[str]):
    of_people(here / "three", "anna", "ben", "cleo")
    assert train_main(["--source", "three", "--test_speakers=cleo", *QUICK]) == 0
    said = capsys.readouterr().out
    assert "test_speakers given: one split, no cross-validation" in said
    assert facts_of(Path("runs/three/metrics.json"))["test_speakers"] == ["cleo"]
    assert "emorec_tf.evaluate --run runs/three" in said


def test_a_table_without_speakers(here: Path):
    tones(here, "happy1.wav", "neutral1.wav")
    table = here / "own.csv"
    table.write_text("path;label\nhappy1.wav;happy\nneutral1.wav;neutral\n")
    found = clips("folder", str(table), columns="emotion=label", speakers="clips")
    assert [(clip.clip_id, clip.speaker) for clip in found] == [
        ("happy1", "happy1"), ("neutral1", "neutral1")
    ]  # fmt: skip
    with pytest.raises(UserError, match="no column speaker"):
        clips("folder", str(table), columns="emotion=label")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dataset=ravdess"], "dataset ravdess needs its clips: give train --source FOLDER"),
        (["--source=a", "--records=b"], "not both"),
        (["--speakers=clips"], "say how --source is read"),
        (["--source=nowhere"], "does not exist"),
    ],
)
def test_wrong_inputs_are_refused_at_once(
    words: list[str], said: str, here: Path, capsys: pytest.CaptureFixture[str]
):
    assert train_main(words) == 1
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
    assert not list(here.iterdir())

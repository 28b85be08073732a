"""crossval: folds are trained, killed, resumed, distributed and joined; leaks are marked."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from emorec_tf.config.sections import FeaturesConfig
from emorec_tf.crossval import main as crossval_main
from emorec_tf.evaluation import comparison, crossval_files
from emorec_tf.predict import main as predict_main
from emorec_tf.records import records_dir
from emorec_tf.records.corruptions import conditions
from emorec_tf.storage import locks
from emorec_tf.storage.files import read_csv, rows_to_csv
from emorec_tf.tasks import calibration
from emorec_tf.training import logits as answers
from emorec_tf.training import run_dir

CLASSES = ["neutral", "happy", "sad"]
FLAGS = [
    "--audio=conv1d(filters=8, blocks=2)",
    "--face=alexnet(width=0.1, dense=8)",
    "--batch_size=4",
    "--epochs=2",
]


def command(records: Path, folder: Path, *more: str) -> list[str]:
    where = ["--records", str(records), "--run", str(folder), "--protocol=group_kfold:2"]
    return [*where, "--seeds=1", *FLAGS, *more]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def facts_of(folder: Path) -> dict:
    return json.loads((folder / "crossval.json").read_text())


@pytest.fixture(scope="module")
def finished(demo_records: Path, tmp_path_factory) -> Path:
    """Two folds with one random seed."""
    folder = tmp_path_factory.mktemp("cv") / "cv"
    assert crossval_main(command(demo_records, folder)) == 0
    return folder


def test_joined_predictions_are_those_of_the_folds(finished: Path, demo_records: Path):
    joined = rows_of(finished / "predictions.csv")
    parts = []
    for fold in ("1", "2"):
        rows = rows_of(crossval_files.fold_folder(finished, 0, fold) / "predictions.csv")
        parts += [{**row, "seed": "0", "fold": fold} for row in rows]
    assert sorted(joined, key=str) == sorted(
        ({key: row[key] for key in joined[0]} for row in parts), key=str
    )
    head = ["clip_id", "speaker", "label", "seed", "fold", "audio_present", "faces_found"]
    assert list(joined[0]) == head + CLASSES
    clips = records_dir.open_records(demo_records).clips
    assert sorted(r["clip_id"] for r in joined) == sorted(c.clip_id for c in clips), "each once"
    tested = {fold["name"]: fold["test"] for fold in facts_of(finished)["folds"]}
    assert all(row["speaker"] in tested[row["fold"]] for row in joined)


def test_scores_follow_from_the_joined_predictions(finished: Path):
    found = json.loads((finished / "metrics.json").read_text())
    rows = rows_of(finished / "predictions.csv")
    shares = np.array([[float(r[c]) for c in CLASSES] for r in rows])
    guesses, labels = [CLASSES[i] for i in shares.argmax(1)], [r["label"] for r in rows]
    assert found["uar"] == pytest.approx(balanced_accuracy_score(labels, guesses))
    assert found["war"] == pytest.approx(accuracy_score(labels, guesses))
    assert found["uar_ci95"][0] <= found["uar"] <= found["uar_ci95"][1]
    assert found["uar_per_seed"] == {"0": found["uar"]}
    assert found["uar_spread"] is None, "one seed has no spread"
    assert found["coverage"] == {
        "clips": 24,
        "planned": 24,
        "without_voice": sum(r["audio_present"] == "0" for r in rows),
        "without_face": sum(r["faces_found"] == "0" for r in rows),
        "folds_done": 2,
        "folds_planned": 2,
    }
    assert (found["mode"], found["leaky"], found["protocol"]) == ("unseen", False, "group_kfold:2")
    assert comparison.read(finished).classes == tuple(CLASSES)


def test_facts_that_the_report_needs(finished: Path):
    facts = facts_of(finished)
    keys = """protocol protocol_stamp notes leaky mode enrol seeds folds done config dataset licence
        label_meaning classes parameters seconds versions machine command"""
    assert set(keys.split()) <= set(facts)
    assert facts["done"] == [[0, "1"], [0, "2"]]
    assert set(facts["versions"]) == {"emorec_tf", "tensorflow", "keras", "python"}
    assert facts["classes"] == CLASSES
    assert facts["parameters"] > 0
    assert facts["seconds"] > 0
    rows = rows_of(finished / "robustness.csv")
    assert list(rows[0]) == ["condition", "seed", "fold", "n", "uar", "war"]
    assert [row["condition"] for row in rows] == [*conditions(FeaturesConfig())] * 2
    clean = {row["fold"]: float(row["uar"]) for row in rows if row["condition"] == "clean"}
    for fold, uar in clean.items():
        file = crossval_files.fold_folder(finished, 0, fold) / "metrics.json"
        assert json.loads(file.read_text())["uar"] == pytest.approx(uar)


def of_validation_speakers(folder: Path) -> float:
    """Refit the temperature of a run to the logits of its validation speakers."""
    loaded = run_dir.load(folder)
    records = records_dir.open_records(str(loaded.config.data.records))
    clips = [c for c in records.clips if c.speaker in loaded.split.validation]
    batches = answers.ClipBatches(records, clips)
    logits, clips = answers.logits_of(run_dir.load_model(loaded.model_file), batches)
    fitted = calibration.temperature(
        logits, np.array([loaded.classes.index(c.emotion) for c in clips])
    )
    return calibration.shrunk(fitted, len(loaded.split.validation), len(clips), len(loaded.classes))


def test_temperature_is_fitted_to_validation_speakers(finished: Path):
    for row in rows_of(finished / "temperatures.csv"):
        folder = crossval_files.fold_folder(finished, int(row["seed"]), row["fold"])
        fitted = json.loads((folder / "temperature.json").read_text())
        assert fitted["temperature"] == pytest.approx(of_validation_speakers(folder), rel=1e-3)
        assert fitted["validation_clips"] == 6
        assert float(row["temperature"]) == pytest.approx(fitted["temperature"], rel=1e-5)
        scored = json.loads((folder / "metrics.json").read_text())
        assert float(row["nll_after"]) == pytest.approx(scored["nll"], rel=1e-5)
        assert float(row["ece_before"]) == pytest.approx(scored["ece_before"], rel=1e-5)
    assert set(row) == {"seed", "fold", "temperature"} | {
        f"{name}_{when}" for name in ("ece", "nll") for when in ("before", "after")
    }


@pytest.mark.slow
def test_another_seed_extends_the_existing_results(
    finished: Path, demo_records: Path, tmp_path: Path, capsys
):
    folder = tmp_path / "cv"
    shutil.copytree(finished, folder)
    models = {p: p.read_bytes() for p in folder.rglob("*.keras")}
    assert crossval_main(command(demo_records, folder, "--seeds=2", "--folds=1")) == 0
    facts = facts_of(folder)
    assert facts["done"] == [[0, "1"], [0, "2"], [1, "2"]]
    assert all(path.read_bytes() == data for path, data in models.items())
    found = json.loads((folder / "metrics.json").read_text())
    assert found["uar_spread"] == pytest.approx(np.std([*found["uar_per_seed"].values()], ddof=1))
    assert found["n"] == 36
    assert found["coverage"]["folds_planned"] == 4
    assert "3 of 4 done" in capsys.readouterr().out
    (folder / "metrics.json").unlink()  # all can be joined again without records or TensorFlow
    crossval_files.join(folder)
    assert json.loads((folder / "metrics.json").read_text()) == found


@pytest.mark.slow
def test_a_killed_run_resumes_in_its_fold(demo_records: Path, tmp_path: Path, capsys):
    folder = tmp_path / "cv"
    arguments = command(demo_records, folder, "--fusion=audio_only", "--epochs=8")
    process = subprocess.Popen(
        [sys.executable, "-m", "emorec_tf.crossval", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    second = crossval_files.fold_folder(folder, 0, "2")
    while not (second / "best.keras").exists() and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert facts_of(folder)["done"] == [[0, "1"]]
    assert len(rows_of(second / "history.csv")) < 8, "killed too late to test anything"
    before = (crossval_files.fold_folder(folder, 0, "1") / "best.keras").stat().st_mtime_ns
    assert crossval_main(arguments) == 0
    assert "going on after epoch" in capsys.readouterr().out
    assert facts_of(folder)["done"] == [[0, "1"], [0, "2"]]
    assert len(rows_of(second / "history.csv")) == 8
    assert (crossval_files.fold_folder(folder, 0, "1") / "best.keras").stat().st_mtime_ns == before


@pytest.mark.slow
def test_leaky_folds_are_marked(demo_records: Path, tmp_path: Path, capsys):
    folder = tmp_path / "cv"
    more = ["--protocol=leaky_kfold:2", "--folds=0", "--fusion=audio_only"]
    assert crossval_main(command(demo_records, folder, *more)) == 0
    out = capsys.readouterr().out
    assert "note: LEAKY" in out
    assert "LEAKY: no score for new speakers" in out
    for file in (folder / "crossval.json", *folder.rglob("metrics.json")):
        assert json.loads(file.read_text())["leaky"] is True
    facts = facts_of(folder)
    assert any("LEAKY" in note for note in facts["notes"])
    subsets = next(fold for fold in facts["folds"] if fold["name"] == "1")
    assert {r["clip_id"] for r in rows_of(folder / "predictions.csv")} == set(subsets["test"])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--protocol=ravdes/contiguous6"], "ravdess/contiguous6"),
        (["--protocol=savee/loso4"], "has none of the speakers"),
        (["--protocol=group_kfold:9"], "at least 9 speakers"),
        (["--folds=0,7"], "'7' is none; there are 0 (named 1), 1 (named 2)"),
        (["--seeds=0"], "at least 1"),
        (["--enrol=6"], "leaves none to score"),
        (["--protocol=leaky_kfold:2", "--enrol=self"], "no meaning"),
        (["--fusion=concatt"], "concat"),
        (["--epochs=3"], "epochs was 2, is 3"),
        (["--protocol=group_kfold:3"], "of other folds"),
    ],
)
def test_wrong_calls_are_refused_in_one_line(
    more, said, finished: Path, demo_records: Path, capsys
):
    before = {p: p.read_bytes() for p in finished.rglob("*.json")}
    assert crossval_main(command(demo_records, finished, *more)) == 1
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
    assert {p: p.read_bytes() for p in finished.rglob("*.json")} == before


def test_protocols_are_named_where_none_is_given(demo_records: Path, capsys):
    assert crossval_main(["--records", str(demo_records)]) == 1
    assert "group_kfold" in capsys.readouterr().err


def test_a_foreign_folder_is_left_unchanged(demo_records: Path, tmp_path: Path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert crossval_main(command(demo_records, tmp_path, "--overwrite")) == 1
    assert "is no cross-validation" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_network_that_cannot_be_built_leaves_nothing_behind(
    demo_records: Path, tmp_path: Path, capsys
):
    assert crossval_main(command(demo_records, tmp_path / "cv", "--face=landmark_distances")) == 1
    assert "prepare with --face_mesh" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_damaged_plan_is_named_and_written_again(
    finished: Path, demo_records: Path, tmp_path, capsys
):
    folder = tmp_path / "cv"
    shutil.copytree(finished, folder)
    (folder / "crossval.json").write_text("{")
    assert crossval_main(command(demo_records, folder)) == 1
    assert "is damaged; delete it" in capsys.readouterr().err
    (folder / "crossval.json").unlink()
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*.keras")}
    assert crossval_main(command(demo_records, folder)) == 0
    assert (folder / "predictions.csv").read_text() == (finished / "predictions.csv").read_text()
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*.keras")} == before
    (folder / "crossval.json").unlink()
    assert crossval_main(command(demo_records, folder, "--epochs=3")) == 1
    assert "has other settings" in capsys.readouterr().err


def test_equal_audio_in_two_subsets_is_refused(demo_records: Path, tmp_path: Path, capsys):
    copy = tmp_path / "records"
    shutil.copytree(demo_records, copy)
    rows = read_csv(copy / records_dir.REPORT)
    rows[-1]["audio_sha256"] = rows[0]["audio_sha256"]
    (copy / records_dir.REPORT).write_text(rows_to_csv(rows))
    assert crossval_main(command(copy, tmp_path / "cv")) == 1
    assert "leak: fold of this run: the same audio under two names" in capsys.readouterr().err
    assert not (tmp_path / "cv").exists()


def test_two_processes_do_not_share_a_fold(finished: Path, demo_records: Path, capsys):
    lock = crossval_files.fold_folder(finished, 1, "1").with_name(".fold-1.lock")
    with locks.alone(lock):
        more = ["--seeds=2", "--folds=0"]
        assert crossval_main(command(demo_records, finished, *more)) == 1
    assert "another process is at work on fold 0 (named 1) of seed 1" in capsys.readouterr().err


def test_predict_may_abstain(demo_run: Path, demo_clips: Path, capsys):
    videos = sorted(str(p) for p in (demo_clips / "clips").glob("actor04_*.mp4"))
    answered = {}
    for below in ("0", "1"):
        flags = ["--run", str(demo_run), "--json", "--abstain_below", below]
        assert predict_main([*flags, *videos]) == 0
        answered[below] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {answer["emotion"] for answer in answered["1"]} == {"unsure"}
    assert {answer["emotion"] for answer in answered["0"]} <= set(CLASSES)
    for sure, unsure in zip(answered["0"], answered["1"], strict=True):
        assert sure["probabilities"] == unsure["probabilities"]
    assert predict_main(["--run", str(demo_run), "--abstain_below=2", *videos]) == 1
    assert "abstain_below is 2.0; it must be 0 to 1" in capsys.readouterr().err

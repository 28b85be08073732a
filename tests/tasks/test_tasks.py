"""Activation (arousal) and valence, as bins and as ratings, from labels to the report."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from conftest import FEATURE_FLAGS, TRAIN_FLAGS
from scipy.stats import pearsonr
from sklearn.metrics import root_mean_squared_error

from emorec_tf import report
from emorec_tf.config.clip import Clip
from emorec_tf.config.config import Config, DataConfig, FeaturesConfig, build
from emorec_tf.crossval import main as crossval_main
from emorec_tf.crossval import print_table
from emorec_tf.datasets.labels import classes_of, labelled, left_out
from emorec_tf.errors import UserError
from emorec_tf.evaluate import main as evaluate_main
from emorec_tf.evaluation import comparison, crossval_files
from emorec_tf.predict import main as predict_main
from emorec_tf.prepare import main as prepare_main
from emorec_tf.records.corruptions import conditions
from emorec_tf.records.records_dir import open_records
from emorec_tf.storage.files import read_csv
from emorec_tf.tasks import tasks
from emorec_tf.train import main as train_main
from emorec_tf.training import run_dir

NET = TRAIN_FLAGS[:2]
VALENCE, RATED = (
    DataConfig(target="valence"),
    DataConfig(target="valence", target_scale="continuous"),
)


def rated(*ratings: float | None) -> list[Clip]:
    return [Clip(f"c{n}", "1", "sad", valence=value) for n, value in enumerate(ratings)]


# --- labels ------------------------------------------------------------------------------------


def test_bins_use_the_cuts_of_the_original_systems():
    clips = labelled(rated(1, 2.5, 2.51, 3, 3.49, 3.5, None, 5), VALENCE)
    bins = ["negative"] * 2 + ["neutral"] * 3 + ["positive"] * 2
    assert [c.emotion for c in clips] == bins
    assert {c.traits["emotion"] for c in clips} == {"sad"}
    assert classes_of(reversed(clips), VALENCE) == ("negative", "neutral", "positive")
    assert classes_of(clips[5:], VALENCE) == ("positive",)
    assert left_out(rated(1, None, None), VALENCE) == "; 2 without a rating of valence left out"
    assert left_out(rated(1, None), DataConfig()) == left_out(rated(1), VALENCE) == ""


def test_ratings_stay_as_they_are():
    clips = rated(1, None, 4.25)
    assert labelled(clips, RATED) == [clips[0], clips[2]]
    assert classes_of(clips, RATED) == ()
    assert tasks.of(RATED, ()).truth([clips[2]]).tolist() == [4.25]
    assert labelled(clips, DataConfig()) == clips


def test_emotions_are_chosen_before_ratings():
    clips = [*rated(1, 5), Clip("h", "1", "happy", valence=3)]
    chosen = replace(VALENCE, classes="sad")
    assert [c.emotion for c in labelled(clips, chosen)] == ["negative", "positive"]


def test_mistakes_are_refused_in_one_line():
    with pytest.raises(UserError, match="no clip has a rating of valence; use data that has"):
        labelled(rated(None, None), RATED)
    with pytest.raises(UserError, match="clip c1: valence is 60, not from 1 to 5"):
        labelled(rated(1, 60), VALENCE)
    with pytest.raises(UserError, match="target_scale is 'continuous'; it must be bins unless"):
        DataConfig(target_scale="continuous")


# --- the network -------------------------------------------------------------------------------


@pytest.mark.parametrize("fusion", ["concat", "weighted_average", "audio_only"])
def test_every_kind_of_fusion_estimates_within_the_scale(fusion, features, inputs, reloaded):
    from emorec_tf.models import model

    values = {"target": "valence", "target_scale": "continuous", "fusion": fusion}
    values |= dict(flag.removeprefix("--").split("=", 1) for flag in NET)
    config = replace(build(values, Config()), features=features)
    net = model.build_model(config, (), np.zeros(16, "f"), np.ones(16, "f"))
    drawn = inputs(features, count=6)
    answers = np.asarray(net(drawn))
    assert answers.shape == (6, 1)
    assert ((answers > 1) & (answers < 5)).all()
    assert np.ptp(answers) > 0, "a single output would give every clip the same probability"
    np.testing.assert_allclose(np.asarray(reloaded(net)(drawn)), answers, atol=1e-5)


def test_the_head_is_three_and_twice_the_tangent():
    raw = np.array([[0.0, 0.0], [-1.0, 1.5], [40.0, -40.0]], "f")
    predicted = np.asarray(tasks.Regression("valence").head(raw))
    np.testing.assert_allclose(predicted[:, 0], 3 + 2 * np.tanh(np.diff(raw)[:, 0] / 2), atol=1e-5)


# --- ratings, from training to the report ------------------------------------------------------


@pytest.fixture(scope="module")
def folds(demo_records: Path, tmp_path_factory) -> Path:
    """Valence as a rating: two folds with one random seed."""
    folder = tmp_path_factory.mktemp("rated") / "cv"
    where = ["--records", str(demo_records), "--run", str(folder), "--protocol=group_kfold:2"]
    flags = ["--seeds=1", "--epochs=3", "--batch_size=4", "--learning_rate=0.01"]
    rating = ["--target=valence", "--target_scale=continuous", "--fusion=audio_only"]
    assert crossval_main([*where, *flags, *rating, *NET]) == 0
    return folder


@pytest.mark.slow
def test_the_epoch_is_chosen_by_concordance(folds):
    run = run_dir.load(crossval_files.fold_folder(folds, 0, "1"))
    assert run.classes == ()
    reached = [float(row["val_ccc"]) for row in run.history]
    assert run.scores(run.history) == reached
    best = reached[run_dir.best_epoch(reached) - 1]
    assert best == max(reached)
    test = tasks.of(run.config.data, ())
    records = open_records(str(run.config.data.records))
    from emorec_tf.training import experiment
    from emorec_tf.training import logits as answers

    clips = experiment.of_run(run, records).scored("validation")
    batches = answers.ClipBatches(records, clips)
    raw, clips = answers.logits_of(run_dir.load_model(run.model_file), batches)
    found = test.metrics(test.truth(clips), test.predictions(raw, None))
    assert found["ccc"] == pytest.approx(best, abs=1e-4)
    assert "val_rmse" in run.history[0]


@pytest.mark.slow
def test_scores_equal_the_libraries(folds):
    run = crossval_files.fold_folder(folds, 0, "1")
    found = json.loads((run / "metrics.json").read_text())
    rows = read_csv(run / "predictions.csv")
    head = ["clip_id", "speaker", "label", "audio_present", "faces_found", "prediction"]
    assert list(rows[0]) == head
    truth, predicted = ([float(row[k]) for row in rows] for k in ("label", "prediction"))
    report_rows = read_csv(Path(run_dir.load(run).config.data.records) / "report.csv")
    ratings = {row["clip_id"]: float(row["valence"]) for row in report_rows}
    assert truth == pytest.approx([ratings[row["clip_id"]] for row in rows])
    assert found["pcc"] == pytest.approx(pearsonr(truth, predicted).statistic, abs=1e-4)
    assert found["rmse"] == pytest.approx(root_mean_squared_error(truth, predicted), abs=1e-4)
    assert (found["target"], found["target_scale"]) == ("valence", "continuous")
    assert found["temperature"] is None
    assert not (run / "temperature.json").exists()
    train_ratings = [
        ratings[r["clip_id"]] for r in report_rows if r["speaker"] in found["train_speakers"]
    ]
    assert found["baseline"]["prediction"] == pytest.approx(np.mean(train_ratings))
    assert found["baseline"]["ccc"] == 0
    mean = np.full(len(truth), np.mean(train_ratings))
    assert found["baseline"]["rmse"] == pytest.approx(root_mean_squared_error(truth, mean))
    assert found["coverage"]["clips"] == found["n"] == 12
    assert (run / "scatter.png").read_bytes().startswith(b"\x89PNG")
    damaged = read_csv(run / "robustness.csv")
    assert [row["condition"] for row in damaged] == list(conditions(FeaturesConfig()))
    assert float(damaged[0]["ccc"]) == pytest.approx(found["ccc"])


@pytest.mark.slow
def test_predict_and_evaluate_agree_on_ratings(folds, demo_clips, capsys):
    run = crossval_files.fold_folder(folds, 0, "1")
    wanted = read_csv(run / "predictions.csv")[0]
    video = str(demo_clips / f"{wanted['clip_id']}.mp4")
    assert predict_main(["--run", str(run), "--json", video]) == 0
    (answer,) = map(json.loads, capsys.readouterr().out.splitlines())
    keys = "clip target value audio_present face_present face_coverage seconds familiarity"
    assert list(answer) == keys.split()
    assert answer["target"] == "valence"
    assert answer["value"] == pytest.approx(float(wanted["prediction"]), abs=2e-3)
    assert predict_main(["--run", str(run), video]) == 0
    assert "valence" in capsys.readouterr().out
    assert predict_main(["--run", str(run), "--abstain_below=0.5", video]) == 1
    assert "estimates valence; drop --abstain_below" in capsys.readouterr().err


@pytest.mark.slow
def test_folds_are_pooled(folds, capsys):
    rows = read_csv(folds / "predictions.csv")
    assert len({row["clip_id"] for row in rows}) == len(rows) == 24
    found = json.loads((folds / "metrics.json").read_text())
    truth, predicted = ([float(row[k]) for row in rows] for k in ("label", "prediction"))
    assert found["pcc"] == pytest.approx(pearsonr(truth, predicted).statistic)
    means = [float(row["baseline"]) for row in rows]
    assert found["baseline"]["rmse"] == pytest.approx(root_mean_squared_error(truth, means))
    assert found["ccc_per_seed"] == {"0": found["ccc"]}
    assert not (folds / "temperatures.csv").exists()
    with pytest.raises(UserError, match="only classifiers are compared"):
        comparison.read(folds)
    print_table(found, folds)
    assert "CCC per seed" in capsys.readouterr().out


@pytest.mark.slow
def test_the_report_has_a_section_of_its_own_for_ratings(folds, tmp_path, capsys):
    from invented_runs import invent

    emotions, page = invent(tmp_path / "emotions", seeds=(0,)), tmp_path / "r.html"
    assert report.main(["--run", str(folds), str(emotions), "--out", str(page)]) == 0
    text = page.read_text()
    assert "<small>CCC</small>" in text
    assert "<small>UAR</small>" in text
    assert "minus second" not in text, "ratings and names are not compared"
    files = {p.name for p in (tmp_path / "r_files" / "cv").iterdir()}
    assert files == {
        "coverage.csv", "folds.csv", "robustness.csv", "scatter.csv", "scatter.png", "seeds.csv",
        "speakers.csv", "training.csv", "training.png",
    }  # fmt: skip
    table = {row["fold"]: row for row in read_csv(tmp_path / "r_files" / "cv" / "folds.csv")}
    for name, row in table.items():
        scored = crossval_files.fold_folder(folds, 0, name) / "metrics.json"
        found = json.loads(scored.read_text())
        for key in ("ccc", "pcc", "rmse"):
            assert float(row[key]) == pytest.approx(found[key], abs=1e-4)
    card = (folds / "MODEL_CARD.md").read_text()
    assert "Estimates valence from 1 to 5 in a clip" in card
    assert "| CCC | 0." in card or "| CCC | -0." in card
    edited = (folds / "predictions.csv").read_text()
    try:
        rows = edited.splitlines()
        rows[1] = rows[1].rsplit(",", 1)[0] + ",7.5"
        (folds / "predictions.csv").write_text("\n".join(rows) + "\n")
        assert report.main(["--run", str(folds), "--out", str(page)]) == 1
        assert "line 2: a rating beyond 1 to 5" in capsys.readouterr().err
    finally:
        (folds / "predictions.csv").write_text(edited)


# --- bins --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_bins_of_the_demo_corpus(demo_records, demo_clips, tmp_path, capsys):
    run = tmp_path / "run"
    where = ["--records", str(demo_records), "--run", str(run)]
    assert train_main([*where, "--epochs=2", "--target=activation", *TRAIN_FLAGS]) == 0
    assert evaluate_main(["--run", str(run)]) == 0
    found = json.loads((run / "metrics.json").read_text())
    assert found["classes"] == ["low", "medium", "high"]
    assert found["target"] == "activation"
    assert found["temperature"] > 0
    report_rows = {row["clip_id"]: row for row in read_csv(demo_records / "report.csv")}
    for row in read_csv(run / "predictions.csv"):
        rating = float(report_rows[row["clip_id"]]["activation"])
        expected = "low" if rating <= 2.5 else "medium" if rating < 3.5 else "high"
        assert row["label"] == expected
    video = str(sorted((demo_clips / "clips").glob("actor04_*.mp4"))[0])
    capsys.readouterr()
    assert predict_main(["--run", str(run), "--json", video]) == 0
    answer = json.loads(capsys.readouterr().out)
    keys = "clip emotion probabilities audio_present face_present face_coverage seconds"
    assert list(answer) == [*keys.split(), "familiarity", "target"]
    assert answer["emotion"] in answer["probabilities"]
    assert list(answer["probabilities"]) == ["low", "medium", "high"]


def improv(folder: Path, videos: list[Path]) -> Path:
    """A corpus laid out like MSP-IMPROV: 3 sessions of two speakers, some ratings missing."""
    lines = []
    people = product("123", "FM", range(1, len(videos) // 6 + 1))
    for number, ((session, sex, turn), video) in enumerate(zip(people, videos, strict=True)):
        name = f"IMPROV-S01A-{sex}0{session}-P-{sex}{'M' if sex == 'F' else 'F'}{turn:02d}"
        path = folder / f"session{session}" / "S01A" / "P" / f"MSP-{name}.avi"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(video, path)
        valence = "NaN" if turn == 4 else f"{1.5 + 1.5 * (turn % 3):.2f}"
        letter = "AHSN"[number % 4]
        lines.append(f"UTD-{name}.avi; {letter}; A:2.80; V:{valence}; D:3.40 ; N:3.20;\n")
    (folder / "Evaluation.txt").write_text("".join(lines))
    return folder


@pytest.mark.slow
def test_a_corpus_laid_out_like_msp_improv(demo_clips, tmp_path, capsys):
    source = improv(tmp_path / "corpus", sorted((demo_clips / "clips").glob("*.mp4")))
    records = tmp_path / "records"
    where = ["--dataset=msp-improv", "--source", str(source), "--records", str(records)]
    assert prepare_main([*where, "--workers=1", *FEATURE_FLAGS]) == 0
    capsys.readouterr()
    protocol = ["--protocol=seed_half_session", "--seeds=1", "--folds=0", "--target=valence"]
    net = ["--records", str(records), "--batch_size=4", "--epochs=1", "--fusion=audio_only", *NET]
    run = tmp_path / "cv"
    assert crossval_main([*net, *protocol, "--run", str(run)]) == 0
    said = capsys.readouterr().out
    assert "note: only half of each test session's clips is scored" in said
    assert "9 training, 3 validation clips; 6 without a rating of valence left out" in said
    assert run_dir.load(crossval_files.fold_folder(run, 0, "1")).split.test_clips
    rows = read_csv(run / "predictions.csv")
    assert sorted(row["label"] for row in rows) == ["negative", "neutral", "positive"]
    assert {row["speaker"] for row in rows} <= {"F01", "M01"}
    assert crossval_main([*net, *protocol, "--enrol=1", "--run", str(tmp_path / "e")]) == 1
    assert "seed_half_session is speaker-independent; drop --adapt" in capsys.readouterr().err
    assert train_main([*net, "--target=activation", "--run", str(tmp_path / "a")]) == 1
    assert "all clips are medium; there is nothing to tell apart" in capsys.readouterr().err

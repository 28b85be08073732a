"""Inner cross-validation: predictions for training speakers equal those of scikit-learn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import TRAIN_FLAGS
from scipy.special import log_softmax
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import recall_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emorec_tf.crossval import main as crossval_main
from emorec_tf.errors import UserError
from emorec_tf.models.classical.head_search import Rows
from emorec_tf.records import records_dir
from emorec_tf.storage.files import read_csv
from emorec_tf.tasks import calibration
from emorec_tf.train import main as train_main
from emorec_tf.training import ensemble, experiment, inner_cv, run_dir, train_run
from emorec_tf.training import logits as answers

FIXED = ["--audio=functionals", "--face=face_statistics(mesh=False)"]
COMMON = [f for f in TRAIN_FLAGS if "learning_rate" not in f]
HEAD = """classifier: "lda(shrinkage=0.4, pca=4)"
refit: true
inner_folds: 2
batch_size: 4
"""
AUDIO = "audio: functionals(coefficients=8)\nfusion: audio_only\n" + HEAD
FACE = 'face: "face_statistics(mesh=False)"\nfusion: face_only\n' + HEAD


@pytest.fixture(scope="module")
def whole(demo_records: Path, tmp_path_factory: pytest.TempPathFactory) -> run_dir.Run:
    folder = tmp_path_factory.mktemp("inner")
    (folder / "voice.yaml").write_text(AUDIO + "augmented_copies: 2\n")
    (folder / "face.yaml").write_text(FACE)
    (folder / "both.yaml").write_text("ensemble: voice.yaml, face.yaml\nrefit: true\n")
    where = ["--records", str(demo_records), "--run", str(folder / "run")]
    assert train_main(["--config", str(folder / "both.yaml"), *where, *COMMON]) == 0
    return run_dir.load(folder / "run")


@pytest.fixture(scope="module")
def members(whole: run_dir.Run) -> list[run_dir.Run]:
    return [run_dir.load(whole.folder / facts["folder"]) for facts in whole.steps.values()]


def inner_clips(run: run_dir.Run) -> list:
    records = records_dir.open_records(str(run.config.data.records))
    subsets = run.split.clips(records.clips)
    return [*subsets["train"], *subsets["validation"]]


def test_inner_predictions_equal_scikit_learn(members):
    face = members[1]
    clip_ids, logits, labels = inner_cv.answers(face)
    by_id = {c.clip_id: c for c in inner_clips(face)}
    assert sorted(clip_ids) == sorted(by_id), "training and validation speakers only"
    clips = [by_id[clip_id] for clip_id in clip_ids]
    records = records_dir.open_records(str(face.config.data.records))
    model = run_dir.load_model(face.model_file)
    import keras

    below = keras.Model(model.input, model.get_layer("features").output)
    features, ordered = answers.logits_of(below, answers.ClipBatches(records, clips))
    row = {c.clip_id: n for n, c in enumerate(ordered)}
    features = features[[row[i] for i in clip_ids]]
    np.testing.assert_array_equal(labels, face.task.truth(clips))
    analysis = LinearDiscriminantAnalysis(
        solver="lsqr", shrinkage=0.4, priors=np.full(len(face.classes), 1 / len(face.classes))
    )
    theirs = cross_val_predict(
        make_pipeline(StandardScaler(), PCA(4, svd_solver="full"), analysis),
        features,
        labels,
        groups=[c.speaker for c in clips],
        cv=GroupKFold(2),
        method="predict_log_proba",
    )
    mine = log_softmax(logits, axis=1)
    sure = theirs > -20  # theirs stays at the limit of float64
    np.testing.assert_allclose(mine[sure], theirs[sure], rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(mine.argmax(1), theirs.argmax(1))


def test_inner_answers_give_the_temperature_of_run_and_members(whole, members):
    for run in (whole, *members):
        _, logits, labels = inner_cv.answers(run)
        facts = json.loads((run.folder / "temperature.json").read_text())
        assert facts["fitted_to"] == "inner folds"
        assert facts["validation_clips"] == len(labels) == len(inner_clips(run))
        assert run.temperature == pytest.approx(calibration.temperature(logits, labels))
    assert ensemble.temperatures(members) == [m.temperature for m in members]


def test_ensemble_inner_answers_are_the_product_of_the_members(whole, members):
    clip_ids, logits, _ = inner_cv.answers(whole)
    total = np.zeros_like(logits)
    for member in members:
        own_ids, own, _ = inner_cv.answers(member)
        row = {clip_id: n for n, clip_id in enumerate(own_ids)}
        total += log_softmax(own[[row[i] for i in clip_ids]] / member.temperature, axis=1)
    np.testing.assert_allclose(logits, total, atol=1e-9)
    scores = inner_cv.scores(whole)
    assert set(scores) == {"uar", "war", "nll"}
    assert scores["war"] == pytest.approx((logits.argmax(1) == inner_cv.answers(whole)[2]).mean())


def test_augmented_copies_are_fitted_but_never_scored():
    rows = Rows(np.zeros((9, 2)), np.zeros(9, int), np.array([*"aabbc", *"aabb"]))
    found, scored = inner_cv.rounds(rows, ["1", "2", "3", "4", "5"], 3, {"2"})
    assert sorted(scored) == ["1", "3", "4", "5"]
    for fit, left in found:
        assert not set(fit.speakers) & set(left.speakers)
    assert sum(len(left.labels) for _, left in found) == 4
    assert sorted(len(fit.labels) for fit, _ in found) == [5, 5, 8], "copies of all others fit"


def test_corpora_are_left_out_as_a_whole():
    speakers = np.array(["a/1", "b/1", "a/2", "c/1", "b/1"])
    rows = Rows(np.zeros((5, 2)), np.zeros(5, int), speakers, balanced=True)
    found, scored = inner_cv.rounds(rows, ["1", "2", "3", "4"], "corpora", {"3"})
    assert scored == ["1", "2", "4"], "the fifth row is a copy, the third clip is not scored"
    assert [set(left.speakers) for _, left in found] == [{"a/1"}, {"b/1"}, {"c/1"}]
    assert [set(fit.speakers) for fit, _ in found] == [
        {"b/1", "c/1"},
        {"a/1", "a/2", "c/1"},
        {"a/1", "a/2", "b/1"},
    ]
    assert all(fit.balanced for fit, _ in found)


def test_too_few_speakers_and_damaged_files_are_refused_in_one_line(members, tmp_path):
    rows = Rows(np.zeros((2, 2)), np.zeros(2, int), np.array(["a", "b"]))
    with pytest.raises(UserError, match="inner_folds is 3, but there are 2 speakers"):
        inner_cv.rounds(rows, ["1", "2"], 3, set())
    import dataclasses

    broken = dataclasses.replace(members[0], folder=tmp_path)
    assert inner_cv.answers(broken) is None
    assert inner_cv.scores(broken) is None
    whole = (members[0].folder / inner_cv.FILE).read_bytes()
    for rest in (whole[:100], b"", b"no archive"):
        (tmp_path / inner_cv.FILE).write_bytes(rest)
        with pytest.raises(UserError, match="is damaged"):
            inner_cv.answers(broken)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--inner_folds", "2"], "inner_folds is 2; it must be 0 unless refit is on"),
        (["--inner_folds", "1", "--refit"], "inner_folds is 1; it must be at least 2, or 0"),
        (
            [*TRAIN_FLAGS, *["--refit", "--inner_folds", "9", "--classifier", "lda"], *FIXED],
            "inner_folds is 9, but there are 3 speakers for training and validation",
        ),
        (["--augmented_copies", "2"], "augmented_copies is 2; it must be 0 without a classifier"),
        (
            [
                *["--fusion", "face_only", "--augmented_copies", "2", "--classifier", "lda"],
                "--face",
                "face_hog",
            ],
            "augmented_copies is 2; it must be 0 where the face alone is used",
        ),
    ],
)
def test_wrong_settings(flags, said, demo_records, capsys):
    assert train_main(["--records", str(demo_records), "--run", "nowhere", *flags]) == 1
    assert said in capsys.readouterr().err
    assert not Path("nowhere").exists()


def test_nested_choice_script_equals_scikit_learn(demo_records, tmp_path):
    """The script's choice and pooled scores, against scikit-learn on the same files."""
    folders = []
    for pca in (4, 1):
        folder = tmp_path / f"cv-pca{pca}"
        config = tmp_path / f"pca{pca}.yaml"
        config.write_text(FACE.replace("pca=4", f"pca={pca}"))
        where = ["--records", str(demo_records), "--run", str(folder), "--seeds", "1"]
        settings = ["--config", str(config), "--protocol", "group_kfold:2"]
        assert crossval_main([*settings, *where]) == 0
        folders.append(folder)
    script = [sys.executable, "scripts/nested_choice.py", *map(str, folders)]
    done = subprocess.run(script, capture_output=True, text=True, check=True, env=os.environ)
    lines = [line for line in done.stdout.splitlines() if line.startswith("| 0 |")]
    assert len(lines) == 2
    rows = []
    for line in lines:
        _, fold, first, second, *_ = [cell.strip() for cell in line.strip("|").split("|")]
        inner = [float(cell.strip("*")) for cell in (first, second)]
        taken = "*" in second
        assert taken == (inner[1] > inner[0]) or inner[0] == inner[1]
        run = run_dir.load(folders[taken] / "seed-0" / f"fold-{fold}")
        _, logits, labels = inner_cv.answers(run)
        uar = recall_score(labels, logits.argmax(1), average="macro")
        assert inner[taken] == pytest.approx(uar, abs=5e-4)
        rows += read_csv(run.folder / "predictions.csv")
    names = [name for name in rows[0] if name in run.classes]
    predicted = [max(names, key=lambda name, row=row: float(row[name])) for row in rows]  # type: ignore[misc]
    war = 100 * np.mean([t == row["label"] for t, row in zip(predicted, rows, strict=True)])
    assert f"WAR {war:.1f}" in done.stdout
    wrong = subprocess.run([*script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert wrong.returncode == 1
    assert wrong.stdout.startswith("error: ")
    assert "Traceback" not in wrong.stderr


def test_a_run_that_adopts_a_stage_copies_its_inner_answers(whole, members, tmp_path):
    face = members[1]
    records = records_dir.open_records(str(face.config.data.records))
    first = face.folder.parent
    own = experiment.make(face.config, records, face.split)
    run = train_run.train(own, tmp_path / "run", shared_stages=first)
    clip_ids, logits, labels = inner_cv.answers(run)
    wanted_ids, wanted_logits, wanted_labels = inner_cv.answers(face)
    assert clip_ids == wanted_ids
    np.testing.assert_array_equal(logits, wanted_logits)
    np.testing.assert_array_equal(labels, wanted_labels)

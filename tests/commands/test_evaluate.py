"""evaluate: scores equal scikit-learn's over exactly the held-out speakers."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix

from emorec_tf.evaluate import main as evaluate_main
from emorec_tf.records import records_dir


@pytest.fixture(scope="module")
def found(demo_run: Path) -> dict[str, object]:
    assert evaluate_main(["--run", str(demo_run)]) == 0
    return json.loads((demo_run / "metrics.json").read_text())


def test_scores_follow_from_the_predictions(found: dict[str, object], demo_run: Path) -> None:
    with (demo_run / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    classes = ["neutral", "happy", "sad"]
    shares = np.array([[float(r[c]) for c in classes] for r in rows])
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-5)
    guesses = [classes[i] for i in shares.argmax(1)]
    labels = [r["label"] for r in rows]
    assert found["n"] == len(rows) == 6
    assert {r["speaker"] for r in rows} == {"actor04"}
    assert found["uar"] == pytest.approx(balanced_accuracy_score(labels, guesses))
    assert found["war"] == pytest.approx(accuracy_score(labels, guesses))
    matrix = confusion_matrix(labels, guesses, labels=classes)
    assert found["confusion"] == matrix.tolist()
    assert found["uar_ci95"] is None, "one speaker says nothing about others"
    assert found["test_speakers"] == ["actor04"]


def test_metrics_have_the_documented_keys(found: dict[str, object]) -> None:
    wanted = "dataset protocol test_speakers n uar war macro_f1 per_class_recall confusion uar_ci95"
    assert set(wanted.split()) | {"majority_baseline"} <= set(found)
    wanted = "temperature ece brier nll ece_before nll_before mode leaky coverage parameters"
    assert set(wanted.split()) <= set(found)
    assert found["coverage"] == {"clips": 6, "without_voice": 0, "without_face": 0}


def test_temperature_is_that_of_the_run(found: dict[str, object], demo_run: Path) -> None:
    from emorec_tf.training import run_dir

    assert found["temperature"] == run_dir.load(demo_run).temperature


def test_labels_are_joined_by_clip(found: dict[str, object], demo_run: Path) -> None:
    with (demo_run / "predictions.csv").open() as file:
        for row in csv.DictReader(file):
            assert row["label"] in row["clip_id"], "demo clips carry their emotion in the name"


def test_records_of_other_settings_are_refused(
    demo_run: Path, demo_records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    other = tmp_path / "records"
    shutil.copytree(demo_records, other)
    manifest = json.loads((other / records_dir.MANIFEST).read_text())
    manifest["features"]["mel_min_hz"] = 60.0
    from emorec_tf.config.config import FeaturesConfig

    manifest["stamp"] = FeaturesConfig(**manifest["features"]).fingerprint()
    (other / records_dir.MANIFEST).write_text(json.dumps(manifest))
    assert evaluate_main(["--run", str(demo_run), "--records", str(other)]) == 1
    assert "other feature settings" in capsys.readouterr().err


def test_missing_run_names_its_neighbour(
    demo_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate_main(["--run", str(demo_run.with_name("demo-concta"))]) == 1
    assert "demo-concat" in capsys.readouterr().err


def test_confusion_plot_is_a_png(found: dict[str, object], demo_run: Path) -> None:
    assert (demo_run / "confusion.png").read_bytes().startswith(b"\x89PNG")

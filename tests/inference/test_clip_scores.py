"""Any model on other clips: packaged models on the demo corpus, scores against scikit-learn."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from places import ROOT
from sklearn.metrics import balanced_accuracy_score, f1_score

import emorec_tf
from emorec_tf.errors import UserError
from emorec_tf.evaluate import main as evaluate_main
from emorec_tf.tasks.calibration import nll, scaled
from emorec_tf.tasks.recalibration import recalibration

pytestmark = pytest.mark.slow


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def scored(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packaged model on the demo clips, sad ones left out, by the command."""
    out = tmp_path_factory.mktemp("scored") / "face"
    given = ["--source", str(demo_clips), "--out", str(out), "--label_map=sad=", "--recalibrate"]
    assert evaluate_main(["--run=ravdess-face", *given]) == 0
    return out


def test_scores_are_those_of_the_predictions(scored: Path) -> None:
    metrics, rows = json.loads((scored / "metrics.json").read_text()), table(scored)
    used = [row for row in rows if not row["left_out"]]
    assert metrics["classes"] == ["neutral", "happy"]
    assert metrics["n"] == len(used) <= 16
    truth, predicted = ([row[name] for row in used] for name in ("label", "predicted"))
    assert metrics["uar"] == pytest.approx(balanced_accuracy_score(truth, predicted))
    assert metrics["war"] == pytest.approx(np.mean(np.array(truth) == predicted))
    assert metrics["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert metrics["uar_ci95"][0] <= metrics["uar"] <= metrics["uar_ci95"][1]
    assert np.sum(metrics["confusion"]) == len(used)
    for row in used:
        assert float(row["neutral"]) + float(row["happy"]) == pytest.approx(1, abs=1e-5)


def test_clips_that_are_not_scored_are_named_and_counted(scored: Path) -> None:
    metrics, rows = json.loads((scored / "metrics.json").read_text()), table(scored)
    left = [row for row in rows if row["left_out"]]
    assert len(rows) == 24, "every clip is in the table"
    assert metrics["left_out"]["left out by label_map"] == 8
    assert sum(metrics["left_out"].values()) == len(left)
    assert {row["predicted"] for row in left} == {""}


def test_the_packaged_model_stays_as_it_is(scored: Path) -> None:
    folder = ROOT / "saved_models" / "ravdess-face"
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, _, name = line.partition("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    kept = json.loads((scored / "recalibration.json").read_text())
    assert kept["model"] == "ravdess-face"
    assert kept["temperature"] > 0
    with pytest.raises(UserError, match="is a run or a model"):
        emorec_tf.evaluate("ravdess-face", source="clips", out=folder)


def test_records_of_other_features_are_decoded_again(demo_records: Path, tmp_path: Path) -> None:
    found = emorec_tf.evaluate(
        "ravdess-audio", records=demo_records, label_map="happy=", out=tmp_path / "out"
    )
    assert found["classes"] == ["neutral", "sad"]
    assert found["n"] == 16
    assert (tmp_path / "out" / "confusion.png").read_bytes()[:4] == b"\x89PNG"


def test_speakers_that_a_run_was_trained_on_are_left_out(
    demo_run: Path, demo_records: Path, tmp_path: Path
) -> None:
    """On its own corpus, that leaves the test speaker: the scores are those of the run itself."""
    found = emorec_tf.evaluate(demo_run, records=demo_records, out=tmp_path / "out")
    own = emorec_tf.evaluate(demo_run)
    assert found["n"] == own["n"] == 6
    assert found["left_out"] == {"the model was trained on this speaker of demo": 18}
    for name in ("uar", "war", "macro_f1", "ece"):
        assert found[name] == pytest.approx(own[name], abs=1e-6)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "give --records or --source"),
        (["--source={clips}", "--label_map=sad=,happy="], "fewer than two of them"),
        (["--source={clips}", "--adapt=3"], "--adapt is for a run with test speakers"),
        (["--source=nowhere"], "source 'nowhere' does not exist"),
        (["--records={records}", "--dataset=folder"], "--dataset says how --source is read"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_line(
    given: list[str], said: str, demo_clips: Path, demo_records: Path, tmp_path: Path, capsys
) -> None:
    words = [text.format(clips=demo_clips, records=demo_records) for text in given]
    assert evaluate_main(["--run=ravdess-face", f"--out={tmp_path / 'out'}", *words]) == 1
    errors = [n for n in capsys.readouterr().err.splitlines() if n.startswith("error")]
    assert len(errors) == 1
    assert said in errors[0]
    assert not (tmp_path / "out").exists()


def test_recalibration_finds_the_temperature_of_drawn_answers() -> None:
    """Labels are drawn from probabilities that a model then states three times too surely."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(4000, 4)) * 2
    truth = np.array([random.choice(4, p=p) for p in scaled(logits, 1.0)])
    speakers = [str(n % 10) for n in range(len(truth))]
    found = recalibration(scaled(logits * 3, 1.0), truth, speakers)
    assert found["temperature"] == pytest.approx(3, rel=0.1)
    assert found["ece_after"] < 0.03 < found["ece_before"]
    assert found["nll_after"] == pytest.approx(nll(scaled(logits, 1.0), truth), abs=0.01)
    alone = recalibration(scaled(logits * 3, 1.0), truth, ["anna"] * len(truth))
    assert alone["ece_after"] is None

"""Cross-validation that leaves corpora out: folds, restriction to a corpus's classes, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import made_records
import numpy as np
import pytest

from emorec_tf.config.clip import corpus_of
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.crossval import main as crossval_main
from emorec_tf.errors import UserError
from emorec_tf.evaluation import crossval_results, crossvalidation, run_metrics
from emorec_tf.storage.files import read_csv
from emorec_tf.training import checks, experiment, inner_cv, run_dir

THREE, TWO = ("neutral", "happy", "sad"), ("neutral", "happy")
SPEAKERS = {
    **dict.fromkeys(("a/1", "a/2", "a/3"), THREE),
    **dict.fromkeys(("b/1", "b/2"), THREE),
    **dict.fromkeys(("c/1", "c/2"), TWO),
    **dict.fromkeys(("d/1", "d/2"), THREE),
}
HEAD = [
    "--audio=functionals(coefficients=8)",
    "--fusion=audio_only",
    "--classifier=lda(shrinkage=0.4, pca=4)",
    "--refit",
    "--inner_folds=corpora",
    "--balance=corpora",
    "--batch_size=4",
]
PROTOCOL = "--protocol=leave_one_corpus_out"


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, features: FeaturesConfig) -> Path:
    """Records of four corpora, the third of which has no sad clip."""
    return made_records.make(
        tmp_path_factory.mktemp("several") / "records", features, lambda _: ("face",), SPEAKERS
    )


@pytest.fixture(scope="module")
def finished(several: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cv") / "run"
    where = ["--records", str(several), "--run", str(folder), "--seeds=1"]
    assert crossval_main([*where, PROTOCOL, *HEAD]) == 0
    return folder


def test_a_corpus_is_scored_among_its_own_classes(finished: Path) -> None:
    facts = json.loads((finished / "crossval.json").read_text())
    assert [fold["name"] for fold in facts["folds"]] == ["a", "b", "c", "d"]
    assert facts["notes"] == [
        "each fold is scored among the classes of its corpus: the probabilities of the others are "
        "set to zero and the rest is renormalised (classes that not every corpus has: c has no "
        "sad)"
    ]
    rows = read_csv(finished / "predictions.csv")
    assert len(rows) == 2 * (7 * 3 + 2 * 2)
    for row in rows:
        assert row["fold"] == corpus_of(row["speaker"])
        shares = [float(row[name]) for name in THREE]
        assert sum(shares) == pytest.approx(1, abs=1e-5)
        assert (shares[2] == 0) == (row["fold"] == "c")
    metrics = json.loads((finished / "seed-0/fold-c/metrics.json").read_text())
    assert metrics["restricted_to"] == list(TWO)
    assert metrics["chance_uar"] == 0.5
    assert "restricted_to" in json.loads((finished / "seed-0/fold-a/metrics.json").read_text())


def test_the_report_scores_what_occurs(finished: Path) -> None:
    run = crossval_results.read(finished)
    found = run_metrics.run_metrics(run, {})
    uars = {row["fold"]: row["uar"] for row in found["folds"]}
    inside = [(run.folds == "c") & (run.labels == name) for name in TWO]
    recalls = [np.mean(run.answers[chosen].argmax(1) == k) for k, chosen in enumerate(inside)]
    assert uars["c"] == pytest.approx(np.mean(recalls))


def test_inner_folds_leave_corpora_out(finished: Path) -> None:
    run = run_dir.load(finished / "seed-0/fold-c")
    kept = inner_cv.answers(run)
    assert kept is not None
    ids, logits, _ = kept
    assert [corpus_of(i) for i in ids] == ["a"] * 18 + ["b"] * 12 + ["d"] * 12
    assert logits.shape == (42, 3)
    facts = json.loads((run.folder / "temperature.json").read_text())
    assert facts["fitted_to"] == "inner folds"


def test_what_cannot_be_left_out_is_refused(tmp_path: Path, features: FeaturesConfig) -> None:
    def made(folder: str, speakers: dict[str, tuple[str, ...]]) -> Path:
        return made_records.make(tmp_path / folder, features, lambda _: ("face",), speakers)

    def checked(records: Path, **given: object) -> None:
        found = experiment.make(*experiment.resolve({"records": str(records), **given}))
        checks.check_clips(found)

    lda = {
        "audio": "functionals",
        "fusion": "audio_only",
        "classifier": "lda",
        "refit": True,
        "inner_folds": "corpora",
        "batch_size": 2,
    }
    own = dict.fromkeys(("a/1", "a/2", "b/1", "b/2"), TWO)
    alone = made("alone", {**own, "a/1": THREE, "a/2": THREE})
    split = {"train_speakers": "a/1,b/1", "validation_speakers": "b/2", "test_speakers": "a/2"}
    with pytest.raises(UserError, match="no corpus but a has sad"):
        checked(alone, **lda, **split)
    checked(alone, **lda, **split, label_map="sad=")
    split["train_speakers"], split["validation_speakers"] = "b/1", "b/2"
    with pytest.raises(UserError, match="needs clips of at least two corpora"):
        checked(alone, **lda, **split, label_map="sad=")
    with pytest.raises(UserError, match=r"no training clip is sad; .* --label_map sad="):
        checked(alone, **{**lda, "inner_folds": 0}, **split)
    one = made("one", dict.fromkeys(("1", "2", "3"), TWO))
    settings, records = experiment.resolve({"records": str(one)})
    with pytest.raises(UserError, match="needs records of several corpora"):
        crossvalidation.plan(settings, records, "leave_one_corpus_out")

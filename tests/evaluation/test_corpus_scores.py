"""Cells of the matrix of corpora against scikit-learn, over the classes of both sides."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score

from emorec_tf.evaluation import corpus_scores
from emorec_tf.tasks import calibration
from emorec_tf.tasks.tasks import Classification

MODEL = ("neutral", "happy", "sad", "fearful")


def rows(labels: list[str], seed: int = 0) -> list[dict[str, str]]:
    random = np.random.default_rng(seed)
    found = []
    for at, label in enumerate(labels):
        shares = random.dirichlet(np.ones(len(MODEL)) * 0.7)
        head = {"clip_id": f"c{at}", "speaker": f"x/{at % 5}", "label": label, "seed": "0"}
        found.append(head | {n: f"{p:.6g}" for n, p in zip(MODEL, shares, strict=True)})
    return found


LABELS = [["neutral", "sad", "happy", "angry"][at % 4] for at in range(200)]


def test_scores_equal_scikit_learn_over_shared_classes():
    table = rows(LABELS)
    found = corpus_scores.cell(table)
    assert found is not None
    kept = [row for row in table if row["label"] != "angry"]  # a class that the model lacks
    shared = ["neutral", "happy", "sad"]  # and fearful is one that the corpus lacks
    shares = np.array([[float(row[name]) for name in shared] for row in kept])
    shares /= shares.sum(1, keepdims=True)
    labels, guess = [row["label"] for row in kept], [shared[i] for i in shares.argmax(1)]
    assert found["classes"] == shared
    assert (found["n"], found["speakers"]) == (150, 5)
    assert found["uar"] == pytest.approx(balanced_accuracy_score(labels, guess))
    assert found["war"] == pytest.approx(accuracy_score(labels, guess))
    recalls = recall_score(labels, guess, labels=shared, average=None)
    assert list(found["per_class_recall"].values()) == pytest.approx(list(recalls))
    assert found["chance_uar"] == pytest.approx(1 / 3)
    assert found["most_predicted"] == max(shared, key=guess.count)
    assert found["share"] == pytest.approx(max(map(guess.count, shared)) / len(guess))
    assert found["uar_ci95"][0] <= found["uar"] <= found["uar_ci95"][1]
    ids = np.array([shared.index(label) for label in labels])
    assert found["ece"] == pytest.approx(calibration.ece(shares, ids))
    surest = np.argsort(-shares.max(1))[:75]
    right = shares[surest].argmax(1) == ids[surest]
    assert found["accuracy_at_50"] == pytest.approx(right.mean(), abs=0.02)


def test_a_clip_counts_once_for_each_seed():
    table = rows(LABELS)
    again = [{**row, "seed": "1"} for row in table]
    one, two = corpus_scores.cell(table), corpus_scores.cell([*table, *again])
    assert one is not None
    assert two is not None
    for key in ("n", "speakers", "uar", "ece", "share"):
        assert two[key] == pytest.approx(one[key])


@pytest.mark.parametrize("labels", [[], ["angry"] * 3, ["sad"] * 3])
def test_fewer_than_two_classes_give_no_score(labels):
    assert corpus_scores.cell(rows(labels)) is None


def test_corpora_are_scored_by_themselves():
    random = np.random.default_rng(0)
    answers = random.dirichlet(np.ones(3), 60)
    truth = random.integers(0, 3, 60)
    speakers = [f"{'ab'[at % 2]}/{at % 6}" for at in range(60)]
    ids = [f"c{at // 2}" for at in range(60)]
    task = Classification(("neutral", "happy", "sad"))
    found = corpus_scores.by_corpus(task, truth, answers, ids, speakers, "a+b")
    assert [row["corpus"] for row in found] == ["a", "b"]
    for start, row in enumerate(found):
        own = slice(start, None, 2)
        uar = balanced_accuracy_score(truth[own], answers[own].argmax(1))
        assert row["uar"] == pytest.approx(uar)
        assert (row["clips"], row["speakers"]) == (30, 3)
        assert row["uar_ci95"][0] <= row["uar"] <= row["uar_ci95"][1]
    assert corpus_scores.by_corpus(task, truth, answers, ids, speakers, "a") == []

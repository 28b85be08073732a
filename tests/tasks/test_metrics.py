"""Metrics against scikit-learn and a table by hand; coverage of the intervals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics as oracle

from emorec_tf.tasks import bootstrap, metrics

CLASSES = ("neutral", "happy", "sad")


def answers(ids, classes=3):
    """Probabilities whose largest is at ``ids``."""
    return np.eye(classes)[np.asarray(ids)] * 0.5 + 0.5 / classes


def test_by_hand():
    #          answers: neutral happy sad
    # neutral              3     1    0   recall 3/4, precision 3/5
    # happy                1     1    0   recall 1/2, precision 1/2
    # sad                  1     0    3   recall 3/4, precision 1
    truth = [0, 0, 0, 0, 1, 1, 2, 2, 2, 2]
    guess = [0, 0, 0, 1, 0, 1, 0, 2, 2, 2]
    labels = [CLASSES[i] for i in truth]
    found = metrics.scores(labels, answers(guess), CLASSES, ["1", "2"] * 5)
    assert found["n"] == 10
    assert found["confusion"] == [[3, 1, 0], [1, 1, 0], [1, 0, 3]]
    assert found["uar"] == pytest.approx((3 / 4 + 1 / 2 + 3 / 4) / 3)
    assert found["war"] == pytest.approx(7 / 10)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 6 / 7) / 3)
    assert found["per_class_recall"] == {"neutral": 0.75, "happy": 0.5, "sad": 0.75}
    assert found["chance_uar"] == pytest.approx(1 / 3)
    assert found["majority_baseline"] == {"class": "neutral", "war": 0.4, "uar": 1 / 3}
    json.dumps(found)  # as evaluate writes them


@pytest.mark.parametrize("seed", range(5))
def test_against_scikit_learn(seed):
    random = np.random.default_rng(seed)
    truth, probabilities = random.integers(0, 5, 80), random.dirichlet(np.ones(5), 80)
    names = tuple("abcde")
    found = metrics.scores([names[i] for i in truth], probabilities, names, ["x"] * 80)
    guess = probabilities.argmax(1)
    assert found["uar"] == pytest.approx(oracle.balanced_accuracy_score(truth, guess))
    assert found["war"] == pytest.approx(oracle.accuracy_score(truth, guess))
    assert found["macro_f1"] == pytest.approx(oracle.f1_score(truth, guess, average="macro"))
    recalls = oracle.recall_score(truth, guess, average=None)
    np.testing.assert_allclose(list(found["per_class_recall"].values()), recalls)


def test_an_absent_class_is_left_out_of_uar():
    found = metrics.scores(["neutral", "neutral", "sad"], answers([0, 1, 2]), CLASSES, "xyz")
    assert found["uar"] == pytest.approx((0.5 + 1) / 2)  # over the two classes that occur
    assert found["chance_uar"] == 0.5
    assert found["per_class_recall"]["happy"] == 0


def test_one_speaker_has_no_interval():
    found = metrics.scores(["neutral", "sad"], answers([0, 0]), CLASSES, ["1", "1"])
    assert found["uar_ci95"] is None
    assert found["war_ci95"] is None


def test_intervals_of_equal_speakers_are_points():
    labels, guess, speakers = ["neutral", "sad"] * 3, [0, 0] * 3, ["1", "1", "2", "2", "3", "3"]
    found = metrics.scores(labels, answers(guess), CLASSES, speakers)
    assert found["uar_ci95"] == found["war_ci95"] == [0.5, 0.5]


def test_intervals_are_repeatable_and_contain_the_score():
    random = np.random.default_rng(3)
    truth, guess = random.integers(0, 3, 120), random.integers(0, 3, 120)
    labels, speakers = [CLASSES[i] for i in truth], [str(i % 6) for i in range(120)]
    one, same, other = (
        metrics.scores(labels, answers(guess), CLASSES, speakers, seed) for seed in (0, 0, 1)
    )
    assert one == same
    assert one["uar_ci95"] != other["uar_ci95"]
    for name in ("uar", "war"):
        low, high = one[f"{name}_ci95"]
        assert 0 <= low < one[name] < high <= 1


def test_intervals_draw_whole_speakers():
    """Ten clips per speaker, all right or all wrong: the interval of a few coin throws."""
    right = np.repeat([1, 0, 1, 0, 1, 0, 1, 0], 10)
    speakers = np.repeat(np.arange(8), 10)
    ids = np.zeros(80, int)
    _, (low, high) = metrics.intervals(ids, 1 - right, speakers, 2, 0)
    # quantiles of Binomial(8, 1/2) / 8
    assert low == pytest.approx(1 / 8, abs=0.13)
    assert high == pytest.approx(7 / 8, abs=0.13)


def test_coverage(monkeypatch):
    """The interval contains the true value about as often as 20 resampled speakers allow."""
    monkeypatch.setattr(bootstrap, "RESAMPLES", 300)
    random = np.random.default_rng(0)
    held, trials = 0, 100
    for seed in range(trials):
        skill = random.beta(6, 4, 20)  # each speaker's share of right answers, on average 0.6
        ids = np.tile([0, 1], 20 * 8)
        speakers = np.repeat(np.arange(20), 16)
        guesses = np.where(random.random(320) < skill[speakers], ids, 1 - ids)
        (low, high), _ = metrics.intervals(ids, guesses, speakers, 2, seed)
        held += low <= 0.6 <= high
    assert 0.86 <= held / trials <= 0.99

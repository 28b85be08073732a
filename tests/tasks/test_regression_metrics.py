"""Regression metrics: closed forms, libraries, an example by hand, coverage of intervals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import root_mean_squared_error

from emorec_tf.tasks import bootstrap, regression_metrics
from emorec_tf.tasks.regression_metrics import ccc, metrics, pcc, rmse, scores


def test_three_points_by_hand():
    """Ratings 1, 2, 3 and estimates 1, 3, 5: means 2 and 3, variances 2/3 and 8/3, covariance 4/3.

    CCC = 2 * 4/3 / (2/3 + 8/3 + 1) = (8/3) / (13/3) = 8/13; the squared errors are 0, 1 and 4.
    """
    truth, guess = np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 5.0])
    found = metrics(truth, guess)
    assert found == pytest.approx({"ccc": 8 / 13, "pcc": 1.0, "rmse": np.sqrt(5 / 3)})


def test_concordance_of_a_straight_line():
    """For guess = a * truth + b, ccc = 2 a v / (v + a^2 v + (b + (a - 1) m)^2), and pcc = 1."""
    truth = np.array([1.0, 2.0, 4.0, 5.0])
    m, v = truth.mean(), truth.var()
    for a, b in ((1, 0), (1, 0.5), (0.5, 0), (2, -3), (-1, 6)):
        expected = 2 * a * v / (v + a**2 * v + (b + (a - 1) * m) ** 2)
        assert ccc(truth, a * truth + b) == pytest.approx(expected)
        assert pcc(truth, a * truth + b) == pytest.approx(np.sign(a))
    assert ccc(truth, truth) == pytest.approx(1)
    assert ccc(truth, 6 - truth) == pytest.approx(-1)


def test_series_against_libraries():
    draw = np.random.default_rng(5)
    truth = draw.uniform(1, 5, 200)
    guess = truth + draw.normal(0.3, 1, 200)
    assert pcc(truth, guess) == pytest.approx(pearsonr(truth, guess).statistic)
    assert rmse(truth, guess) == pytest.approx(root_mean_squared_error(truth, guess))
    # Lin's factorisation: concordance is correlation times the bias correction.
    scale, shift = truth.std() / guess.std(), truth.mean() - guess.mean()
    bias = 2 / (scale + 1 / scale + shift**2 / (truth.std() * guess.std()))
    assert ccc(truth, guess) == pytest.approx(pcc(truth, guess) * bias)
    assert ccc(truth, guess) == pytest.approx(ccc(guess, truth))


def test_constant_series():
    flat, truth = np.full(5, 0.1), np.arange(5.0)
    assert ccc(truth, flat) == pytest.approx(0)
    assert np.isnan(pcc(truth, flat))
    assert np.isnan(ccc(flat, flat))
    assert ccc(flat, flat + 1) == pytest.approx(0)
    with pytest.raises(ValueError, match="one length"):
        ccc(truth, truth[1:])
    with pytest.raises(ValueError, match="one length"):
        rmse(np.zeros(0), np.zeros(0))


def test_correlations_of_constant_series_are_zero():
    truth = np.arange(1.0, 5.0)
    assert metrics(truth, np.full(4, 3.0)) == pytest.approx(
        {"ccc": 0, "pcc": 0, "rmse": rmse(truth, np.full(4, 3.0))}
    )
    assert metrics(np.full(4, 3.0), np.full(4, 3.0)) == {"ccc": 0, "pcc": 0, "rmse": 0}


def test_scores_are_reported_beside_the_training_mean():
    draw = np.random.default_rng(6)
    truth = draw.uniform(1, 5, 120)
    guess, speakers = truth + draw.normal(0, 0.5, 120), [str(i % 8) for i in range(120)]
    found = scores(truth, guess, np.full(120, 2.5), speakers)
    assert json.loads(json.dumps(found)) == found  # as evaluate writes them
    assert found["n"] == 120
    mean = root_mean_squared_error(truth, np.full(120, 2.5))
    assert found["baseline"] == pytest.approx({"prediction": 2.5, "ccc": 0, "pcc": 0, "rmse": mean})
    for name in regression_metrics.METRICS:
        low, high = found[f"{name}_ci95"]
        assert low < found[name] < high
    assert scores(truth, guess, guess, speakers) == {
        **found,
        "baseline": scores(truth, guess, guess, speakers)["baseline"],
    }
    assert scores(truth, guess, guess, ["1"] * 120)["ccc_ci95"] is None


@pytest.mark.slow
def test_intervals_cover_the_truth(monkeypatch):
    """200 draws of 25 speakers with correlated errors; the RMSE is 0.5 by construction."""
    monkeypatch.setattr(bootstrap, "RESAMPLES", 300)
    draw, covered = np.random.default_rng(13), 0
    speakers = np.repeat(np.arange(25), 8)
    for seed in range(200):
        truth = draw.uniform(1, 5, 200)
        errors = draw.normal(0, 0.3, 25)[speakers] + draw.normal(0, 0.4, 200)
        low, high = regression_metrics.intervals(truth, truth + errors, speakers, seed)["rmse_ci95"]
        covered += low <= 0.5 <= high
    assert 0.86 * 200 <= covered <= 0.99 * 200

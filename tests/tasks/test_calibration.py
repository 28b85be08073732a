"""Calibration against closed forms, scikit-learn and simulations whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.metrics import brier_score_loss, log_loss

from emorec_tf.tasks import calibration
from emorec_tf.tasks.calibration import (
    FEW,
    TEMPERATURE_RANGE,
    bound_warning,
    brier,
    ece,
    nll,
    reliability,
    risk_coverage,
    scaled,
    shrunk,
    temperature,
    temperature_and_slope,
)


def simulated(count: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated logits: labels are drawn from the softmax of the logits themselves."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, 1.5, (count, classes))
    uniform = draw.random((count, 1))
    labels = (softmax(logits, axis=1).cumsum(1) < uniform).sum(1).clip(max=classes - 1)
    return logits, labels


@pytest.mark.parametrize("true", [0.3, 1.0, 2.5, 8.0])
def test_temperature_is_recovered(true):
    logits, labels = simulated(20_000, 6, seed=1)
    assert temperature(logits * true, labels) == pytest.approx(true, rel=0.03)


def test_temperature_lowers_nll_and_ece_on_other_clips():
    logits, labels = simulated(4000, 8, seed=2)
    sharp, half = logits * 3, 2000
    fitted = temperature(sharp[:half], labels[:half])
    before, after = (scaled(sharp[half:], t) for t in (1.0, fitted))
    assert nll(after, labels[half:]) < nll(before, labels[half:])
    assert ece(after, labels[half:]) < 0.05 < 0.2 < ece(before, labels[half:])
    np.testing.assert_array_equal(after.argmax(1), before.argmax(1))  # no answer changes


def test_temperature_is_where_the_slope_is_zero():
    logits, labels = simulated(300, 4, seed=3)
    expected = (scaled(logits, temperature(logits, labels)) * logits).sum(1)
    # At the minimum the logits of the truths, and of one clip that could be anything, equal the
    # expected logits (closed form).
    truths = (logits[np.arange(300), labels] - expected).sum()
    anything = (logits.mean(1) - expected).mean()
    assert truths + anything == pytest.approx(0, abs=0.02)


def test_few_correct_clips_do_not_give_full_confidence():
    logits = np.eye(3) * 5
    # Three right and one unknown: the share of the truth is (3 + 1/3) / 4, so exp(5 / T) = 10.
    assert temperature(logits, np.arange(3)) == pytest.approx(5 / np.log(10), rel=1e-3)
    many = temperature(np.tile(logits, (1000, 1)), np.tile(np.arange(3), 1000))
    assert many < 0.6
    wrong = temperature(logits, np.array([1, 2, 0]))
    assert wrong > 900
    assert wrong == pytest.approx(TEMPERATURE_RANGE[1], rel=0.01)
    chance = float(np.log(3))
    assert "nearly equal" in bound_warning(wrong, chance, 3)
    assert bound_warning(wrong, 0.7, 3) == "", "large logits that tell the classes apart"
    assert "0 or 1" in bound_warning(TEMPERATURE_RANGE[0] * 1.001, 0.0, 3)
    assert [bound_warning(t, chance, 3) for t in (0.06, 1.0, 19.0)] == ["", "", ""]
    assert "nearly equal" in bound_warning(19.99, chance, 3)
    assert "nearly equal" in bound_warning(60.0, chance, 3)
    assert bound_warning(60.0, 0.7, 3) == ""


@pytest.mark.parametrize("true", [25.0, 140.0, 600.0])
def test_large_scores_are_scaled_down(true):
    """Discriminant analysis of many features gives logarithms of odds of hundreds."""
    logits, labels = simulated(5_000, 6, seed=1)
    assert temperature(logits * true, labels) == pytest.approx(true, rel=0.06)
    fitted, slope = temperature_and_slope(logits * true, labels, np.zeros(len(labels)))
    assert (fitted, slope) == (pytest.approx(true, rel=0.06), pytest.approx(0, abs=1e-6))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("true", [0.1, 0.9, 6.0, 17.0])
def test_temperatures_within_the_former_bounds_are_those_of_before(seed, true):
    """They were once searched from 0.05 to 20."""
    logits, labels = simulated(200, 5, seed)
    rows, every = logits * true, np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        found = log_softmax(rows / np.exp(log_temperature), axis=1)
        return -float(found[every, labels].sum() + found.mean())

    before = minimize_scalar(loss, bounds=tuple(np.log((0.05, 20.0))), method="bounded")
    assert np.exp(before.x) < 19.9
    assert temperature(rows, labels) == pytest.approx(np.exp(before.x), rel=1e-6)


def test_logits_that_no_temperature_changes_are_left_alone():
    """One class, or scores so far apart that all stay certain and right."""
    assert temperature(np.zeros((5, 3)), np.arange(5) % 3) == 1.0


def test_against_scikit_learn():
    draw = np.random.default_rng(4)
    probabilities = draw.dirichlet(np.ones(5), 500)
    labels = draw.integers(0, 5, 500)
    assert nll(probabilities, labels) == pytest.approx(log_loss(labels, probabilities))
    two = draw.dirichlet(np.ones(2), 500)
    binary = labels % 2
    assert brier(two, binary) / 2 == pytest.approx(brier_score_loss(binary, two[:, 1]))


def test_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
    labels = np.array([0, 1, 1, 1])
    assert nll(probabilities, labels) == pytest.approx(-np.log(0.9 * 0.2 * 0.7 * 0.6) / 4)
    assert brier(probabilities, labels) == pytest.approx(2 * (0.01 + 0.64 + 0.09 + 0.16) / 4)
    # Five bins: (0.4, 0.6] holds 0.6 right; (0.6, 0.8] 0.8 wrong, 0.7 right; (0.8, 1] 0.9 right.
    rows = reliability(probabilities, labels, bins=5)
    assert [r["count"] for r in rows] == [1, 2, 1]
    assert [r["accuracy"] for r in rows] == [1.0, 0.5, 1.0]
    assert [r["confidence"] for r in rows] == pytest.approx([0.6, 0.75, 0.9])
    assert ece(probabilities, labels, bins=5) == pytest.approx((0.4 + 2 * 0.25 + 0.1) / 4)


def test_extremes():
    perfect, labels = np.eye(3), np.arange(3)
    for metric in (nll, brier, ece):
        assert metric(perfect, labels) == 0
    wrong = np.array([1, 2, 0])
    assert brier(perfect, wrong) == 2
    assert ece(perfect, wrong) == 1
    assert nll(perfect, wrong) == pytest.approx(-np.log(np.finfo(np.float64).tiny))
    uniform = np.full((8, 8), 1 / 8)
    assert nll(uniform, np.arange(8)) == pytest.approx(np.log(8))
    assert brier(uniform, np.arange(8)) == pytest.approx(7 / 8)
    assert ece(uniform, np.arange(8)) == pytest.approx(0)


def test_ece_of_calibrated_answers_is_small():
    logits, labels = simulated(50_000, 5, seed=5)
    assert ece(scaled(logits, 1.0), labels) < 0.01


def test_risk_coverage_by_hand():
    probabilities = np.array([[0.6, 0.4], [0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    coverage, risk, area = risk_coverage(probabilities, np.array([1, 0, 1, 0]))
    np.testing.assert_allclose(coverage, [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(risk, [0, 1 / 2, 1 / 3, 2 / 4])
    assert area == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)


def test_risk_coverage_does_not_depend_on_the_order_of_ties():
    probabilities = np.full((4, 2), 0.5)
    labels = np.array([0, 0, 0, 1])
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        _, risk, area = risk_coverage(probabilities[order], labels[order])
        np.testing.assert_allclose(risk, 0.25)
        assert area == pytest.approx(0.25)


def test_informative_confidence_lowers_the_area():
    logits, labels = simulated(5000, 5, seed=6)
    probabilities = scaled(logits, 1.0)
    _, risk, area = risk_coverage(probabilities, labels)
    error = (probabilities.argmax(1) != labels).mean()
    assert risk[-1] == pytest.approx(error)
    assert area < 0.8 * error


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (np.zeros((0, 3)), np.zeros(0, int)),
        (np.zeros((2, 3)), np.zeros(3, int)),
        (np.zeros(3), np.zeros(3, int)),
        (np.zeros((2, 3)), np.array([0, 3])),
        (np.zeros((2, 3)), np.array([0, -1])),
        (np.zeros((2, 3)), np.array([0.0, 1.0])),
        (np.full((2, 3), np.nan), np.array([0, 1])),
    ],
)
@pytest.mark.parametrize("metric", [temperature, nll, brier, ece, risk_coverage])
def test_invalid_input_is_refused(metric, values, labels):
    with pytest.raises(ValueError, match=r"need|finite|class ids"):
        metric(values, labels)


@pytest.mark.parametrize("true_slope", [0.0, 0.6])
def test_temperature_and_slope_are_found_together(true_slope: float) -> None:
    random = np.random.default_rng(0)
    strange = random.uniform(-2, 3, 4000)
    logits = 3 * random.normal(size=(4000, 5))
    shares = calibration.scaled(logits, 1.5 * calibration.growth(true_slope, strange))
    labels = np.array([random.choice(5, p=row) for row in shares])
    found, slope = calibration.temperature_and_slope(logits, labels, strange)
    assert found == pytest.approx(1.5, rel=0.1)
    assert slope == pytest.approx(true_slope, abs=0.1)


def test_growth_starts_at_familiar_clips_and_ends() -> None:
    grown = calibration.growth(0.5, np.array([-4.0, 0.0, 1.0, 3.0, 99.0]))[:, 0]
    np.testing.assert_allclose(grown, np.exp([0, 0, 0.5, 1.5, 1.5]))


def test_one_speaker_gives_a_temperature_nearer_to_one():
    """Speakers' own temperatures scatter: that of one, as fitted, fits others worse."""
    draw = np.random.default_rng(7)
    plain, drawn = [], []
    for seed in range(30):
        own, other = np.exp(draw.normal(0, 0.8, 2))
        fit, labels = simulated(60, 5, seed)
        fitted = temperature(fit * own, labels)
        assert shrunk(fitted, FEW, 60, 5) == fitted, "of enough speakers it is not changed"
        test, truth = simulated(400, 5, 1000 + seed)
        plain.append(nll(scaled(test * other, fitted), truth))
        drawn.append(nll(scaled(test * other, shrunk(fitted, 1, 60, 5)), truth))
    assert np.mean(drawn) < np.mean(plain)


def test_fewer_clips_than_classes_say_little():
    assert shrunk(5.04, 1, 60, 5) == pytest.approx(5.04**0.5)
    assert shrunk(900.0, 9, 1, 3) == pytest.approx(900 ** (1 / 4))
    assert shrunk(900.0, 9, 3, 3) == 900.0

"""The card's section: risk on and off the corpus as scikit-learn and plain counting give it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from emorec_tf.evaluation import familiarity_card
from emorec_tf.tasks import calibration, familiarity


def side(seed: int, sharp: float, familiar: float) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(300, 4))
    shares = calibration.scaled(sharp * logits, 1.0)
    labels = np.array([random.choice(4, p=row) for row in shares])
    return [shares, labels, random.beta(familiar, 1, 300)]


def test_risk_stands_beside_each_other() -> None:
    on, off = side(0, 4, 1), side(1, 1, 0.2)
    found = familiarity_card.compared(on, off)
    truth = np.repeat([1, 0], 300)
    assert found["auroc"] == pytest.approx(roc_auc_score(truth, np.concatenate([on[2], off[2]])))
    half = next(row for row in found["rows"] if row["coverage"] == 0.5)
    for name, (shares, labels, _) in (("on", on), ("off", off)):
        order = np.argsort(-shares.max(1))[:150]
        assert half[name] == pytest.approx((shares.argmax(1) != labels)[order].mean())
    assert half["off"] > half["together"] > half["on"]


def test_the_section_says_what_was_measured_and_nothing_else() -> None:
    rows = np.random.default_rng(0).normal(size=(120, 40))
    few, _ = familiarity.across_folds(rows[:90], [40], np.repeat(["a", "b", "c"], 30))
    made, _ = familiarity.across_folds(rows, [40], np.repeat(["a", "b", "c"], 40))
    assert few is not None
    assert made is not None
    assert "Too few clips were held out" in familiarity_card.text(few, 0.0)
    plain = familiarity_card.text(made, 0.0)
    assert "Below 0.02" in plain
    assert "32 features" in plain
    assert "AUROC" not in plain
    assert "temperature" not in plain
    measured = familiarity_card.compared(side(0, 4, 1), side(1, 1, 0.2))
    whole = familiarity_card.text(made, 0.5, measured)
    assert f"AUROC {measured['auroc']:.3f}" in whole
    assert "exp(0.50 u)" in whole
    assert whole.count("\n| ") == 1 + len(familiarity_card.COVERAGES)

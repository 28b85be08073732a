"""Heads of weighted rows equal heads of repeated rows, in projection, fit and search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emorec_tf.config import choices
from emorec_tf.models.classical import head_search
from emorec_tf.models.classical.classifiers import Search
from emorec_tf.models.classical.head_search import Rows
from emorec_tf.tasks.balance import clip_weights

COUNTS = {("a", 0): 6, ("a", 1): 3, ("a", 2): 12, ("b", 0): 2, ("b", 1): 4, ("b", 2): 6}
LCM = 12  # of the counts: the rows of a cell are repeated 12 / count times


def balanced_rows() -> Rows:
    random = np.random.default_rng(0)
    cells = [cell for cell, count in COUNTS.items() for _ in range(count)]
    labels = np.array([label for _, label in cells])
    shift = np.array([[0.0] * 6 if corpus == "a" else [2.0, 0, 0, 1, 0, 0] for corpus, _ in cells])
    features = random.normal(size=(len(cells), 6)) + 1.1 * np.eye(6)[labels] + shift
    speakers = np.array([f"{corpus}/{n % 2}" for n, (corpus, _) in enumerate(cells)])
    return Rows(features, labels, speakers, balanced=True)


def repeated(rows: Rows) -> Rows:
    cells = zip((s[0] for s in rows.speakers), rows.labels.tolist(), strict=True)
    times = [LCM // COUNTS[cell] for cell in cells]
    again = np.repeat(np.arange(len(times)), times)
    return Rows(rows.features[again], rows.labels[again], rows.speakers[again])


def with_c(choice: str, c: float) -> Search:
    """A search that always gives one value of C."""
    search = choices.resolve("classifier", choice)(False)

    class Fixed:
        def Float(self, *_: object, **__: object) -> float:  # noqa: N802 - KerasTuner's name
            return c

    return Search(lambda _: search.make(Fixed()), search.pca, 1, search.oracle)


@pytest.mark.parametrize("pca", [0, 4])
@pytest.mark.parametrize("name", ["lda", "logreg", "svm"])
def test_weights_equal_repeated_rows(name: str, pca: int) -> None:
    rows = balanced_rows()
    other = repeated(rows)
    # C multiplies the sum over the rows, of which there are more when they are repeated
    more = len(other.labels) / len(rows.labels)
    choice = {
        "lda": f"lda(shrinkage=0.2, pca={pca})",
        "logreg": f"logreg(pca={pca})",
        "svm": f"svm(kernel='rbf', gamma=0.1, pca={pca})",
    }[name]
    weighted, plain = (
        head_search.fitted(with_c(choice, c), None, given)
        for c, given in ((0.7, rows), (0.7 / more, other))
    )
    mine, theirs = (found.decisions(rows.features) for found in (weighted, plain))
    np.testing.assert_allclose(weighted.mean, plain.mean)
    np.testing.assert_allclose(weighted.scale, plain.scale)
    np.testing.assert_allclose(mine, theirs, atol=0.02 if name == "svm" else 1e-3, rtol=1e-3)
    unweighted = head_search.fitted(
        with_c(choice, 0.7), None, Rows(rows.features, rows.labels, rows.speakers)
    )
    assert np.abs(unweighted.decisions(rows.features) - mine).max() > 0.1


def test_features_that_hardly_vary_are_scaled_as_scikit_learn_does() -> None:
    rows = balanced_rows()
    constant = np.full(len(rows.labels), 1e6 / 3)
    features = np.column_stack([rows.features[:, 0], constant, constant, np.zeros_like(constant)])
    features[:, 2] += 1e-11 * rows.features[:, 1]
    search = choices.resolve("classifier", "lda(pca=0)")(False)
    weighted = head_search.projection(search, features, rows.weights)
    other = repeated(Rows(features, rows.labels, rows.speakers))
    plain = head_search.projection(search, other.features)
    np.testing.assert_allclose(weighted.mean, plain.mean)
    np.testing.assert_allclose(weighted.scale, plain.scale)
    assert weighted.scale[1:].tolist() == [1, 1, 1]


def test_two_classes_have_one_score() -> None:
    rows = balanced_rows()
    rows = rows.some(rows.labels < 2)
    search = choices.resolve("classifier", "lda(shrinkage=0.2, pca=0)")(False)
    mine = head_search.fitted(search, None, rows)
    assert mine.estimator.coef_.shape == (1, 6)
    theirs = head_search.fitted(search, None, repeated(rows))
    np.testing.assert_allclose(mine.decisions(rows.features), theirs.decisions(rows.features))


def test_weights_follow_the_rows_that_are_chosen(tmp_path: Path) -> None:
    rows = balanced_rows()
    some = rows.some(np.arange(0, len(rows.labels), 2))
    expected = clip_weights(some.speakers.tolist(), some.labels.tolist())
    np.testing.assert_allclose(some.weights, expected)
    assert head_search.joined([some, some]).balanced
    assert Rows(rows.features, rows.labels, rows.speakers).weights is None
    search = choices.resolve("classifier", "svm(trials=3)")(False)
    parts = head_search.parts_of(search, [(rows, some)])
    assert head_search.find(search, parts, tmp_path / "search", 0) is not None

"""Restriction to the classes of a corpus: other classes get nothing, order among the rest stays."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from emorec_tf.tasks.restriction import restricted

CLASSES = ("neutral", "happy", "disgust", "surprised")


def test_absent_classes_get_nothing_and_rows_sum_to_one():
    given = np.array([[0.1, 0.2, 0.4, 0.3], [0.7, 0.1, 0.1, 0.1]])
    found = restricted(given, CLASSES, {"neutral", "happy", "surprised"})
    np.testing.assert_allclose(found, [[1 / 6, 2 / 6, 0, 3 / 6], [7 / 9, 1 / 9, 0, 1 / 9]])
    np.testing.assert_array_equal(given[:, 2], [0.4, 0.1])  # the input is left alone


def test_it_is_the_softmax_over_the_classes_present():
    logits = np.random.default_rng(0).normal(size=(50, 4)) * 5
    found = restricted(softmax(logits, axis=1), CLASSES, ("happy", "surprised"))
    np.testing.assert_allclose(found[:, [1, 3]], softmax(logits[:, [1, 3]], axis=1))


def test_nothing_changes_where_all_are_present():
    given = np.array([[0.1, 0.2, 0.4, 0.3 + 1e-9]])
    np.testing.assert_array_equal(restricted(given, CLASSES, (*CLASSES, "boredom")), given)


def test_a_row_without_probability_on_them_is_uniform():
    found = restricted(np.array([[0.0, 0.0, 1.0, 0.0]]), CLASSES, ("neutral", "happy"))
    np.testing.assert_array_equal(found, [[0.5, 0.5, 0, 0]])


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match="none of"):
        restricted(np.ones((1, 4)) / 4, CLASSES, ("boredom",))
    with pytest.raises(ValueError, match="need"):
        restricted(np.ones((1, 3)) / 3, CLASSES, CLASSES)

"""Weights of clips: equal totals for corpora, and for the classes that each of them has."""

from __future__ import annotations

import numpy as np
import pytest

from emorec_tf.config.clip import corpus_of
from emorec_tf.tasks.balance import clip_weights


def test_the_corpus_is_the_prefix_of_the_speaker():
    assert [corpus_of(s) for s in ("ravdess/1", "nemo/EB0", "a/b/c", "7")] == [
        "ravdess",
        "nemo",
        "a",
        "",
    ]


def test_corpora_and_their_classes_have_equal_totals():
    speakers = ["a/1"] * 6 + ["b/1", "b/2", "b/3"] + ["c/1"]
    labels = ["sad"] * 5 + ["happy"] + ["sad", "angry", "happy"] + ["sad"]
    found = clip_weights(speakers, labels)
    assert found.mean() == pytest.approx(1)

    def total(corpus: str, label: str = "") -> float:
        chosen = [
            corpus_of(s) == corpus and label in ("", of)
            for s, of in zip(speakers, labels, strict=True)
        ]
        return float(found[chosen].sum())

    assert [total(c) for c in "abc"] == pytest.approx([10 / 3] * 3)
    assert total("a", "sad") == pytest.approx(total("a", "happy"))
    assert total("b", "sad") == pytest.approx(total("b", "angry"))
    np.testing.assert_allclose(found[:5], found[0])


def test_one_corpus_is_balanced_by_class():
    found = clip_weights(["1", "1", "2", "2"], np.array([0, 0, 0, 1]).tolist())
    np.testing.assert_allclose(found, [2 / 3, 2 / 3, 2 / 3, 2])

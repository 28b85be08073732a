"""The picture is a PNG that shows the matrix."""

from __future__ import annotations

import io

import matplotlib.image
import numpy as np

from emorec_tf.plots import confusion_picture


def opened(confusion, classes) -> np.ndarray:
    png = confusion_picture(confusion, classes, "title")
    return matplotlib.image.imread(io.BytesIO(png), format="png")


def test_it_opens_and_shows_the_counts():
    diagonal = opened([[5, 0], [0, 5]], ["neutral", "happy"])
    assert diagonal.ndim == 3
    assert min(diagonal.shape[:2]) > 200
    assert diagonal.std() > 0.1
    swapped = opened([[0, 5], [5, 0]], ["neutral", "happy"])
    assert swapped.shape == diagonal.shape
    assert not np.array_equal(swapped, diagonal)


def test_it_repeats_byte_for_byte():
    one, same = (confusion_picture(np.eye(3, dtype=int).tolist(), "abc", "t") for _ in range(2))
    assert one == same


def test_empty_rows_and_more_classes():
    big = opened(np.zeros((9, 9), int).tolist(), [f"class {n}" for n in range(9)])
    assert min(big.shape[:2]) > min(opened([[1]], ["a"]).shape[:2])

"""Plots: PNG on white, and SVG that adapts to the page."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import matplotlib.image
import numpy as np
import pytest

from emorec_tf.tasks import calibration, plots


def image(png: bytes) -> np.ndarray:
    return matplotlib.image.imread(io.BytesIO(png), format="png")


def confusion_png(confusion, classes, title) -> bytes:
    return plots.png(plots.confusion_figure(confusion, classes, title))


def pixels_of(confusion, classes) -> np.ndarray:
    return image(confusion_png(confusion, classes, "title"))


def test_confusion_plot_shows_the_counts():
    diagonal = pixels_of([[5, 0], [0, 5]], ["neutral", "happy"])
    assert diagonal.ndim == 3
    assert min(diagonal.shape[:2]) > 200
    assert diagonal.std() > 0.1
    swapped = pixels_of([[0, 5], [5, 0]], ["neutral", "happy"])
    assert swapped.shape == diagonal.shape
    assert not np.array_equal(swapped, diagonal)


def test_plots_are_byte_identical_when_repeated():
    one, same = (confusion_png(np.eye(3, dtype=int).tolist(), "abc", "t") for _ in range(2))
    assert one == same


def test_empty_rows_and_more_classes():
    big = pixels_of(np.zeros((9, 9), int).tolist(), [f"class {n}" for n in range(9)])
    assert min(big.shape[:2]) > min(pixels_of([[1]], ["a"]).shape[:2])


DRAWN = {
    "confusion": lambda leaky: plots.confusion_figure([[3, 1], [0, 4]], ["sad", "a<b"], "t", leaky),
    "reliability": lambda leaky: plots.reliability_figure(
        calibration.reliability(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 0])), leaky
    ),
    "risk": lambda leaky: plots.risk_coverage_figure(
        np.array([0.5, 1.0]), np.array([0.0, 0.5]), leaky
    ),
    "speakers": lambda leaky: plots.speakers_figure(["1", "anna"], [0.4, 0.8], 0.6, 0.5, leaky),
    "many": lambda leaky: plots.speakers_figure(list("ab" * 45), [0.5] * 90, 0.6, 0.5, leaky),
    "conditions": lambda leaky: plots.conditions_figure(["clean", "dark"], [0.6, 0.4], 0.5, leaky),
    "training": lambda leaky: plots.training_figure(
        [[{"loss": "2", "val_loss": "2.5", "val_uar": "0.3"}] * n for n in (2, 4)], leaky
    ),
}


@pytest.mark.parametrize("name", DRAWN)
def test_plots_are_self_contained_and_take_the_colour_of_the_page(name):
    drawn = plots.svg(DRAWN[name](False), "title & more")
    root = ElementTree.fromstring(drawn)
    assert root[0].text == "title & more"
    assert "currentColor" in drawn
    assert plots.INK not in drawn
    assert not re.search(r"<(path|rect)[^>]*fill: (#fff|white)", drawn)
    ids = re.findall(r' id="([^"]+)"', drawn)
    assert len(set(ids)) == len(ids)
    assert "http" not in drawn.replace("http://www.w3.org/", "")
    assert plots.LEAKY not in drawn
    assert drawn == plots.svg(DRAWN[name](False), "title & more")


@pytest.mark.parametrize("name", DRAWN)
def test_leaky_plots_are_stamped_in_red(name):
    drawn = plots.svg(DRAWN[name](True), "title")
    stamps = [e for e in ElementTree.fromstring(drawn).iter() if e.text == plots.LEAKY]
    assert len(stamps) == 1
    assert plots.RED in stamps[0].get("style", "")
    clean, leaky = (image(plots.png(DRAWN[name](flag))) for flag in (False, True))
    assert clean.shape == leaky.shape
    red = (leaky[..., 0] > 0.7) & (leaky[..., 1] < 0.6) & (leaky[..., 2] < 0.7)
    assert red.sum() > 500
    assert np.all(clean[0, 0, :3] == 1)  # a white background

"""Heat map of corpora: values, intervals, means and frames are where they belong."""

from __future__ import annotations

from matplotlib.patches import Rectangle

from emorec_tf.tasks import matrix_plot, plots

CELLS = [
    {"train": "a", "test": "a", "uar": 0.9, "uar_ci95": [0.8, 0.95], "chance_uar": 0.5},
    {"train": "a", "test": "b", "uar": 0.4, "uar_ci95": None, "chance_uar": 0.5},
]


def test_values_and_frames():
    cells = [{**cell, "within": cell["train"] == cell["test"]} for cell in CELLS]
    figure = matrix_plot.matrix_figure(["a", "c"], ["a", "b"], cells, {"a": 0.4, "c": None})
    (axes,) = figure.axes
    words = {(round(t.get_position()[0]), round(t.get_position()[1]), t.get_text())
             for t in axes.texts}  # fmt: skip
    assert words == {(0, 0, "90"), (0, 0, "80 to 95"), (1, 0, "40"), (2, 0, "40"), (2, 1, "-")}
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a", "c"]
    boxes = [p for p in axes.patches if isinstance(p, Rectangle)]
    assert [box.get_fill() for box in boxes] == [True, False, True], "the own corpus is framed"
    assert [box.get_alpha() for box in boxes if box.get_fill()] == [0.8, 0.0], "from chance to 1"
    colours = {t.get_text(): t.get_color() for t in axes.texts}
    assert (colours["90"], colours["-"]) == ("white", plots.INK)
    assert "currentColor" in plots.svg(figure, "matrix"), "legible on dark pages too"


def test_models_name_their_corpora_and_pairs_without_a_clip_say_so():
    cells = [{**CELLS[1], "within": False}]
    unusable = [{"train": "m", "test": "a", "left_out": 9, "lacks": "face"}]
    labels = {"m": "m (trained on c+d)"}
    figure = matrix_plot.matrix_figure(["a", "m"], ["a", "b"], cells, {"a": 0.4}, labels, unusable)
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a", "m\n(trained on c+d)"]
    assert (0, 1, "no face") in {(*t.get_position(), t.get_text()) for t in axes.texts}

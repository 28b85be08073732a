"""Heat map of a matrix of corpora: training sets by tested corpora, with the UAR in each cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from emorec_tf.tasks.plots import BLUE, GREY, INK, STYLE

MEAN = "mean\nelsewhere"
WHITE_FROM = 0.6  # shade from which text on it is white
CELL_INCHES = (1.05, 0.62)


def matrix_figure(
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Sequence[Mapping[str, Any]],
    means: Mapping[str, float | None],
    labels: Mapping[str, str] | None = None,
    unusable: Sequence[Mapping[str, Any]] = (),
) -> Figure:
    """Draw UAR with its interval; the shade runs from chance (none) to 1. Framed: the same corpus.

    Args:
        rows: training sets.
        columns: tested corpora.
        cells: with train, test, uar, uar_ci95, chance_uar and within.
        means: of each row, over the corpora that it was not trained on.
        labels: what rows are called; None: as they are.
        unusable: pairs without a score, with train, test and what all clips of the corpus lack.
    """
    named = [(labels or {}).get(row, row).replace(" (", "\n(") for row in rows]
    longest = max((len(line) for name in named for line in name.split("\n")), default=0)
    width = 1.2 + 0.085 * longest + CELL_INCHES[0] * (len(columns) + 1)
    with mpl.rc_context(STYLE):
        size = (width, 1.35 + CELL_INCHES[1] * len(rows))
        figure = Figure(figsize=size, dpi=110, layout="constrained")
        axes = figure.subplots()
    for cell in cells:
        _draw(axes, columns.index(cell["test"]), rows.index(cell["train"]), cell)
    for one in unusable:
        at_cell, text = (columns.index(one["test"]), rows.index(one["train"])), f"no {one['lacks']}"
        axes.text(*at_cell, text, ha="center", va="center", color=INK, fontsize=8)
    for at, row in enumerate(rows):
        mean = means.get(row)
        text = "-" if mean is None else f"{100 * mean:.0f}"
        axes.text(len(columns), at, text, ha="center", va="center", color=INK, fontsize=11)
    axes.axvline(len(columns) - 0.5, color=GREY, linewidth=1)
    axes.set(xlim=(-0.5, len(columns) + 0.5), ylim=(len(rows) - 0.5, -0.5))
    axes.set(xlabel="tested on", ylabel="trained on")
    axes.set_xticks(range(len(columns) + 1), [*columns, MEAN])
    axes.set_yticks(range(len(rows)), named)
    axes.tick_params(length=0)
    title = "UAR in %, below: 95 % over speakers\nFramed: cross-validation within the corpus"
    axes.set_title(title, loc="left", fontsize=9, color=INK)
    return figure


def _draw(axes: Any, column: int, row: int, cell: Mapping[str, Any]) -> None:
    chance = cell["chance_uar"]
    shade = max(0.0, (cell["uar"] - chance) / (1 - chance))
    corner = (column - 0.5, row - 0.5)
    axes.add_patch(Rectangle(corner, 1, 1, facecolor=BLUE, alpha=shade, linewidth=0))
    if cell["within"]:
        inside = (column - 0.46, row - 0.44)
        frame = Rectangle(inside, 0.92, 0.88, fill=False, edgecolor=INK, linewidth=1.2)
        axes.add_patch(frame)
    colour = "white" if shade > WHITE_FROM else INK
    words = {"ha": "center", "va": "center", "color": colour}
    axes.text(column, row - 0.12, f"{100 * cell['uar']:.0f}", fontsize=11, **words)
    if cell["uar_ci95"]:
        low, high = cell["uar_ci95"]
        axes.text(column, row + 0.24, f"{100 * low:.0f} to {100 * high:.0f}", fontsize=7, **words)

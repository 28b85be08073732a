"""Plots: confusion matrix, reliability, risk and coverage, speakers, robustness, training.

Every function draws a figure without a background; ``png`` puts it on white, ``svg`` keeps it
transparent and takes the page's text colour, so that it is legible on dark pages as well.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from io import BytesIO, StringIO
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from emorec_tf.tasks import figure_text

INK = "#20242b"  # replaced by the page's text colour
BLUE, ORANGE, GREY, RED = (
    "#3f7fd0",
    "#d9822b",
    "#8a929e",
    "#d7263d",
)  # legible on any page
LEAKY = "LEAKY"
SIZE_INCHES = (3.9, 3.1)
TITLE_CHARACTERS = 10  # of a line of a title, for each inch of a figure
STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.color": GREY,
    "grid.alpha": 0.25,
    "svg.fonttype": "none",
    "svg.hashsalt": "emorec_tf",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


def confusion_figure(
    confusion: Sequence[Sequence[int]], classes: Sequence[str], title: str, leaky: bool = False
) -> Figure:
    """Draw counts [K, K] on a colour scale of recall; rows are true classes."""
    counts = np.asarray(confusion)
    recall = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    room = max(8, len(classes))  # so that text is as large as in the other plots
    size = (1.2 + 0.38 * room, 1.0 + 0.34 * room)
    figure, axes = _figure(title, leaky, size)
    for (row, column), count in np.ndenumerate(counts):
        share = float(recall[row, column])
        box = Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=BLUE, alpha=share, linewidth=0)
        axes.add_patch(box)
        colour = "white" if share > 0.6 else INK
        axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    axes.set(
        xlim=(-0.5, len(classes) - 0.5),
        ylim=(len(classes) - 0.5, -0.5),
        xlabel="predicted class",
        ylabel="true class",
    )
    axes.set_xticks(range(len(classes)), list(classes), rotation=40, ha="right")
    axes.set_yticks(range(len(classes)), list(classes))
    axes.tick_params(length=0)
    return figure


def scatter_figure(truth: np.ndarray, guess: np.ndarray, title: str, leaky: bool = False) -> Figure:
    """Draw estimates [N] over ratings [N], both from 1 to 5."""
    figure, axes = _figure(title, leaky)
    axes.plot([1, 5], [1, 5], color=GREY, linestyle="--", linewidth=1)
    axes.scatter(truth, guess, s=14, color=BLUE, alpha=0.45, linewidth=0)
    axes.set(xlim=(0.9, 5.1), ylim=(0.9, 5.1), xlabel="rating", ylabel="estimate")
    axes.set_xticks(range(1, 6))
    axes.set_yticks(range(1, 6))
    axes.grid(True)
    return figure


def reliability_figure(rows: Sequence[Mapping[str, float]], leaky: bool = False) -> Figure:
    """Draw accuracy over confidence; see ``calibration.reliability``."""
    figure, axes = _figure("Reliability", leaky)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect calibration")
    low = [r["low"] for r in rows]
    width = [r["high"] - r["low"] for r in rows]
    axes.bar(low, [r["accuracy"] for r in rows], width, align="edge", color=BLUE, alpha=0.35)
    sizes = np.sqrt([r["count"] for r in rows])
    axes.scatter(
        [r["confidence"] for r in rows],
        [r["accuracy"] for r in rows],
        s=12 + 60 * sizes / max(sizes, default=1),
        color=BLUE,
        label="predictions (area: count)",
        zorder=3,
    )
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="accuracy")
    axes.grid(True)
    _legend(axes, "lower right")
    return figure


def risk_coverage_figure(coverage: np.ndarray, risk: np.ndarray, leaky: bool = False) -> Figure:
    """Draw the error rate of the most confident predictions over the coverage."""
    figure, axes = _figure("Risk and coverage", leaky)
    at = np.unique(np.linspace(0, len(coverage) - 1, 200).astype(int))
    axes.fill_between(coverage[at], risk[at], color=BLUE, alpha=0.15, linewidth=0)
    axes.plot(coverage[at], risk[at], color=BLUE, linewidth=1.8)
    top = max(0.05, float(risk[at].max()) * 1.1)
    axes.set(xlim=(0, 1), ylim=(0, min(top, 1)), xlabel="coverage (share of clips)")
    axes.set_ylabel("risk (error rate)")
    axes.grid(True)
    return figure


def speakers_figure(
    speakers: Sequence[str],
    uars: Sequence[float],
    mean: float,
    chance: float,
    leaky: bool = False,
) -> Figure:
    """Draw the UAR of each speaker, best first, with chance and the UAR over all of them."""
    figure, axes = _figure("UAR by speaker", leaky)
    order = np.argsort(-np.asarray(uars), kind="stable")
    axes.bar(range(len(order)), [uars[i] for i in order], 0.8, color=BLUE, alpha=0.75)
    axes.axhline(mean, color=INK, linewidth=1.2, label="all speakers")
    axes.axhline(chance, color=ORANGE, linewidth=1.2, linestyle="--", label="chance")
    if len(order) <= 32:
        axes.set_xticks(range(len(order)), [speakers[i] for i in order], fontsize=7)
        if max(map(len, speakers)) > 2:
            axes.tick_params(axis="x", rotation=90)
    else:
        axes.set_xticks([])
    axes.set(ylim=(0, 1.16), xlabel="speaker", ylabel="UAR")  # room for the legend
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.grid(True, axis="y")
    _legend(axes, "upper right", columns=2)
    return figure


def conditions_figure(
    conditions: Sequence[str], uars: Sequence[float], chance: float, leaky: bool = False
) -> Figure:
    """Draw the UAR of clips with a missing modality or a corruption, with chance."""
    figure, axes = _figure("Robustness", leaky)
    at = np.arange(len(conditions))
    axes.barh(at, uars, 0.7, color=BLUE, alpha=0.75)
    for y, uar in zip(at, uars, strict=True):
        axes.text(uar + 0.015, y, f"{100 * uar:.0f}", va="center", color=INK, fontsize=8)
    axes.axvline(chance, color=ORANGE, linewidth=1.2, linestyle="--", label="chance")
    axes.set_yticks(at, conditions)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="UAR (mean over folds)")
    _legend(axes, "lower right")
    return figure


def training_figure(
    histories: Sequence[Sequence[Mapping[str, str]]], leaky: bool = False, score: str = "uar"
) -> Figure:
    """Draw loss and validation score over epochs: a thin line per training run, thick the mean."""
    figure, (upper, lower) = _figure("Training", leaky, rows=2)
    curves = (
        (upper, "loss", BLUE, "training"),
        (upper, "val_loss", ORANGE, "validation"),
        (lower, f"val_{score}", ORANGE, "validation"),
    )
    for axes, column, colour, label in curves:
        series = [[float(row[column]) for row in rows] for rows in histories]
        for values in series:
            epochs = range(1, len(values) + 1)
            axes.plot(epochs, values, color=colour, linewidth=0.7, alpha=0.3)
        longest = max(map(len, series), default=0)
        mean = [np.mean([s[i] for s in series if len(s) > i]) for i in range(longest)]
        axes.plot(range(1, longest + 1), mean, color=colour, linewidth=2, label=label)
        axes.grid(True)
    upper.set(ylabel="loss")
    _legend(upper, "upper right")
    lower.xaxis.get_major_locator().set_params(integer=True)
    lower.set(xlabel="epoch", ylabel=f"validation {score.upper()}", ylim=(None, 1))
    lower.set_ylim(bottom=min(0, lower.get_ylim()[0]))  # a concordance may be below 0
    return figure


def png(figure: Figure) -> bytes:
    """Save on a white background; the same figure gives the same bytes."""
    data = BytesIO()
    with mpl.rc_context(STYLE), figure_text.legible(figure):
        figure.savefig(data, format="png", dpi=150, facecolor="white", metadata={"Software": None})
    return data.getvalue()


def svg(figure: Figure, title: str) -> str:
    """Return an ``<svg>`` element for a page, with a title for screen readers."""
    text = StringIO()
    with mpl.rc_context(STYLE | {"svg.hashsalt": title}), figure_text.legible(figure):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    element = text.getvalue()[text.getvalue().index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = element.replace("xlink:href", "href")
    used = set(re.findall(r"#(\w+)", element))
    for name in re.findall(r' id="([^"]+)"', element):
        if name not in used:  # figure_1 is in every plot, but ids must be unique on a page
            element = element.replace(f' id="{name}"', "")
    element = re.sub(r"font-family: [^;\"]+;? ?", "", element)  # the page's own
    element = re.sub(r'^<svg [^>]*?(viewBox="[^"]+")[^>]*>', r'<svg \1 role="img">', element)
    safe = title.replace("&", "&amp;").replace("<", "&lt;")
    element = element.replace(">", f"><title>{safe}</title>", 1)
    return element.replace(INK, "currentColor").strip()


def _legend(axes: Axes, place: Any, columns: int = 1) -> None:
    axes.legend(loc=place, ncols=columns, frameon=False, labelcolor=INK, fontsize=8)


def _figure(
    title: str, leaky: bool, size: tuple[float, float] = SIZE_INCHES, rows: int = 1
) -> tuple[Figure, Any]:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, dpi=110, layout="constrained")
        axes = figure.subplots(rows, 1, sharex=True)
    first: Axes = axes if rows == 1 else axes[0]
    lines = "\n".join(textwrap.wrap(title, round(TITLE_CHARACTERS * size[0])))
    first.set_title(lines, loc="left", fontsize=10, color=INK)
    if leaky:
        figure.text(
            0.5, 0.5, LEAKY, color=RED, fontsize=34, alpha=0.55, rotation=24, weight="bold",
            ha="center", va="center", zorder=10,
        )  # fmt: skip
    return figure, axes

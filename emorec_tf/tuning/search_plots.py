"""Plot of a search: every trial a line, and the importance of every axis for the score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from emorec_tf.tasks import plots

FEWEST_TRIALS = 8  # below, a forest would fit noise
TREES, SHUFFLES = 200, 20
NOTHING = "-"  # a hyperparameter that the choice does not have
NOT_THERE = -0.14  # height of those
FEW_VALUES, SPREAD = 5, 0.02
WIDE = 20.0  # numbers that differ by more than this factor are drawn on a logarithmic axis


def frame_of(trials: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Make a table of the values of finished trials; columns of numbers are numbers.

    Args:
        trials: results with ``values`` (words), ``epochs`` and ``score``.
    """
    names = sorted({name for trial in trials for name in trial["values"]})
    columns: dict[str, Any] = {}
    for name in names:
        words = [str(trial["values"].get(name, NOTHING)) for trial in trials]
        try:
            columns[name] = pd.Series([np.nan if w == NOTHING else float(w) for w in words])
        except ValueError:
            columns[name] = pd.Series(words)
    if len({trial["epochs"] for trial in trials}) > 1:
        columns["(epochs trained)"] = pd.Series([float(trial["epochs"]) for trial in trials])
    return pd.DataFrame(columns)


def importances(
    table: pd.DataFrame, scores: Sequence[float], seed: int
) -> dict[str, tuple[float, float]] | None:
    """How much worse a random forest explains the scores when a column is shuffled.

    Args:
        table: of ``frame_of``.
        scores: of the same trials.
        seed: of the forest and the shuffling.

    Returns:
        (mean, deviation) of the loss in R2 by column, the largest first; None where there are too
        few trials, or all have one score.

    Source:
        Breiman, Random Forests, 2001; scikit-learn's permutation_importance.
    """
    if len(table) < FEWEST_TRIALS or np.ptp(scores) == 0:
        return None
    words = [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]
    coding = ColumnTransformer(
        [("words", OneHotEncoder(handle_unknown="ignore", sparse_output=False), words)],
        remainder="passthrough",
    )
    forest = make_pipeline(coding, RandomForestRegressor(TREES, random_state=seed))
    forest.fit(table, scores)
    found = permutation_importance(forest, table, scores, n_repeats=SHUFFLES, random_state=seed)
    means, deviations = found.importances_mean, found.importances_std
    order = np.argsort(-means, kind="stable")
    return {table.columns[i]: (float(means[i]), float(deviations[i])) for i in order}


def positions(column: pd.Series) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Place a column's values between 0 and 1 (nan: no value), and label the ends."""
    if not pd.api.types.is_numeric_dtype(column):
        words = sorted(set(column) - {NOTHING})
        at = {word: i / max(1, len(words) - 1) for i, word in enumerate(words)}
        shown = [word if len(word) <= 20 else f"{word[:19]}…" for word in words]
        ticks = [(at[word], text) for word, text in zip(words, shown, strict=True)]
        return np.array([at.get(word, np.nan) for word in column]), ticks
    values = column.to_numpy(float)
    low, high = np.nanmin(values), np.nanmax(values)
    ends = [(0.0, f"{low:.3g}"), (1.0, f"{high:.3g}")]
    if low == high:
        return np.where(np.isnan(values), np.nan, 0.5), [(0.5, f"{low:.3g}")]
    if low > 0 and high / low > WIDE:
        values, low, high = np.log(values), np.log(low), np.log(high)
    return (values - low) / (high - low), ends


def plot(trials: Sequence[Mapping[str, Any]], score: str, seed: int) -> bytes:
    """Draw all finished trials as parallel coordinates above the importance of every axis.

    Args:
        trials: at least one result with a score.
        score: its name.
        seed: of the importance.
    """
    table, scores = frame_of(trials), [float(trial["score"]) for trial in trials]
    found = importances(table, scores, seed)
    with mpl.rc_context(plots.STYLE):
        width = max(6.5, 1.5 * (len(table.columns) + 1))
        lower = 0.9 + 0.28 * len(table.columns) if found else 0.5
        figure = Figure(figsize=(width, 3.8 + lower), dpi=110, layout="constrained")
        upper, bars = figure.subplots(2, 1, height_ratios=[3.8, lower])
        draw_lines(figure, upper, table, np.array(scores), score)
        draw_bars(bars, found)
    return plots.png(figure)


def draw_lines(
    figure: Figure, axes: Any, table: pd.DataFrame, scores: np.ndarray, score: str
) -> None:
    """Draw one line per trial over all axes to its score, the best one in red on top."""
    order = np.argsort(scores, kind="stable")
    shades = mpl.colors.Normalize(scores.min(), scores.max() + 1e-9)
    places = [positions(table[name]) for name in table]
    heights = np.array([*(place for place, _ in places), positions(pd.Series(scores))[0]])
    spread = np.linspace(-SPREAD, SPREAD, len(scores))  # equal values side by side, not on top
    for at, place in enumerate(heights):
        if len(np.unique(place)) <= FEW_VALUES and at < len(places):
            heights[at] = place + spread
    heights = np.where(np.isnan(heights), NOT_THERE + spread, heights)
    for trial in order:
        best = trial == order[-1]
        colour = plots.RED if best else mpl.colormaps["viridis"](shades(scores[trial]))
        axes.plot(heights[:, trial], color=colour, linewidth=2 if best else 1, alpha=0.8)
    ticks = [*(ticks for _, ticks in places), positions(pd.Series(scores))[1]]
    for (place, _), marks in zip(places, ticks, strict=False):
        if np.isnan(place).any():
            marks.append((NOT_THERE, "has none"))
    for at, marks in enumerate(ticks):
        axes.axvline(at, color=plots.GREY, linewidth=0.8, zorder=0)
        for height, text in marks:
            axes.annotate(
                text, (at, height), (3, 0), "data", "offset points", fontsize=7, va="center",
                bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.5},
            )  # fmt: skip
    axes.set_xticks(range(len(ticks)), [*table.columns, score], rotation=15, ha="center")
    axes.set(xlim=(-0.1, len(ticks) - 0.6), ylim=(-0.22, 1.08), yticks=[])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_title(f"{len(scores)} trials; the best in red", loc="left", fontsize=10)
    scale = mpl.cm.ScalarMappable(shades, "viridis")
    figure.colorbar(scale, ax=axes, label=score, fraction=0.03, pad=0.02)


def draw_bars(axes: Any, found: Mapping[str, tuple[float, float]] | None) -> None:
    """Draw the importance of each axis."""
    axes.set_title("Importance for the score", loc="left", fontsize=10)
    if found is None:
        axes.set_axis_off()
        text = f"fewer than {FEWEST_TRIALS} trials, or all of one score: no estimate"
        axes.text(0, 0.8, text, fontsize=8)
        return
    means, deviations = zip(*found.values(), strict=True)
    at = range(len(found))
    axes.barh(at, means, 0.7, xerr=deviations, color=plots.BLUE, alpha=0.75, ecolor=plots.GREY)
    axes.set_yticks(at, list(found))
    axes.invert_yaxis()
    axes.set_xlabel("loss of R² in a random forest of the trials when the column is shuffled")
    axes.grid(True, axis="x")

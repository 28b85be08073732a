"""Plots of the report with their captions, as SVG for the page and as PNG files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from emorec_tf.evaluation.crossval_results import FinishedRun
from emorec_tf.evaluation.model_card import MODE_NAMES, baseline
from emorec_tf.evaluation.shown_names import corruption
from emorec_tf.tasks import plots


@dataclass(frozen=True)
class Plot:
    """One plot; ``file`` is the path of its PNG below the report's folder."""

    file: str
    png: bytes
    svg: str
    caption: str


def plots_of(run: FinishedRun, found: Mapping[str, Any]) -> list[Plot]:
    """Draw everything in a run's metrics (``run_metrics.run_metrics``)."""
    return [
        Plot(
            file=f"{run.name}/{name}.png",
            png=plots.png(figure),
            svg=plots.svg(figure, f"{name.replace('_', ' ')} of {run.name}"),
            caption=caption,
        )
        for name, (figure, caption) in (_of_predictions(run, found) | _optional(run, found)).items()
    ]


def _of_predictions(run: FinishedRun, found: Mapping[str, Any]) -> dict[str, tuple[Figure, str]]:
    if run.task.rating:
        figure = plots.scatter_figure(run.truth, run.answers, run.task.rating, run.leaky)
        caption = f"Predictions of all seeds, {MODE_NAMES[run.mode]}. {baseline(found['scores'])}"
        return {"scatter": (figure, caption)}
    scores, leaky, speakers = found["scores"], run.leaky, found["speakers"]
    bars = ([row["speaker"] for row in speakers], [row["uar"] for row in speakers])
    mode = MODE_NAMES[run.mode]
    base = baseline(scores)
    coverage, risk = found["risk_curve"]
    return {
        "confusion": (
            plots.confusion_figure(scores["confusion"], run.classes, "Confusion", leaky),
            f"Predictions of all seeds, {mode}; shade: share of the row. {base}",
        ),
        "speakers": (
            plots.speakers_figure(*bars, scores["uar"], scores["chance_uar"], leaky),
            f"UAR of each of {len(speakers)} speakers, {mode}. {base}",
        ),
        "reliability": (
            plots.reliability_figure(found["reliability"], leaky),
            f"Points below the line: overconfident. ECE {100 * found['calibration']['ece']:.1f}"
            f" %, {mode}. {base}",
        ),
        "risk_coverage": (
            plots.risk_coverage_figure(coverage, risk, leaky),
            f"Error rate of the most confident predictions, {mode}. {base}",
        ),
    }


def _optional(run: FinishedRun, found: Mapping[str, Any]) -> dict[str, tuple[Figure, str]]:
    """Draw what not every run has."""
    scores, leaky = found["scores"], run.leaky
    drawn: dict[str, tuple[Figure, str]] = {}
    base = baseline(scores)
    histories = [run.histories[key] for key in sorted(run.histories)]
    if found["robustness"] and run.classes:
        names, uars = ([row[k] for row in found["robustness"]] for k in ("condition", "uar"))
        drawn["robustness"] = (
            plots.conditions_figure([*map(corruption, names)], uars, scores["chance_uar"], leaky),
            f"UAR with missing or corrupted modalities, {MODE_NAMES[run.mode]}. {base}",
        )
    if histories:
        drawn["training"] = (
            plots.training_figure(histories, leaky, run.task.score),
            f"{len(histories)} training runs (thin) and their mean (thick). {base}",
        )
    return drawn

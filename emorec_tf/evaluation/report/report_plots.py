"""Pictures of the report, each with the words below it: as SVG for the page and as a PNG."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from emorec_tf.evaluation.crossval_results import FinishedRun
from emorec_tf.evaluation.model_card import baseline
from emorec_tf.tasks import plots


@dataclass(frozen=True)
class Picture:
    """One drawing; ``file`` is where its PNG belongs, below the report's folder."""

    file: str
    png: bytes
    svg: str
    caption: str


def pictures(run: FinishedRun, found: Mapping[str, Any]) -> list[Picture]:
    """Draw all that the run's figures (``run_figures.figures``) have to show."""
    return [
        Picture(
            file=f"{run.name}/{name}.png",
            png=plots.png(figure),
            svg=plots.svg(figure, f"{name.replace('_', ' ')} of {run.name}"),
            caption=caption,
        )
        for name, (figure, caption) in (_of_answers(run, found) | _of_more(run, found)).items()
    ]


def _of_answers(run: FinishedRun, found: Mapping[str, Any]) -> dict[str, tuple[Figure, str]]:
    if run.task.rating:
        figure = plots.scatter_figure(run.truth, run.answers, run.task.rating, run.leaky)
        caption = f"Answers of all seeds, {run.mode} speakers. {baseline(found['scores'])}"
        return {"scatter": (figure, caption)}
    scores, leaky, speakers = found["scores"], run.leaky, found["speakers"]
    bars = ([row["speaker"] for row in speakers], [row["uar"] for row in speakers])
    known = f"{run.mode} speakers"
    base = baseline(scores)
    coverage, risk = found["risk_curve"]
    return {
        "confusion": (
            plots.confusion_figure(scores["confusion"], run.classes, "Confusion", leaky),
            f"Answers of all seeds, {known}; the fuller, the more of its row. {base}",
        ),
        "speakers": (
            plots.speakers_figure(*bars, scores["uar"], scores["chance_uar"], leaky),
            f"UAR of each of {len(speakers)} {known}. {base}",
        ),
        "reliability": (
            plots.reliability_figure(found["reliability"], leaky),
            f"Points below the line: surer than right. ECE {100 * found['calibration']['ece']:.1f}"
            f" %, {known}. {base}",
        ),
        "risk_coverage": (
            plots.risk_coverage_figure(coverage, risk, leaky),
            f"Error rate if only the surest clips are answered, {known}. {base}",
        ),
    }


def _of_more(run: FinishedRun, found: Mapping[str, Any]) -> dict[str, tuple[Figure, str]]:
    """Draw what a run may lack."""
    scores, leaky = found["scores"], run.leaky
    drawn: dict[str, tuple[Figure, str]] = {}
    base = baseline(scores)
    histories = [run.histories[key] for key in sorted(run.histories)]
    if found["robustness"] and run.classes:
        names, uars = ([row[k] for row in found["robustness"]] for k in ("condition", "uar"))
        drawn["robustness"] = (
            plots.conditions_figure(names, uars, scores["chance_uar"], leaky),
            f"What is left when a modality is gone or damaged, {run.mode} speakers. {base}",
        )
    if histories:
        drawn["training"] = (
            plots.training_figure(histories, leaky, run.task.score),
            f"Each training (of {len(histories)}) thin, their mean thick. {base}",
        )
    return drawn

"""All metrics of a finished run, from its predictions alone, for the report and the model card.

Where every seed predicts the same clips once, as it does unless enrolment clips are drawn, UAR and
WAR over all predictions are the means of those of the seeds.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from emorec_tf.evaluation.corpus_scores import by_corpus
from emorec_tf.evaluation.crossval_results import FinishedRun
from emorec_tf.evaluation.subgroups import Traits, groups, slices
from emorec_tf.splits.splits import natural
from emorec_tf.tasks import calibration, metrics, regression_metrics

COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
UNMODIFIED = ("clean", "as recorded", "none", "intact")  # names of that condition


def run_metrics(run: FinishedRun, traits: Traits) -> dict[str, Any]:
    """Compute every table of a run.

    Returns:
        ``scores`` (of ``metrics`` or ``regression_metrics``; ``n`` counts clips); ``seeds``,
        ``folds``, ``speakers``, ``corpora`` (of several), ``coverage``, ``robustness`` and
        ``training`` as lists of rows; of a classifier also ``recalls``, ``slices``,
        ``calibration``, ``reliability`` and ``risk``.
    """
    seeds = _scored(run, run.seeds, "seed")
    spread = [row[run.task.score] for row in seeds]
    people, dataset = run.speakers.tolist(), str(run.facts["dataset"])
    if run.classes:
        scores = metrics.scores(run.labels.tolist(), run.answers, run.classes, people)
    else:
        scores = regression_metrics.scores(run.truth, run.answers, run.baselines, people)
    scores |= {
        "n": len(set(run.clip_ids)),
        "speakers": len(set(run.speakers)),
        "seed_lowest": min(spread),
        "seed_highest": max(spread),
        "seed_deviation": float(np.std(spread, ddof=1)) if spread[1:] else None,
    }
    found = {
        "scores": scores,
        "seeds": seeds,
        "folds": _scored(run, run.folds, "fold"),
        "speakers": _scored(run, run.speakers, "speaker"),
        "corpora": by_corpus(
            run.task, run.truth, run.answers, run.clip_ids.tolist(), people, dataset
        ),
        "coverage": _coverage(run),
        "robustness": _robustness(run),
        "training": _training(run),
    }
    return found | (_of_classes(run, traits, scores) if run.classes else {})


def _of_classes(run: FinishedRun, traits: Traits, scores: dict[str, Any]) -> dict[str, Any]:
    """Compute what needs class probabilities."""
    truth, predicted = run.truth, run.answers.argmax(1)
    coverage, risk, area = calibration.risk_coverage(run.answers, truth)
    return {
        "recalls": [
            {"class": name, "clips": len(set(run.clip_ids[run.labels == name])), "recall": recall}
            for name, recall in scores["per_class_recall"].items()
        ],
        "calibration": _calibration(run, truth, area),
        "reliability": calibration.reliability(run.answers, truth),
        "risk": [{"coverage": c, "error": _at(coverage, risk, c)} for c in COVERAGES],
        "risk_curve": (coverage, risk),
        "slices": slices(
            run.clip_ids,
            truth,
            predicted,
            run.speakers,
            len(run.classes),
            groups(run.clip_ids.tolist(), traits),
        ),
    }


def _scored(run: FinishedRun, of: np.ndarray, name: str) -> list[dict[str, Any]]:
    """Metrics of each fold, seed or speaker."""
    rows = []
    for value in sorted(set(of.tolist()), key=natural):
        inside = of == value
        people = {} if name == "speaker" else {"speakers": len(set(run.speakers[inside]))}
        rows.append(
            {name: value, "clips": len(set(run.clip_ids[inside]))}
            | people
            | run.task.metrics(run.truth[inside], run.answers[inside])
        )
    return rows


def _coverage(run: FinishedRun) -> list[dict[str, Any]]:
    """Metrics by the modalities present; clips that lack one are evaluated too."""
    kinds = {
        "all clips": np.ones(len(run.truth), bool),
        "voice and face": run.heard & run.seen,
        "voice, no face": run.heard & ~run.seen,
        "face, no voice": ~run.heard & run.seen,
        "neither": ~run.heard & ~run.seen,
    }
    nothing: dict[str, Any] = dict.fromkeys(run.task.metrics(run.truth, run.answers))
    rows = []
    for kind, inside in kinds.items():
        clips = len(set(run.clip_ids[inside]))
        share = clips / len(set(run.clip_ids))
        scores = run.task.metrics(run.truth[inside], run.answers[inside]) if clips else nothing
        rows.append({"clips that have": kind, "clips": clips, "share": share, **scores})
    return rows


def _calibration(run: FinishedRun, truth: np.ndarray, area: float) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ece": calibration.ece(run.answers, truth),
        "brier": calibration.brier(run.answers, truth),
        "nll": calibration.nll(run.answers, truth),
        "aurc": area,
        "folds": len(run.temperatures),
    }
    for key in ("temperature", "ece_before", "ece_after", "nll_before", "nll_after"):
        values = [float(row[key]) for row in run.temperatures]
        found[key] = float(np.mean(values)) if values else None
    return found


def _at(coverage: np.ndarray, risk: np.ndarray, share: float) -> float:
    """Error rate of the most confident ``share`` of the predictions."""
    return float(risk[min(int(np.searchsorted(coverage, share - 1e-9)), len(risk) - 1)])


def _robustness(run: FinishedRun) -> list[dict[str, Any]]:
    """Mean over seeds and folds for each condition, and its change from the unmodified clips.

    These are means of the folds' metrics, which need not equal metrics over pooled predictions.
    """
    score, other = run.task.reported[1:]
    found: dict[str, dict[tuple[str, str], tuple[float, float]]] = defaultdict(dict)
    for row in run.robustness:
        key = (row["seed"], row["fold"])
        found[row["condition"]][key] = (float(row[score]), float(row[other]))
    if not found:
        return []
    start = next((c for c in found if c in UNMODIFIED), next(iter(found)))
    rows = []
    for condition, values in found.items():
        scores = [value for value, _ in values.values()]
        both = [key for key in values if key in found[start]]
        losses = [values[key][0] - found[start][key][0] for key in both]
        rows.append(
            {
                "condition": condition,
                score: float(np.mean(scores)),
                "lowest_fold": min(scores),
                "highest_fold": max(scores),
                other: float(np.mean([value for _, value in values.values()])),
                "change": float(np.mean(losses)) if losses else None,
            }
        )
    return rows


def _training(run: FinishedRun) -> list[dict[str, Any]]:
    """One row per epoch: means over the training runs that reached it."""
    task = run.task
    columns = (
        "loss",
        "val_loss",
        task.training_metric,
        f"val_{task.training_metric}",
        f"val_{task.score}",
    )
    by_epoch: dict[int, list[dict[str, str]]] = defaultdict(list)
    for _, history in sorted(run.histories.items()):
        for row in history:
            by_epoch[int(float(row["epoch"]))].append(row)
    return [
        {"epoch": epoch, "trainings": len(rows)}
        | {c: float(np.mean([float(row[c]) for row in rows])) for c in columns if c in rows[0]}
        for epoch, rows in sorted(by_epoch.items())
    ]

"""All figures of a finished run, from its answers alone: what report and model card tell.

Where every seed answers the same clips once, as it does unless clips are drawn to enrol speakers,
UAR and WAR over all answers are the means of the seeds'.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from emorec_tf import calibration, metrics
from emorec_tf.finished_runs import FinishedRun
from emorec_tf.slices import Traits, groups, slices
from emorec_tf.splits import natural

COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
AS_IT_WAS = ("clean", "as recorded", "none", "intact")  # names of the untouched condition


def figures(run: FinishedRun, traits: Traits) -> dict[str, Any]:
    """Compute every table of a run.

    Returns:
        ``scores`` (see ``metrics.scores``; ``n`` counts clips), ``seeds``, ``folds``,
        ``speakers``, ``recalls``, ``coverage``, ``robustness``, ``slices`` as lists of rows,
        ``calibration``, ``reliability``, ``risk`` and ``training``.
    """
    scores = metrics.scores(
        run.labels.tolist(), run.probabilities, run.classes, run.speakers.tolist()
    )
    truth, guesses = run.truth, run.probabilities.argmax(1)
    seeds = _scored(run, run.seeds, "seed")
    spread = [row["uar"] for row in seeds]
    scores |= {
        "n": len(set(run.clip_ids)),
        "speakers": len(set(run.speakers)),
        "seed_lowest": min(spread),
        "seed_highest": max(spread),
        "seed_deviation": float(np.std(spread, ddof=1)) if spread[1:] else None,
    }
    coverage, risk, area = calibration.risk_coverage(run.probabilities, truth)
    return {
        "scores": scores,
        "seeds": seeds,
        "folds": _scored(run, run.folds, "fold"),
        "speakers": _scored(run, run.speakers, "speaker"),
        "recalls": [
            {"class": name, "clips": len(set(run.clip_ids[run.labels == name])), "recall": recall}
            for name, recall in scores["per_class_recall"].items()
        ],
        "coverage": _coverage(run, truth, guesses),
        "calibration": _calibration(run, truth, area),
        "reliability": calibration.reliability(run.probabilities, truth),
        "risk": [{"coverage": c, "error": _at(coverage, risk, c)} for c in COVERAGES],
        "risk_curve": (coverage, risk),
        "robustness": _robustness(run),
        "slices": slices(
            run.clip_ids,
            truth,
            guesses,
            run.speakers,
            len(run.classes),
            groups(run.clip_ids.tolist(), traits),
        ),
        "training": _training(run),
    }


def _scored(run: FinishedRun, of: np.ndarray, name: str) -> list[dict[str, Any]]:
    """UAR and WAR of each fold, seed or speaker."""
    rows = []
    for value in sorted(set(of.tolist()), key=natural):
        inside = of == value
        confusion = _confusion(run, inside)
        people = {} if name == "speaker" else {"speakers": len(set(run.speakers[inside]))}
        rows.append(
            {name: value, "clips": len(set(run.clip_ids[inside]))}
            | people
            | {"uar": float(metrics.uar_of(confusion)), "war": float(metrics.war_of(confusion))}
        )
    return rows


def _confusion(run: FinishedRun, inside: np.ndarray) -> np.ndarray:
    confusion = np.zeros((len(run.classes),) * 2, int)
    np.add.at(confusion, (run.truth[inside], run.probabilities.argmax(1)[inside]), 1)
    return confusion


def _coverage(run: FinishedRun, truth: np.ndarray, guesses: np.ndarray) -> list[dict[str, Any]]:
    """Which clips lacked voice or face; they are scored all the same."""
    kinds = {
        "all clips": np.ones(len(truth), bool),
        "voice and face": run.heard & run.seen,
        "voice, no face": run.heard & ~run.seen,
        "face, no voice": ~run.heard & run.seen,
        "neither": ~run.heard & ~run.seen,
    }
    rows = []
    for kind, inside in kinds.items():
        clips = len(set(run.clip_ids[inside]))
        right = float((truth == guesses)[inside].mean()) if clips else None
        uar = float(metrics.uar_of(_confusion(run, inside))) if clips else None
        share = clips / len(set(run.clip_ids))
        rows.append(
            {"clips that have": kind, "clips": clips, "share": share, "uar": uar, "war": right}
        )
    return rows


def _calibration(run: FinishedRun, truth: np.ndarray, area: float) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ece": calibration.ece(run.probabilities, truth),
        "brier": calibration.brier(run.probabilities, truth),
        "nll": calibration.nll(run.probabilities, truth),
        "aurc": area,
        "folds": len(run.temperatures),
    }
    for key in ("temperature", "ece_before", "ece_after", "nll_before", "nll_after"):
        values = [float(row[key]) for row in run.temperatures]
        found[key] = float(np.mean(values)) if values else None
    return found


def _at(coverage: np.ndarray, risk: np.ndarray, share: float) -> float:
    """Error rate among the surest ``share`` of the answers."""
    return float(risk[min(int(np.searchsorted(coverage, share - 1e-9)), len(risk) - 1)])


def _robustness(run: FinishedRun) -> list[dict[str, Any]]:
    """Mean over seeds and folds for each condition, and what it costs against the clip as it was.

    These are means of the folds' figures, which pooled figures need not equal.
    """
    found: dict[str, dict[tuple[str, str], tuple[float, float]]] = defaultdict(dict)
    for row in run.robustness:
        key = (row["seed"], row["fold"])
        found[row["condition"]][key] = (float(row["uar"]), float(row["war"]))
    if not found:
        return []
    start = next((c for c in found if c in AS_IT_WAS), next(iter(found)))
    rows = []
    for condition, values in found.items():
        uars = [uar for uar, _ in values.values()]
        losses = [uar - found[start][k][0] for k, (uar, _) in values.items() if k in found[start]]
        rows.append(
            {
                "condition": condition,
                "uar": float(np.mean(uars)),
                "lowest_fold": min(uars),
                "highest_fold": max(uars),
                "war": float(np.mean([war for _, war in values.values()])),
                "change": float(np.mean(losses)) if losses else None,
            }
        )
    return rows


def _training(run: FinishedRun) -> list[dict[str, Any]]:
    """One row per epoch: means over the seeds' and folds' trainings that reached it."""
    columns = ("loss", "val_loss", "war", "val_war", "val_uar")
    by_epoch: dict[int, list[dict[str, str]]] = defaultdict(list)
    for _, history in sorted(run.histories.items()):
        for row in history:
            by_epoch[int(float(row["epoch"]))].append(row)
    return [
        {"epoch": epoch, "trainings": len(rows)}
        | {c: float(np.mean([float(row[c]) for row in rows])) for c in columns if c in rows[0]}
        for epoch, rows in sorted(by_epoch.items())
    ]

"""Command: cross-validation by folds and several random seeds; resumable, can be shared."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emorec_tf.cli import guarded, parse_options
from emorec_tf.config import config
from emorec_tf.config.fields import ROBUSTNESS, check, option
from emorec_tf.evaluation import (
    completeness,
    crossval_files,
    crossvalidation,
    shown_names,
    summary,
)
from emorec_tf.storage.files import read_csv
from emorec_tf.storage.screen import say, show
from emorec_tf.tasks import tasks
from emorec_tf.training import experiment
from emorec_tf.training.distributed import cluster


@dataclass(frozen=True)
class CrossvalOptions:
    """Which folds, how often, where to."""

    run: str | None = option(
        None, "folder to write, one run per fold and seed (default: runs/cv-<dataset>)"
    )
    protocol: str | None = option(
        None,
        "cross-validation protocol: ravdess/contiguous6, group_kfold:5, loso_session, ...; "
        "zoo lists them (required)",
    )
    seeds: int = option(
        3, "number of random seeds; each fold is trained once with each of 0, 1, 2, ..."
    )
    folds: str | None = option(None, "comma list of folds to run, counted from 0 (default: all)")
    allow_partial: bool = option(
        False, "accept records with fewer speakers or clips than the protocol has"
    )
    overwrite: bool = option(
        False, "delete what an earlier run left in that folder and start again"
    )
    robustness: bool = option(True, ROBUSTNESS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Plan, then train, score and join one fold after the other."""
    cluster.refuse("crossval", "share folds out with --folds")
    options, given = parse_options(argv, "crossval", CrossvalOptions, *config.SECTIONS.values())
    unused = [k for k in crossvalidation.SET_BY_PROTOCOL if given.pop(k, None) is not None]
    if unused:
        say(f"note: {', '.join(unused)} not used; the protocol and --seeds decide")
    check(options.seeds >= 1, "seeds", options.seeds, "at least 1")
    settings, records = experiment.resolve(given, show_progress=True)
    planned = crossvalidation.plan(settings, records, options.protocol, options.allow_partial)
    folder = Path(options.run or f"runs/cv-{settings.data.dataset}")
    words = ["python", "-m", "emorec_tf.crossval", *(sys.argv[1:] if argv is None else argv)]
    metrics = crossvalidation.crossval(
        planned,
        folder,
        seeds=options.seeds,
        folds=planned.chosen(options.folds),
        overwrite=options.overwrite,
        command=shlex.join(words),
        robustness=options.robustness,
    )
    if metrics:
        print_table(metrics, folder)
    return 0


def print_table(metrics: dict[str, Any], folder: Path) -> None:
    """Print the scores of all folds that are done."""
    facts, coverage = crossval_files.planned(folder), metrics["coverage"]
    names = {fold for _, fold in facts["done"]}
    part = completeness.scope(facts, len(names), coverage["clips"])
    if metrics["leaky"]:
        say("LEAKY: no score for new speakers")
    if part:
        say(f"PARTIAL: {part}; {completeness.NOT_COMPARABLE}")
    rows = summary.score_rows(metrics)
    score = tasks.of_facts(metrics).score
    name, spread = score.upper(), metrics[f"{score}_spread"]
    seeds = "  ".join(f"{value:.3f}" for value in metrics[f"{score}_per_seed"].values())
    rows.append((f"{name} per seed", seeds + (f" (sd {spread:.3f})" if spread is not None else "")))
    for row in metrics.get("by_corpus", []):
        rows.append((f"{name} on {row['corpus']}", f"{row[score]:.3f} ({row['clips']} clips)"))
    if "ece" in metrics:
        rows.append(("calibration error", crossval_files.calibration_line(folder)))
    folds, seed_count = completeness.whole(facts)[0], len(facts["seeds"])
    rows.append(("folds", f"{len(names)} of {folds}"))
    rows.append(("folds times random seeds", f"{len(facts['done'])} of {folds * seed_count} done"))
    table = folder / "robustness.csv"
    conditions = read_csv(table) if table.exists() else []
    for condition in dict.fromkeys(row["condition"] for row in conditions):
        values = [float(row[score]) for row in conditions if row["condition"] == condition]
        mean = sum(values) / len(values)
        rows.append((f"{name}, {shown_names.corruption(condition)}", f"{mean:.3f} (mean of folds)"))
    if not conditions:
        rows.append(("robustness", summary.NOT_MEASURED))
    title = f"{folder}: {metrics['protocol']}, {summary.speaker_mode(metrics)}"
    show(("score", "value"), rows, title, header=False)
    more = ", robustness.csv" if conditions else ""
    say(f"written: {folder}/crossval.json, metrics.json, predictions.csv{more}, ...")


if __name__ == "__main__":
    sys.exit(main())

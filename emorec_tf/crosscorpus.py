"""Command: train on each corpus, test on each: a matrix with intervals over speakers."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emorec_tf.cli import guarded, parse_options
from emorec_tf.config import config
from emorec_tf.config.fields import ROBUSTNESS, option
from emorec_tf.storage.screen import say, show
from emorec_tf.training.distributed import cluster


@dataclass(frozen=True)
class CrosscorpusOptions:
    """Which rows, how often, where to."""

    run: str | None = option(
        None, "folder to write: the matrix, and all runs (default: runs/crosscorpus-<dataset>)"
    )
    models: str | None = option(
        None,
        "comma list of trained models as rows, by name or folder; without --config or other "
        "settings nothing is trained (default: none)",
        metavar="LIST",
    )
    seeds: int = option(
        1, "number of random seeds; each training set is trained with each of 0, 1, 2, ..."
    )
    folds: int = option(
        5, "folds of the cross-validation within a corpus; fewer where its speakers are few"
    )
    overwrite: bool = option(
        False, "delete what an earlier matrix left in that folder and start again"
    )
    robustness: bool = option(True, ROBUSTNESS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Plan, train and score what is not done yet, print the matrix."""
    cluster.refuse("crosscorpus", "run it on one machine")
    sections = config.SECTIONS.values()
    options, given = parse_options(argv, "crosscorpus", CrosscorpusOptions, *sections)
    from emorec_tf.inference import corpus_matrix

    unused = [name for name in corpus_matrix.SET_BY_FOLDS if name in given]
    if unused:
        say(f"note: {', '.join(unused)} not used; the corpora and --seeds decide")
    words = ["python", "-m", "emorec_tf.crosscorpus", *(sys.argv[1:] if argv is None else argv)]
    models = [name.strip() for name in (options.models or "").split(",") if name.strip()]
    wanted = corpus_matrix.Wanted(
        run=options.run,
        models=models,
        seeds=options.seeds,
        folds=options.folds,
        overwrite=options.overwrite,
        command=shlex.join(words),
        robustness=options.robustness,
    )
    print_matrix(*corpus_matrix.made(given, wanted))
    return 0


def print_matrix(matrix: dict[str, Any], folder: Path) -> None:
    """Print UAR by training set and tested corpus, then a line on what each cell predicts."""
    from emorec_tf.evaluation import corpus_tables

    title, head, rows = corpus_tables.overview(matrix)
    show(head, rows, f"{folder}: {title}")
    for line in corpus_tables.lines(matrix):
        say(line)
    say(f"written: {folder}/matrix.csv, matrix.json, matrix.png, predictions/")


if __name__ == "__main__":
    sys.exit(main())

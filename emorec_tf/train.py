"""Command: records or a folder of clips, and a config, to a run directory; resumable."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from emorec_tf.cli import guarded, parse_options
from emorec_tf.config import choices, config
from emorec_tf.config.fields import COLUMNS, SPEAKERS, option
from emorec_tf.errors import UserError
from emorec_tf.storage import paths
from emorec_tf.storage.screen import say, show
from emorec_tf.training import experiment, train_run
from emorec_tf.training.distributed import cluster

if TYPE_CHECKING:
    from emorec_tf.evaluation.own_corpus import Outcome


@dataclass(frozen=True)
class TrainOptions:
    """What is trained on, and where the run goes."""

    source: str | None = option(
        None,
        "folder of labelled clips, in place of --records: it is recognised, prepared in the cache, "
        "cross-validated over its speakers and trained on, by the recipe for few clips unless a "
        "model is chosen",
    )
    columns: str | None = option(None, f"with --source: {COLUMNS}", metavar="PAIRS", expert=True)
    speakers: Literal["named", "clips"] = option("named", f"with --source; {SPEAKERS}")
    run: str | None = option(
        None, "folder of the run (default: runs/<dataset>-<fusion>, or runs/<source>)"
    )
    overwrite: bool = option(
        False, "delete what an earlier run left in that folder and start again"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Parse, check everything that needs no TensorFlow, train."""
    # settings of features are only compared with those of the records
    options, given = parse_options(argv, "train", TrainOptions, *config.SECTIONS.values())
    if options.source is not None:
        return of_source(options, given)
    if options.columns or options.speakers != "named":
        raise UserError("--columns and --speakers say how --source is read; give it, or drop them")
    if cluster.team():  # a lost machine is reported in one line instead
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    settings, records = experiment.resolve(given, show_progress=True)
    fusion, _ = choices.parse(settings.model.fusion)
    folder = paths.place(options.run or f"runs/{settings.data.dataset}-{fusion}")
    train_run.train(experiment.make(settings, records), folder, overwrite=options.overwrite)
    return 0


def of_source(options: TrainOptions, given: dict[str, Any]) -> int:
    """Train on a folder of clips; print the scores, and what is next."""
    if given.pop("records", None) is not None:
        raise UserError("train takes --source FOLDER or --records FOLDER, not both")
    cluster.refuse("train --source", "prepare the clips, and give --records that all share")
    from emorec_tf.evaluation import own_corpus

    source = own_corpus.Source(
        str(options.source), given.pop("dataset", None), options.speakers, options.columns
    )
    made = own_corpus.train(
        source, given, options.run, overwrite=options.overwrite, show_progress=True
    )
    if made.metrics:
        print_scores(made.metrics, made)
    print_next(made)
    return 0


def print_scores(metrics: Mapping[str, Any], made: Outcome) -> None:
    """Print the scores of the cross-validation, or of the test speakers."""
    from emorec_tf.evaluation import crossval_files, summary

    rows = summary.score_rows(dict(metrics))
    if made.crossval is not None and "ece" in metrics:
        rows.append(("calibration error", crossval_files.calibration_line(made.crossval)))
    how = metrics["protocol"] if made.crossval else summary.tested_on(dict(metrics))
    title = f"{made.crossval or made.run.folder}: {summary.speaker_mode(dict(metrics))}, {how}"
    show(("score", "value"), rows, title, header=False)
    if metrics["leaky"]:
        say("LEAKY: no score for new speakers")


def print_next(made: Outcome) -> None:
    """Print what is next, as commands."""
    run, folder = made.run, made.run.folder
    temperature = f", temperature {run.temperature:.2f}" if run.temperature else ""
    trained = "some of the clips" if run.split.test else "all clips"
    say(f"model: {folder}, trained on {trained}{temperature}")

    def command(verb: str, *words: object) -> None:
        say(f"next: {shlex.join(['python', '-m', f'emorec_tf.{verb}', *map(str, words)])}")

    command("predict", made.clip or "CLIP", "--run", folder)
    if run.split.test:
        command("evaluate", "--run", folder)
    if made.crossval is not None:
        page = folder.with_name(f"{folder.name}-report.html")
        command("report", "--run", made.crossval, "--out", page)
    if not made.metrics.get("leaky", run.split.leaky):
        evidence = ["--crossval", made.crossval] if made.crossval else []
        out = Path("saved_models") / folder.name
        command("ship", "--run", folder, *evidence, "--out", out)


if __name__ == "__main__":
    sys.exit(main())

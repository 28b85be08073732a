"""Command: a run to scores on its test speakers, held out from training."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from emorec_tf.cli import guarded, parse_options
from emorec_tf.config.fields import option
from emorec_tf.errors import UserError
from emorec_tf.evaluation import score_run, summary
from emorec_tf.storage.screen import say, show
from emorec_tf.training import run_dir


@dataclass(frozen=True)
class EvaluateOptions:
    """Which run, on which records."""

    run: str | None = option(None, "folder of a run that train wrote (required)")
    records: str | None = option(
        None, "folder of the records, if they were moved (default: where they were at training)"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Score the run, write its files, print the table."""
    options, _ = parse_options(argv, "evaluate", EvaluateOptions, config_flag=False)
    if options.run is None:
        raise UserError("evaluate needs --run FOLDER, a run that train wrote")
    loaded = run_dir.load(options.run)
    print_table(score_run.evaluate(loaded, options.records), loaded)
    return 0


def print_table(metrics: dict[str, Any], loaded: run_dir.Run) -> None:
    """Print scores and recalls."""
    speakers = f"{summary.speaker_mode(metrics)}, speakers {summary.speaker_names(metrics)}"
    rows = summary.score_rows(metrics)
    if loaded.classes:
        before = f"without {metrics['ece_before']:.3f}"
        scaling = f"at temperature {metrics['temperature']:.2f}; {before}"
        rows.append(("calibration error", f"{metrics['ece']:.3f} ({scaling})"))
    show(("score", "value"), rows, f"{loaded.folder}: {speakers}", header=False)
    names = f"predictions.csv, robustness.csv, {loaded.task.plot_name}.png"
    say(f"written: {loaded.folder}/metrics.json, {names}")


if __name__ == "__main__":
    sys.exit(main())

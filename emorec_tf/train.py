"""Command: records and a config to a run directory. The same command resumes after a kill."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from emorec_tf.cli import guarded, parse_options
from emorec_tf.config import choices, config
from emorec_tf.config.fields import option
from emorec_tf.storage import paths
from emorec_tf.training import experiment, train_run
from emorec_tf.training.distributed import cluster


@dataclass(frozen=True)
class TrainOptions:
    """Where the run goes."""

    run: str | None = option(None, "folder of the run (default: runs/<dataset>-<fusion>)")
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
    if cluster.team():  # a lost machine is reported in one line instead
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    settings, records = experiment.resolve(given, show_progress=True)
    fusion, _ = choices.parse(settings.model.fusion)
    folder = paths.place(options.run or f"runs/{settings.data.dataset}-{fusion}")
    train_run.train(experiment.make(settings, records), folder, overwrite=options.overwrite)
    return 0


if __name__ == "__main__":
    sys.exit(main())

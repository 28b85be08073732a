"""Command: package a run for others: weights, card, licence and checksums in one folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emorec_tf.cli import guarded, parse_options
from emorec_tf.config.fields import option
from emorec_tf.errors import UserError
from emorec_tf.storage.screen import say


@dataclass(frozen=True)
class ShipOptions:
    """Which run, evaluated by what, and where the package goes."""

    run: str | None = option(None, "folder of a run that train wrote (required)")
    crossval: str | None = option(
        None,
        "folder of a cross-validation with the same settings, after report; its scores go into the "
        "model card, its temperature into the model (default: none)",
    )
    crosscorpus: str | None = option(
        None,
        "folder of a matrix of corpora with a row for this training data or this model; the row "
        "goes into the model card (default: none)",
    )
    note: str | None = option(
        None, "paragraph for the model card, such as how the model was selected"
    )
    out: str | None = option(None, "folder to write, such as saved_models/my-model (required)")
    overwrite: bool = option(False, "replace an earlier package in that folder")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Package the run and print what was written."""
    options, _ = parse_options(argv, "ship", ShipOptions, config_flag=False)
    if options.run is None or options.out is None:
        raise UserError("ship needs --run FOLDER and --out FOLDER (see --help)")
    from emorec_tf.evaluation import crosscorpus_files, crossval_results
    from emorec_tf.exporting.package_model import package
    from emorec_tf.training import run_dir

    evaluated = crossval_results.read(options.crossval) if options.crossval else None
    matrix = crosscorpus_files.read(options.crosscorpus) if options.crosscorpus else None
    out, trained = Path(options.out), run_dir.load(options.run)
    package(trained, out, evaluated, options.note, options.overwrite, matrix)
    size = sum(file.stat().st_size for file in out.iterdir())
    say(f"{out}: {', '.join(sorted(f.name for f in out.iterdir()))}; {size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

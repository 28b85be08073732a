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

    run: str | None = option(None, "folder of a run that train wrote (required without --members)")
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
    members: str | None = option(
        None,
        "comma list of packaged models beside --out, one per ensemble member, in order: the "
        "package refers to them and multiplies their probabilities, without weights of its own; "
        "--run is then a trained ensemble, or left out (default: none)",
        metavar="LIST",
    )
    calibrate: str | None = option(
        None,
        "with --members: folder of records, to whose clips of speakers new to all members the "
        "temperature of the product is fitted (default: that of --crossval or --run, else 1)",
        metavar="FOLDER",
    )
    share: str = option(
        "",
        "comma list of packaged models beside --out: weights that they have, too, such as those of "
        "a frozen encoder, are not stored again (default: none)",
        metavar="LIST",
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
    if not (options.run or options.members) or options.out is None:
        raise UserError("ship needs --run FOLDER and --out FOLDER (see --help)")
    if options.calibrate and not options.members:
        raise UserError("--calibrate needs --members; evaluate calibrates a single run")
    if options.share and options.members:
        raise UserError("--members stores no weights of its own; drop --share")
    from emorec_tf.evaluation import crosscorpus_files, crossval_results
    from emorec_tf.exporting import package_ensemble, package_model
    from emorec_tf.training import run_dir

    evaluated = crossval_results.read(options.crossval) if options.crossval else None
    matrix = crosscorpus_files.read(options.crosscorpus) if options.crosscorpus else None
    out, trained = Path(options.out), run_dir.load(options.run) if options.run else None
    if options.members:
        evidence = package_ensemble.Evidence(
            trained, evaluated, options.calibrate, matrix, options.note
        )
        package_ensemble.package(options.members, out, evidence, options.overwrite)
    elif trained:
        package_model.package(
            trained, out, evaluated, options.note, options.overwrite, matrix, options.share
        )
    size = sum(file.stat().st_size for file in out.iterdir())
    say(f"{out}: {', '.join(sorted(f.name for f in out.iterdir()))}; {size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

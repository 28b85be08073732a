"""Command: a trained model and own labelled clips to a run with a new head."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from emorec_tf.cli import guarded, parse_options
from emorec_tf.config.config import DataConfig, TrainConfig
from emorec_tf.config.fields import option
from emorec_tf.errors import UserError
from emorec_tf.storage.screen import say


@dataclass(frozen=True)
class FinetuneOptions:
    """Which model, which clips, where to."""

    model: str | None = option(
        None,
        "model to start from: a name that zoo lists, or a run's folder (required)",
        flag="from",
        metavar="NAME",
    )
    source: str | None = option(
        None, "folder of the labelled clips, prepared in the cache (this, or --records)"
    )
    run: str | None = option(None, "folder of the run (default: runs/NAME-tuned)")
    unfreeze: bool = option(
        False,
        "of a network: after the new head, train the branches too, at a tenth of the rate",
    )
    overwrite: bool = option(
        False, "delete what an earlier run left in that folder and start again"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Parse, prepare, train, say what is next."""
    options, given = parse_options(argv, "finetune", FinetuneOptions, DataConfig, TrainConfig)
    if options.model is None:
        raise UserError("finetune needs --from NAME, a model that zoo lists or a run's folder")
    from emorec_tf.training import finetuning

    made = finetuning.finetune(
        options.model,
        options.source,
        records=given.pop("records", None),
        run=options.run,
        unfreeze=options.unfreeze,
        overwrite=options.overwrite,
        show_progress=True,
        **given,
    )
    if made.split.test:
        say(f"next: python -m emorec_tf.evaluate --run {made.folder}")
    say(f"next: python -m emorec_tf.predict CLIP --run {made.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

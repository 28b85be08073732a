"""Command: search settings and hyperparameters; every trial is a run. Resumes after a kill."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emorec_tf.cli import guarded, parse_options
from emorec_tf.config import config
from emorec_tf.config.config import Config
from emorec_tf.config.fields import check, option
from emorec_tf.storage.screen import say
from emorec_tf.training import experiment
from emorec_tf.training.distributed import cluster
from emorec_tf.tuning import search, search_run, search_space


@dataclass(frozen=True)
class TuneOptions(search.Tuner):
    """How to search, on which speakers, where to."""

    out: str | None = option(None, "folder to write (default: runs/tuned-<dataset>)")
    protocol: str | None = option(
        None,
        "take the speakers of one fold of this protocol: ravdess/contiguous6, ... (default: those "
        "of --train_speakers, --validation_speakers and --test_speakers)",
    )
    fold: int | None = option(None, "which fold of --protocol, counted from 0 (default: 0)")
    allow_partial: bool = option(
        False, "accept records with fewer speakers or clips than the protocol has"
    )
    overwrite: bool = option(
        False, "delete what an earlier search left in that folder and start again"
    )

    def __post_init__(self) -> None:
        """Refuse searches that cannot be."""
        super().__post_init__()
        check(self.fold is None or self.protocol is not None, "fold", self.fold, "with --protocol")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Check everything, then search: alone, as the chief, or for a chief."""
    cluster.refuse("tune", "share trials as docs/search.md says")
    options, given = parse_options(argv, "tune", TuneOptions, *config.SECTIONS.values())
    address, worker = search_run.role(os.environ)
    settings, records = experiment.resolve(given, show_progress=True)
    own, notes = search.nested(
        settings, records, options.protocol, options.fold or 0, options.allow_partial
    )
    for note in notes:
        say(f"note: {note}")
    folder = Path(options.out or f"runs/tuned-{settings.data.dataset}")
    words = ["python", "-m", "emorec_tf.tune", *(sys.argv[1:] if argv is None else argv)]
    section = section_of(argv, own.settings)
    planned = search.make(folder, own, section, options, options.protocol, shlex.join(words))
    search_run.tune(planned, options.overwrite, address, worker)
    return 0


def section_of(argv: Sequence[str] | None, settings: Config) -> dict[str, Any]:
    """Find the ``search:`` section of ``--config``; print the default one where there is none."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config")
    path = parser.parse_known_args(argv)[0].config
    section = config.read_mapping(path).get("search") if path else None
    if section is None:
        section = search_space.default(settings)
        where = f"{path} has no search: section" if path else "no --config, so no search: section"
        for line in (f"{where}; this one is used:", *search_space.text(section).splitlines()):
            say(line)
    return section


if __name__ == "__main__":
    sys.exit(main())

"""Command: list what there is. Reads the tables as text, so it answers at once."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from emorec_tf.cli import guarded, parse
from emorec_tf.config import choices
from emorec_tf.datasets import corpora


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Print datasets, branches, fusions and classical heads."""
    parse(argv, "zoo", config_flag=False)
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("dataset", "clips", "speakers", "classes", "what a label means", "licence")
    for name, row in corpora.DATASETS.items():
        counts = [str(n) if n else "any" for n in (row.clip_count, row.speaker_count)]
        table.add_row(name, *counts, str(len(row.emotions)), row.label_meaning, row.licence)
    console.print(table)
    for kind in choices.TABLES:
        table = Table(kind, "what it is", "knobs")
        for entry in choices.entries(kind).values():
            knobs = ", ".join(f"{k}={v!r}" for k, v in entry.arguments.items())
            table.add_row(entry.name, entry.summary, knobs)
        console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Command: list everything that can be chosen by name. Tables are read as text, so it is fast."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from emorec_tf.cli import guarded, parse

WIDTH = 200  # columns, where the output is no terminal


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Print models, datasets, branches, fusions, classifiers, features, protocols and metrics."""
    parse(argv, "zoo", config_flag=False)
    from rich.console import Console
    from rich.table import Column, Table

    from emorec_tf.inference.zoo_contents import contents

    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    for listing in contents():
        first, *others = listing.columns  # a name is never cut or wrapped, other columns may wrap
        columns = [Column(first, no_wrap=True), *(Column(c, overflow="fold") for c in others)]
        table = Table(*columns, title=listing.title, title_justify="left")
        for row in listing.rows:
            table.add_row(*row)
        console.print(table, markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())

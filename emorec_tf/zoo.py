"""Command: list everything that can be chosen by name. Tables are read as text, so it is fast."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from emorec_tf.cli import guarded, parse
from emorec_tf.storage.screen import console, show, show_list


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Print models, datasets, branches, fusions, classifiers, features, protocols and metrics."""
    parse(argv, "zoo", config_flag=False)
    from emorec_tf.inference.zoo_contents import contents

    to = console()
    for number, listing in enumerate(contents()):
        if number:
            print()
        if sys.stdout.isatty():
            show(listing.columns, listing.rows, listing.title, to)
        else:
            show_list(listing.columns, listing.rows, listing.title, to)
    return 0


if __name__ == "__main__":
    sys.exit(main())

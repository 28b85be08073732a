"""Command: one HTML page about cross-validated runs, made from their files alone."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emorec_tf.cli import guarded, parse_options
from emorec_tf.config.fields import option
from emorec_tf.errors import UserError
from emorec_tf.storage.screen import say


@dataclass(frozen=True)
class ReportOptions:
    """Which runs, and where the page goes."""

    run: tuple[str, ...] = option(
        (),
        "folders that crossval wrote; those that hold different folds of one cross-validation are "
        "joined (required)",
        several=True,
    )
    crosscorpus: str | None = option(
        None, "folder that crosscorpus wrote; its matrix becomes a section (default: none)"
    )
    out: str = option(
        "report.html", "HTML file to write; plots and tables go into <out>_files beside it"
    )
    records: str | None = option(
        None,
        "folder of the records, for subgroup scores by speaker attributes that the clip names do "
        "not give: sex, age, ... (default: none)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Write the page, a folder of plots and tables, and a MODEL_CARD.md into each run."""
    options, _ = parse_options(argv, "report", ReportOptions, config_flag=False)
    if not options.run and not options.crosscorpus:
        raise UserError(
            "report needs --run FOLDER [FOLDER ...], which crossval wrote, or --crosscorpus FOLDER"
        )
    if not options.out.endswith((".html", ".htm")):
        raise UserError(f"--out {options.out!r} must end in .html; give --out report.html")
    if len({Path(folder).resolve() for folder in options.run}) < len(options.run):
        raise UserError("--run names a folder twice; name each once")
    from emorec_tf.evaluation import crosscorpus_files, crossval_results
    from emorec_tf.evaluation.report import report_page

    runs = crossval_results.joined([crossval_results.read(folder) for folder in options.run])
    matrix = crosscorpus_files.read(options.crosscorpus) if options.crosscorpus else None
    words = ["--run", *options.run] if options.run else []
    for flag in ("crosscorpus", "records", "out"):
        words += [f"--{flag}", value] if (value := getattr(options, flag)) else []
    command = shlex.join(["python", "-m", "emorec_tf.report", *words])
    out = Path(options.out)
    for path in report_page.write(runs, out, options.records, command, matrix):
        say(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Command: export a run to formats of other runtimes, each compared with the run."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emorec_tf.cli import guarded, parse_options
from emorec_tf.config.fields import FACE_MODEL, MESH_MODEL, option
from emorec_tf.datasets.discovery import found
from emorec_tf.exporting.formats import FORMATS, chosen
from emorec_tf.storage.screen import say, show
from emorec_tf.training import model_store


@dataclass(frozen=True)
class ExportOptions:
    """Which run, which formats, and clips to compare on."""

    run: str | None = option(
        None,
        f"run folder that train wrote, or a model that zoo lists (default: "
        f"{model_store.DEFAULT_TEXT})",
        metavar="MODEL",
    )
    format: str = option(
        "saved_model",
        f"comma list of {', '.join(FORMATS)}; litert includes litert_int8; "
        "all but saved_model need pip install 'emorec-tf[export]'",
    )
    out: str = option("exported", "folder to write: the exported models and report.json")
    clips: tuple[str, ...] = option(
        (),
        "clips, or folders of clips, on which the exported models are compared with the original "
        "(default: random inputs)",
        several=True,
    )
    face_model: str | None = option(None, FACE_MODEL, expert=True)
    mesh_model: str | None = option(None, MESH_MODEL, expert=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Check what needs no TensorFlow, then export."""
    options, _ = parse_options(argv, "export", ExportOptions, config_flag=False)
    formats = chosen(options.format)
    folder = model_store.folder_of(model_store.chosen(options.run, "export"))
    model_store.check_sums(folder)
    from emorec_tf.exporting import export_run
    from emorec_tf.training import run_dir

    trained, out = run_dir.load(folder), Path(options.out)
    export_run.check_place(out, formats)
    clips = found(options.clips) if options.clips else []
    if trained.temperature is None and not trained.task.rating:
        say(f"note: {folder} is not calibrated; evaluate does it", error=True)
    models = (options.face_model, options.mesh_model)
    print_table(export_run.export(trained, formats, out, clips, *models))
    say(f"written: {out}/{export_run.REPORT}, {', '.join(FORMATS[name].place for name in formats)}")
    return 0


def print_table(report: Mapping[str, Any]) -> None:
    """Print for each format its largest difference from the run, its size and its speed."""
    names = report["compared_on"]
    on = f"{len(names)} random inputs" if names[0].startswith("random") else f"{len(names)} clips"
    network = f"{1000 * report['network_seconds_per_clip']:.1f} ms for the network alone"
    columns = ("format", "difference", "tolerance", "same class", "MB", "ms per clip")
    rows = []
    for name, row in report["formats"].items():
        output = "value" if "value" in row["differences"] else "probabilities"
        cells = (
            name,
            f"{row['differences'][output]:.1e}",
            f"{row['tolerance']:.0e}",
            f"{row['equal_answers']:.1%}" if "equal_answers" in row else "",
            f"{row['bytes'] / 1e6:.2f}",
            f"{1000 * row['seconds_per_clip']:.1f}",
        )
        rows.append(cells)
    show(columns, rows, f"compared on {on}; {network}")
    if "rounded" in report:
        found = report["rounded"]
        worst = max(found["differences"].get(n, 0.0) for n in ("probabilities", "value"))
        say(f"the run itself computes in {found['precision']}, which differs by {worst:.1e}")


if __name__ == "__main__":
    sys.exit(main())

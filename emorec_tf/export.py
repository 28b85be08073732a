"""Command: a run to files that other programs load, each compared with the run before it stands."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorec_tf import __version__
from emorec_tf.cli import guarded, parse
from emorec_tf.config.fields import nearest, option
from emorec_tf.datasets.discovery import found
from emorec_tf.errors import UserError
from emorec_tf.exporting import parity
from emorec_tf.exporting.parity import FACTS, INT8_TOLERANCE, TOLERANCE, Answer, Arrays, Case
from emorec_tf.inference import model_store
from emorec_tf.storage.files import write_atomically
from emorec_tf.storage.quiet import quiet, quietly
from emorec_tf.training import run_dir

if TYPE_CHECKING:
    from emorec_tf.exporting.export_graph import Serving

REPORT = "report.json"
TAIL = 1 << 20  # bytes at the end of a file in which an export of ours says so


@dataclass(frozen=True)
class ExportOptions:
    """Which run, to which formats, compared on which clips."""

    run: str | None = option(
        None, f"run directory that train wrote, or a model's name; none: {model_store.DEFAULT}"
    )
    format: str = option(
        "saved_model",
        "comma list of formats: saved_model, litert (with litert_int8 beside it), litert_int8, "
        "onnx; all but the first need pip install 'emorec_tf[export]'",
    )
    out: str = option("exported", "folder that gets one entry for each format and report.json")
    clips: tuple[str, ...] = option(
        (),
        "clips or folders to compare the files with the run on; none: random arrays",
        several=True,
    )
    face_model: str | None = option(None, "face detector's model file, where it has none inside")
    mesh_model: str | None = option(None, "face mesh's model file, where MediaPipe has none inside")


@dataclass(frozen=True)
class Format:
    """How an artefact is written and how its own runtime reads it again."""

    place: str  # file or folder in --out
    write: Callable[[Serving, Path], None]
    read: Callable[[Path], Answer]
    packages: tuple[str, ...] = ()  # modules it needs
    tolerance: float = TOLERANCE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Check everything that needs no TensorFlow, then export."""
    given = parse(argv, "export", ExportOptions, config_flag=False)
    options = ExportOptions(
        **{f.name: given[f.name] for f in fields(ExportOptions) if f.name in given}
    )
    formats = chosen(options.format)
    folder = model_store.folder_of(model_store.chosen(options.run, "export"))
    model_store.check_sums(folder)
    opened = run_dir.load(folder)
    out = Path(options.out)
    check_place(out, formats)
    paths = found(options.clips) if options.clips else []
    print_table(export(opened, formats, out, paths, options.face_model, options.mesh_model))
    return 0


def chosen(names: str) -> list[str]:
    """Split the comma list.

    Returns:
        Names in ``FORMATS``; what comes beside another one last.

    Raises:
        UserError: an unknown format, with the nearest name, or none at all, or its packages are
            not installed.
    """
    formats = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    for name in formats:
        if name not in FORMATS:
            raise UserError(f"unknown format {name!r}; {nearest(name, FORMATS)}")
        for package in FORMATS[name].packages:
            if importlib.util.find_spec(package) is None:
                raise UserError(
                    f"format {name} needs {package.replace('_', '-')}; "
                    f"pip install 'emorec_tf[export]'"
                )
    if not formats:
        raise UserError(f"--format names no format; known are {', '.join(FORMATS)}")
    return list(dict.fromkeys(formats + [BESIDE[name] for name in formats if name in BESIDE]))


def check_place(out: Path, formats: Sequence[str]) -> None:
    """Refuse to write over what no export left there."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; give --out a folder")
    for place in (*(FORMATS[name].place for name in formats), REPORT):
        there = out / place
        if there.exists() and not is_ours(there):
            raise UserError(f"{there} is in the way and no export of ours; give another --out")


def is_ours(path: Path) -> bool:
    """Whether an export wrote this folder or file: it says so itself."""
    if path.is_dir() and not any(path.iterdir()):
        return True
    try:
        with (path / "assets" / FACTS if path.is_dir() else path).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            return b'"emorec_tf": "' in file.read()
    except OSError:
        return False


def export(
    opened: run_dir.Run,
    formats: Sequence[str],
    out: Path,
    clips: Sequence[str] = (),
    face_model: str | None = None,
    mesh_model: str | None = None,
) -> dict[str, Any]:
    """Write a run in each format, compare each with the run, put it in its place, report.

    Args:
        opened: a trained run.
        formats: names in ``FORMATS``.
        out: folder that gets them; what an earlier export left there is replaced.
        clips: files to compare on; none: random arrays, with and without voice and face.
        face_model: face detector's model file, where it has none inside.
        mesh_model: face mesh's model file, where MediaPipe has none inside.

    Returns:
        What ``report.json`` holds.

    Raises:
        UserError: a run that cannot be exported, an unreadable clip, a full disk, or an artefact
            that differs from the run by too much (``Format.tolerance``). An earlier one stays, as
            do the formats before it.
    """
    from emorec_tf.exporting.export_graph import serving

    if opened.temperature is None and not opened.task.rating:
        print(f"note: {opened.folder} is not calibrated; evaluate does it", file=sys.stderr)
    model = run_dir.load_model(opened.model_file)
    served = serving(opened, model)
    cases = (
        parity.clip_cases(served, clips, face_model, mesh_model)
        if clips
        else parity.random_cases(served)
    )
    with quiet():
        wanted, network_seconds = parity.answers_of(
            parity.reference(served), cases, lambda case: case.example
        )
    report: dict[str, Any] = {
        "emorec_tf": __version__,
        "run": str(opened.folder),
        "compared_on": [case.name for case in cases],
        "network_seconds_per_clip": network_seconds,
        "formats": {},
    }
    if served.model is not model:
        own = dataclasses.replace(served, model=model)
        with quiet():
            report["rounded"] = parity.rounded(own, cases, wanted)
    out.mkdir(parents=True, exist_ok=True)
    for name in formats:
        row = kept(served, name, out, cases, wanted)
        report["formats"][name] = row
        write_atomically(out / REPORT, json.dumps(report, indent=1))
    return report


def kept(
    served: Serving, name: str, out: Path, cases: Sequence[Case], wanted: Sequence[Arrays]
) -> dict[str, Any]:
    """Write one format, compare it, put it in its place; return its row of the report."""
    made, choices = FORMATS[name], served.run.config.model
    whole = out / f".{made.place}.tmp"  # in the same folder: a rename must not cross disks
    others = [other for other in FORMATS if name not in (other, BESIDE.get(other))]
    failure = (
        f"{name} cannot hold {served.run.folder} (audio {choices.audio}, face {choices.face}, "
        f"fusion {choices.fusion}), other formats are {', '.join(others)}"
    )
    remove(whole)
    try:
        with quietly(failure):
            made.write(served, whole)
            row = parity.compare(name, made.read(whole), cases, wanted, made.tolerance)
        put(whole, out / made.place)
    except OSError as error:  # which may not know what was being written
        raise OSError(error.errno, error.strerror, str(out / made.place)) from error
    finally:
        remove(whole)
    return {**row, "path": made.place, "bytes": size(out / made.place)}


def put(whole: Path, target: Path) -> None:
    """Rename a finished artefact into its place; an earlier one goes last."""
    old = target.with_name(f".{target.name}.old")
    remove(old)
    if target.exists():
        target.rename(old)
    whole.rename(target)
    remove(old)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return sum(p.stat().st_size for p in [path, *path.rglob("*")] if p.is_file())


def print_table(report: Mapping[str, Any]) -> None:
    """Print one line a format: how far from the run, how large, how fast."""
    from rich.console import Console
    from rich.table import Table

    names = report["compared_on"]
    on = f"{len(names)} random" if names[0].startswith("random") else f"{len(names)} clips"
    network = f"{1000 * report['network_seconds_per_clip']:.1f} ms by the network alone"
    table = Table("format", "differs by", "at most", "same answer", "MB", "ms a clip")
    table.title = f"compared on {on}; {network}"
    for name, row in report["formats"].items():
        output = "value" if "value" in row["differences"] else "probabilities"
        table.add_row(
            name,
            f"{row['differences'][output]:.1e}",
            f"{row['tolerance']:.0e}",
            f"{row['equal_answers']:.1%}" if "equal_answers" in row else "",
            f"{row['bytes'] / 1e6:.2f}",
            f"{1000 * row['seconds_per_clip']:.1f}",
        )
    Console().print(table)
    if "rounded" in report:
        found = report["rounded"]
        worst = max(found["differences"].get(n, 0.0) for n in ("probabilities", "value"))
        print(f"the run itself answers in {found['precision']}, which differs by {worst:.1e}")


def later(module: str, function: str) -> Callable[..., Any]:
    """Give a function of a module that is imported at its first call: it brings TensorFlow."""

    def call(*arguments: Any) -> Any:
        return getattr(importlib.import_module(f"emorec_tf.{module}"), function)(*arguments)

    return call


LITERT, ONNX = ("ai_edge_litert",), ("onnx", "onnxruntime", "tf2onnx")
FORMATS: dict[str, Format] = {
    "saved_model": Format(
        "saved_model",
        later("exporting.saved_model", "write"),
        later("exporting.saved_model", "read"),
    ),
    "litert": Format(
        "model.tflite",
        later("exporting.litert", "write"),
        later("exporting.litert", "read"),
        LITERT,
    ),
    "onnx": Format(
        "model.onnx",
        later("exporting.onnx_file", "write"),
        later("exporting.onnx_file", "read"),
        ONNX,
    ),
    "litert_int8": Format(
        "model_int8.tflite",
        later("exporting.litert", "write_int8"),
        later("exporting.litert", "read"),
        LITERT,
        INT8_TOLERANCE,
    ),
}
BESIDE = {"litert": "litert_int8"}  # asked for with it


if __name__ == "__main__":
    sys.exit(main())

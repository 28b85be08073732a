"""Command: a run to files that other programs load, each compared with the run before it stands."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorec_tf import __version__, agreement, predict, runs
from emorec_tf.agreement import Answer, Arrays
from emorec_tf.clip import UserError
from emorec_tf.command_line import guarded, parse
from emorec_tf.config import nearest, option, to_yaml
from emorec_tf.records import write_atomically

if TYPE_CHECKING:
    from emorec_tf.serving import Serving

FACTS = "emorec_tf.json"  # also says that an export is ours, and may be replaced
REPORT = "report.json"


@dataclass(frozen=True)
class ExportOptions:
    """Which run, to which formats, compared on which clips."""

    run: str | None = option(None, "run directory that train wrote")
    format: str = option("saved_model", "comma list of formats: saved_model")
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

    write: Callable[[Serving, Path], None]
    read: Callable[[Path], Answer]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Check everything that needs no TensorFlow, then export."""
    given = parse(argv, "export", ExportOptions, config_flag=False)
    options = ExportOptions(
        **{f.name: given[f.name] for f in fields(ExportOptions) if f.name in given}
    )
    if options.run is None:
        raise UserError("export needs --run FOLDER, a run that train wrote")
    formats = chosen(options.format)
    opened = runs.load(options.run)
    out = Path(options.out)
    check_place(out, formats)
    paths = predict.found(options.clips) if options.clips else []
    print_table(export(opened, formats, out, paths, options.face_model, options.mesh_model))
    return 0


def chosen(names: str) -> list[str]:
    """Split the comma list.

    Raises:
        UserError: an unknown format, with the nearest name, or none at all.
    """
    formats = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    for name in formats:
        if name not in FORMATS:
            raise UserError(f"unknown format {name!r}; {nearest(name, FORMATS)}")
    if not formats:
        raise UserError(f"--format names no format; known are {', '.join(FORMATS)}")
    return formats


def check_place(out: Path, formats: Sequence[str]) -> None:
    """Refuse to write over what no export left there."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; give --out a folder")
    for name in (*formats, REPORT):
        there = out / name
        if there.exists() and not is_ours(there):
            raise UserError(f"{there} is in the way and no export of ours; give another --out")


def is_ours(path: Path) -> bool:
    """Whether an export wrote this folder or this report."""
    if path.is_dir() and not any(path.iterdir()):
        return True
    try:
        file = path / "assets" / FACTS if path.is_dir() else path
        return "emorec_tf" in json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def export(
    opened: runs.Run,
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
            that differs from the run by too much (``agreement.TOLERANCE``); an earlier one stays.
    """
    from emorec_tf.serving import serving

    if opened.temperature is None and not opened.task.rating:
        print(f"note: {opened.folder} is not calibrated; evaluate does it", file=sys.stderr)
    served = serving(opened, runs.load_model(opened.model_file))
    cases = (
        agreement.clip_cases(served, clips, face_model, mesh_model)
        if clips
        else agreement.random_cases(served)
    )
    wanted, network_seconds = agreement.answers_of(
        agreement.reference(served), cases, lambda case: case.example
    )
    out.mkdir(parents=True, exist_ok=True)
    rows = {}
    for name in formats:
        whole = out / f".{name}.tmp"  # in the same folder: a rename must not cross disks
        shutil.rmtree(whole, ignore_errors=True)
        try:
            FORMATS[name].write(served, whole)
            rows[name] = agreement.compare(name, FORMATS[name].read(whole), cases, wanted)
            put(whole, out / name)
        finally:
            shutil.rmtree(whole, ignore_errors=True)
        rows[name] |= {"path": name, "bytes": size(out / name)}
    report = {
        "emorec_tf": __version__,
        "run": str(opened.folder),
        "tolerance": agreement.TOLERANCE,
        "compared_on": [case.name for case in cases],
        "network_seconds_per_clip": network_seconds,
        "formats": rows,
    }
    write_atomically(out / REPORT, json.dumps(report, indent=1))
    return report


def put(whole: Path, target: Path) -> None:
    """Rename a finished artefact into its place; an earlier one goes last."""
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    whole.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return sum(p.stat().st_size for p in [path, *path.rglob("*")] if p.is_file())


def write_saved_model(served: Serving, folder: Path) -> None:
    """Write a SavedModel with the signatures ``serve`` and ``serving_default``, and its assets."""
    import tensorflow as tf

    from emorec_tf.serving import facts

    kept = folder.with_name(f"{folder.name}.assets")
    kept.mkdir(exist_ok=True)
    files = {FACTS: json.dumps(facts(served), indent=1), "config.yaml": to_yaml(served.run.config)}
    module = tf.Module()
    module.variables_kept = served.model.variables
    module.serve = served.function
    try:
        for name, text in files.items():
            (kept / name).write_text(text, encoding="utf-8")
        module.files = [tf.saved_model.Asset(str(kept / name)) for name in files]
        signatures = dict.fromkeys(("serve", "serving_default"), served.function)
        tf.saved_model.save(module, str(folder), signatures=signatures)
    except tf.errors.OpError as error:
        line = " ".join(str(error.message).split())[:200]
        raise UserError(f"cannot write {folder}: {line}") from error
    finally:
        shutil.rmtree(kept)


def read_saved_model(folder: Path) -> Answer:
    """Load a SavedModel by TensorFlow alone."""
    import tensorflow as tf

    serve = tf.saved_model.load(str(folder)).signatures["serve"]

    def answer(arrays: Arrays) -> Arrays:
        found = serve(**{name: tf.constant(array) for name, array in arrays.items()})
        return {name: value.numpy() for name, value in found.items()}

    return answer


def print_table(report: Mapping[str, Any]) -> None:
    """Print one line a format: how far from the run, how large, how fast."""
    from rich.console import Console
    from rich.table import Table

    table = Table("format", "compared on", "differs by", "MB", "ms a clip", "network alone, ms")
    names = report["compared_on"]
    on = f"{len(names)} random" if names[0].startswith("random") else f"{len(names)} clips"
    for name, row in report["formats"].items():
        output = "value" if "value" in row["differences"] else "probabilities"
        table.add_row(
            name,
            on,
            f"{row['differences'][output]:.1e}",
            f"{row['bytes'] / 1e6:.2f}",
            f"{1000 * row['seconds_per_clip']:.1f}",
            f"{1000 * report['network_seconds_per_clip']:.1f}",
        )
    Console().print(table)


FORMATS: dict[str, Format] = {"saved_model": Format(write_saved_model, read_saved_model)}


if __name__ == "__main__":
    sys.exit(main())

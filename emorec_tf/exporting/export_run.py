"""A run exported to one or more formats, each compared with the run before it takes its place."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorec_tf import __version__
from emorec_tf.errors import UserError
from emorec_tf.exporting import parity
from emorec_tf.exporting.formats import BESIDE, FORMATS
from emorec_tf.exporting.parity import FACTS, Arrays, Case
from emorec_tf.storage.files import put_in_place, remove, write_atomically
from emorec_tf.storage.quiet import quiet, quietly
from emorec_tf.training import run_dir

if TYPE_CHECKING:
    from emorec_tf.exporting.export_graph import Serving

REPORT = "report.json"
TAIL = 1 << 20  # bytes at the end of an exported file that are searched for its metadata


def check_place(out: Path, formats: Sequence[str]) -> None:
    """Refuse to overwrite anything that is not an earlier export."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; give --out a folder")
    for place in (*(FORMATS[name].place for name in formats), REPORT):
        path = out / place
        if path.exists() and not is_ours(path):
            raise UserError(f"{path} exists and is no export of emorec_tf; give another --out")


def is_ours(path: Path) -> bool:
    """Whether this folder or file is an export of this package, by its metadata."""
    if path.is_dir() and not any(path.iterdir()):
        return True
    try:
        with (path / "assets" / FACTS if path.is_dir() else path).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            return b'"emorec_tf": "' in file.read()
    except OSError:
        return False


def export(
    run: run_dir.Run,
    formats: Sequence[str],
    out: Path,
    clips: Sequence[str] = (),
    face_model: str | None = None,
    mesh_model: str | None = None,
) -> dict[str, Any]:
    """Write a run in each format, compare each with the run, then put it in its place.

    Args:
        run: a trained run.
        formats: names in ``FORMATS``.
        out: target folder; earlier exports in it are replaced.
        clips: files to compare on; none: random arrays, with and without audio and face.
        face_model: the face detector's model file, in place of its own.
        mesh_model: bundle of MediaPipe's FaceLandmarker, in place of the mesh.

    Returns:
        The content of ``report.json``.

    Raises:
        UserError: a run that cannot be exported, an unreadable clip, a full disk, or an artefact
            that differs from the run by more than ``Format.tolerance``. An earlier export stays, as
            do the formats written before it.
    """
    from emorec_tf.exporting.export_graph import serving
    from emorec_tf.training import ensemble

    model = ensemble.model_of(run)
    served = serving(run, model)
    cases = (
        parity.clip_cases(served, clips, face_model, mesh_model)
        if clips
        else parity.random_cases(served)
    )
    with quiet():
        wanted, network_seconds = parity.predictions_of(
            parity.reference(served), cases, lambda case: case.example
        )
    report: dict[str, Any] = {
        "emorec_tf": __version__,
        "run": str(run.folder),
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
        row = write_format(served, name, out, cases, wanted)
        report["formats"][name] = row
        write_atomically(out / REPORT, json.dumps(report, indent=1))
    return report


def write_format(
    served: Serving, name: str, out: Path, cases: Sequence[Case], wanted: Sequence[Arrays]
) -> dict[str, Any]:
    """Write one format, compare it and put it in its place; return its row of the report."""
    form, choices = FORMATS[name], served.run.config.model
    draft = out / f".{form.place}.tmp"  # on the same disk, for the rename
    others = [other for other in FORMATS if name not in (other, BESIDE.get(other))]
    failure = (
        f"{name} cannot represent {served.run.folder} (audio {choices.audio}, face {choices.face}, "
        f"fusion {choices.fusion}), other formats are {', '.join(others)}"
    )
    remove(draft)
    try:
        with quietly(failure):
            form.write(served, draft)
            row = parity.compare(name, form.read(draft), cases, wanted, form.tolerance)
        put_in_place(draft, out / form.place)
    except OSError as error:  # it may not name what was being written
        raise OSError(error.errno, error.strerror, str(out / form.place)) from error
    finally:
        remove(draft)
    return {**row, "path": form.place, "bytes": size(out / form.place)}


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return sum(p.stat().st_size for p in [path, *path.rglob("*")] if p.is_file())

"""Split files: CSV lists of who trains, validates and tests, made with this package or not."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from emorec_tf.config.fields import nearest
from emorec_tf.datasets import tables
from emorec_tf.datasets.speakers import normal_form, path_form
from emorec_tf.errors import UserError
from emorec_tf.splits.leaks import ROLES, Row, recording_of

COLUMNS = ("path", "speaker", "fold", "role")


def read(file: Path) -> list[Row]:
    """Read a split file.

    Raises:
        UserError: no such file, not CSV, a missing column, an empty field, an unknown role.
    """
    try:
        table = tables.read(file, COLUMNS)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}; give a CSV file") from error
    check_columns(file, [name for name in table.columns if name])
    rows = [
        row_of(file, number, dict(zip(table.columns, line, strict=False)))
        for number, line in table.rows.items()
    ]
    if not rows:
        raise UserError(f"{file} has no line below its header; nothing can be checked")
    return rows


def check_columns(file: Path, header: Sequence[str]) -> None:
    """Refuse a file that lacks a column."""
    for name in COLUMNS:
        if name not in header:
            raise UserError(
                f"{file} has no column {name!r}: it needs {','.join(COLUMNS)}; its first line has "
                f"{', '.join(header) or 'nothing'}"
            )


def row_of(file: Path, number: int, line: Mapping[str, str]) -> Row:
    """Check one line of a split file; ``number`` goes into the error message."""
    values = {name: line.get(name, "") for name in COLUMNS}
    for name, value in values.items():
        if not value:
            raise UserError(f"{file} line {number}: {name} is empty; fill it in")
    if values["role"] not in ROLES:
        raise UserError(
            f"{file} line {number}: unknown role {values['role']!r}; "
            f"{nearest(values['role'], ROLES)}"
        )
    path = posixpath.normpath(values["path"].replace("\\", "/"))
    speaker, fold, role = (values[name] for name in COLUMNS[1:])
    return Row(path, speaker, fold, role, recording_of(path), path_form(path))


def audio_hashes(
    paths: Iterable[str], folder: Path, waveform_of: Callable[[str], np.ndarray | None]
) -> tuple[dict[str, str], list[str]]:
    """Hash the decoded audio of each file.

    Equal hashes mean equal samples: a copy, or another lossless form of it. A recording that was
    compressed again has another hash; such twins are found by their names only.

    Args:
        paths: as in the split file.
        folder: searched for paths that do not exist from the working directory.
        waveform_of: decodes a file; ``None`` where it has no audio.

    Returns:
        {path: sha256 of the waveform}, without silent files, and notes on what was not compared.
    """
    found: dict[str, str] = {}
    missing: list[str] = []
    notes: list[str] = []
    for path in sorted(set(paths)):
        file = next((f for f in (Path(path), folder / path) if f.is_file()), None)
        if file is None:
            missing.append(path)
            continue
        try:
            waveform = waveform_of(str(file))
        except UserError as error:
            notes.append(f"audio not compared: {error}")
            continue
        if waveform is not None and waveform.any():
            found[path] = hashlib.sha256(waveform.tobytes()).hexdigest()
    if missing:
        notes.append(f"audio not compared: {len(missing)} files not found, such as {missing[0]}")
    return found, notes


def summary(rows: Sequence[Row], compared: int) -> str:
    """Say in one line what was checked; ``compared`` counts the files whose audio was hashed."""
    folds, paths = {r.fold for r in rows}, {r.form for r in rows}
    speakers = {normal_form(r.speaker) for r in rows}
    audio = f"audio of {compared} compared" if compared else "audio not compared (--sound does)"
    counts = ((folds, "fold"), (speakers, "speaker"), (paths, "path"))
    parts = [f"{len(names)} {what}{'' if len(names) == 1 else 's'}" for names, what in counts]
    return f"{', '.join(parts)}; {audio}"

"""Your own clips: by a table of paths, emotions and speakers, or by the names of folders."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from emorec_tf.config.clip import Clip
from emorec_tf.datasets import tables
from emorec_tf.datasets.discovery import (
    archives,
    files_below,
    is_image,
    is_media,
    join,
    log_left_out,
    usable,
)
from emorec_tf.datasets.label_files import emotion_named, is_emotion
from emorec_tf.datasets.speakers import looks_like_split
from emorec_tf.errors import UserError
from emorec_tf.storage.paths import Remote, place

_NAMES = ("labels.csv", "clips.csv")  # in any case
_COLUMNS = ("path", "emotion", "speaker")
_MORE_COLUMNS = ("session", "activation", "valence", "start", "end")


def read_folder(source: str, allow_missing: bool = False) -> list[Clip]:
    """Read your own clips: by a CSV, else by the names of the folders.

    ``source`` is a CSV or a folder that holds ``labels.csv`` or ``clips.csv``, with the columns
    ``path,emotion,speaker`` and, optionally, ``session,activation,valence,start,end``. Paths are
    absolute or relative to the CSV, ``start`` and ``end`` are seconds; other columns become traits.
    Without a CSV, the files lie in ``<speaker>/<emotion>/`` or are ``<emotion>/<speaker>_*``.

    Args:
        source: see above.
        allow_missing: keep the rows whose file is not there.

    Raises:
        UserError: Anything missing, unknown or not a number, with the file and the row.
    """
    if place(source).is_file():
        return join(_clips_in(place(source), allow_missing))
    files = files_below(source)
    name = _table_among(source, files)
    if name is None:
        inside = usable(files)
        log_left_out(sorted(set(files) - set(inside)), "that are no clips")
        return join(_from_folders(source, path) for path in inside)
    rows = list(_clips_in(place(source) / name, allow_missing, archives(files)))
    used = {path for _, path, _ in rows}
    log_left_out([p for p in files if _joined(place(source), p) not in used], f"not in {name}")
    return join(rows)


def _table_among(source: str, files: Sequence[str]) -> str | None:
    for name in _NAMES:
        found = [path for path in files if path.lower() == name]
        if found[1:]:
            raise UserError(f"{source} holds {' and '.join(found)}; remove one, or give one itself")
        if found:
            return found[0]
    return None


@dataclass(frozen=True)
class _Row:
    """One row of a table, its file found."""

    where: str  # in errors
    values: Mapping[str, str]
    path: str
    there: bool
    start: float
    end: float | None


def _clips_in(file: Path, allow_missing: bool, beside: str = "") -> Iterator[tuple[Clip, str, str]]:
    """Yield what each row of a table says, for ``discovery.join``.

    ``beside`` ends the error on rows without a file.
    """
    table = tables.read(file, _COLUMNS)
    rows = {
        number: _row(file, f"{file} row {number}", values, table.delimiter)
        for number, values in table.records(_COLUMNS).items()
    }
    absent = [number for number, row in rows.items() if not row.there]
    if absent and not allow_missing:
        first = rows[absent[0]]
        raise UserError(
            f"{file}: {len(absent)} of {len(rows)} rows name no file, the first in row {absent[0]}:"
            f" {first.values['path']} (no file {first.path}; paths are relative to the CSV); "
            f"correct them, or leave them out by --allow_refused{beside}"
        )
    of_file = Counter(row.path for row in rows.values())
    from_start = Counter((row.path, row.start) for row in rows.values())
    for row in rows.values():
        several, at_once = of_file[row.path] > 1, from_start[row.path, row.start] > 1
        clip_id = Path(os.path.relpath(Path(row.path).with_suffix(""), file.parent)).as_posix()
        part = f"@{row.start:.3f}" if several else ""
        if at_once:  # two talkers, or a part of a part
            part += f"-{'end' if row.end is None else f'{row.end:.3f}'} {row.values['speaker']}"
        yield _clip(f"{clip_id}{part}", row, table.delimiter), row.path, ""


def _row(file: Path, where: str, values: Mapping[str, str], delimiter: str) -> _Row:
    for name in _COLUMNS:
        if not values[name]:
            raise UserError(f"{where}: no {name}; fill it in or remove the row")
    path, there = _path(file.parent, values["path"])
    if not is_media(path) and not is_image(path):
        raise UserError(f"{where}: {values['path']} is no audio, video or image file")
    start = tables.number(values, "start", where, delimiter) or 0.0
    end = tables.number(values, "end", where, delimiter)
    if start < 0 or (end is not None and end <= start):
        raise UserError(f"{where}: start {start:g} and end {end} (seconds) are no interval")
    return _Row(where, values, path, there, start, end)


def _path(folder: Path, text: str) -> tuple[str, bool]:
    """Find the file of a row: as written, with the slashes of Windows, in another Unicode form.

    Returns its path and whether it is there.
    """
    plain = text.replace("\\", "/")
    forms = (text, plain, *(unicodedata.normalize(form, plain) for form in ("NFC", "NFD")))
    for path in dict.fromkeys(_joined(folder, form) for form in forms):
        here = place(path)
        # os.path answers False on names that no file can have, such as too long ones
        if here.is_file() if isinstance(here, Remote) else os.path.isfile(here):  # noqa: PTH113
            return path, True
    return _joined(folder, plain), False


def _joined(folder: Path, path: str) -> str:
    whole = folder / path
    return str(whole) if isinstance(whole, Remote) else os.path.normpath(whole)  # a URL has no ..


def _clip(clip_id: str, row: _Row, delimiter: str) -> Clip:
    values = row.values
    return Clip(
        clip_id=clip_id,
        speaker=values["speaker"],
        emotion=emotion_named(values["emotion"], row.where),
        session=values.get("session", ""),
        activation=tables.number(values, "activation", row.where, delimiter),
        valence=tables.number(values, "valence", row.where, delimiter),
        start_seconds=row.start,
        end_seconds=row.end,
        traits={k: values[k] for k in values if k and k not in _COLUMNS + _MORE_COLUMNS},
    )


def _from_folders(source: str, path: str) -> tuple[Clip, str, str]:
    parts = path.split("/")
    where = str(place(source) / path)
    forms = "<speaker>/<emotion>/<file>, <emotion>/<speaker>_<file> or a labels.csv"
    if len(parts) < 2:
        raise UserError(f"{where}: emotion or speaker are not in the path; use {forms}")
    if not is_emotion(parts[-2]) and is_emotion(parts[-3] if len(parts) > 2 else ""):
        raise UserError(
            f"{where}: the folders are <emotion>/<speaker>/; change them to <speaker>/<emotion>/, "
            "or give a labels.csv"
        )
    emotion = emotion_named(parts[-2], where)
    prefix, underscore, _ = parts[-1].partition("_")
    speaker = parts[-3] if len(parts) > 2 else prefix if underscore else ""
    if not speaker:
        raise UserError(f"{where}: the speaker is unknown; use {forms}")
    # Reading "train" as a speaker would put the same people into training and test.
    if looks_like_split(speaker):
        raise UserError(
            f"{where}: {speaker} looks like a split, not a speaker; give a labels.csv with a "
            "speaker column"
        )
    clip_id = PurePosixPath(path).with_suffix("").as_posix()
    return Clip(clip_id=clip_id, speaker=speaker, emotion=emotion, traits={}), where, ""

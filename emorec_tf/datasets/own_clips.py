"""Your own clips: by a table of paths, emotions and speakers, or by the names of folders."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from emorec_tf.config.clip import Clip
from emorec_tf.datasets import tables
from emorec_tf.datasets.corpus import CLIPS, Reading
from emorec_tf.datasets.discovery import (
    archives,
    files_below,
    is_image,
    is_media,
    join,
    log_left_out,
    usable,
)
from emorec_tf.datasets.emotion_names import is_emotion
from emorec_tf.datasets.own_labels import Found, label_at, with_classes
from emorec_tf.datasets.speakers import check_people, looks_like_split
from emorec_tf.errors import UserError
from emorec_tf.storage.paths import Remote, place

_NAMES = ("labels.csv", "clips.csv")  # in any case
_COLUMNS = ("path", "emotion", "speaker")
_MORE_COLUMNS = ("session", "activation", "valence", "start", "end")
COLUMNS = _COLUMNS + _MORE_COLUMNS
_RENAMED = ", or say how it names them: --columns emotion=label,speaker=subject"


def read_folder(reading: Reading) -> list[Clip]:
    """Read your own clips: by a CSV, else by the names of the folders.

    The source is a CSV or a folder that holds ``labels.csv`` or ``clips.csv``, with the columns
    ``path,emotion,speaker`` and, optionally, ``session,activation,valence,start,end``. Paths are
    absolute or relative to the CSV, ``start`` and ``end`` are seconds; other columns become traits.
    Without a CSV, the files lie in ``<speaker>/<emotion>/`` or are ``<emotion>/<speaker>_*``.

    Any emotion is a class: see ``own_labels.with_classes``. With ``speakers`` "clips", nothing need
    name the speaker.

    Raises:
        UserError: Anything missing or not a number, with the file and the row.
    """
    return join(with_classes(_labelled(reading), reading.declared))


def _labelled(reading: Reading) -> list[Found]:
    """Clips with their labels as they are written."""
    source = reading.source
    if place(source).is_file():
        return list(_clips_in(place(source), reading))
    files = files_below(source)
    name = table_among(source, files)
    if name is None:
        inside = usable(files)
        log_left_out(sorted(set(files) - set(inside)), "that are no clips")
        return _from_folders(reading, inside)
    rows = list(_clips_in(place(source) / name, reading, archives(files)))
    used = {path for _, path, _ in rows}
    log_left_out([p for p in files if _joined(place(source), p) not in used], f"not in {name}")
    return rows


def table_among(source: str, files: Sequence[str]) -> str | None:
    """Name the table among the files of a folder; None where there is none.

    Raises:
        UserError: there are two.
    """
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


def _clips_in(file: Path, reading: Reading, beside: str = "") -> Iterator[Found]:
    """Yield what each row of a table says, for ``discovery.join``.

    ``beside`` ends the error on rows without a file.
    """
    needed = _COLUMNS[:2] if reading.speakers == CLIPS else _COLUMNS
    table = tables.read(file, needed, reading.columns)
    rows = {
        number: _row(file, f"{file} row {number}", values, table.delimiter, needed)
        for number, values in table.records(needed, _RENAMED).items()
    }
    if "speaker" in needed:
        check_people((row.values["speaker"] for row in rows.values()), str(file))
    absent = [number for number, row in rows.items() if not row.there]
    if absent and not reading.allow_missing:
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
            end = "end" if row.end is None else f"{row.end:.3f}"
            part += f"-{end} {row.values.get('speaker', '')}"
        label = label_at(row.values["emotion"], row.where, reading.declared)
        yield _clip(f"{clip_id}{part}", label, row, table.delimiter), row.path, ""


def _row(
    file: Path, where: str, values: Mapping[str, str], delimiter: str, needed: Sequence[str]
) -> _Row:
    for name in needed:
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


def _clip(clip_id: str, label: str, row: _Row, delimiter: str) -> Clip:
    values = row.values
    return Clip(
        clip_id=clip_id,
        speaker=values.get("speaker", CLIPS),
        emotion=label,
        session=values.get("session", ""),
        activation=tables.number(values, "activation", row.where, delimiter),
        valence=tables.number(values, "valence", row.where, delimiter),
        start_seconds=row.start,
        end_seconds=row.end,
        traits={k: values[k] for k in values if k and k not in COLUMNS},
    )


_FORMS = "<speaker>/<emotion>/<file>, <emotion>/<speaker>_<file> or a labels.csv"


def _from_folders(reading: Reading, paths: Sequence[str]) -> list[Found]:
    # People of whom a folder of a known emotion is there, whatever their names mean.
    people = {names[-3] for names in _split(paths) if len(names) > 2 and is_emotion(names[-2])}
    return [_from_names(reading, names, people) for names in _split(paths)]


def _split(paths: Sequence[str]) -> list[list[str]]:
    return [path.split("/") for path in paths]


def _from_names(reading: Reading, parts: Sequence[str], people: Collection[str]) -> Found:
    where = str(place(reading.source) / "/".join(parts))
    if len(parts) < 2:
        raise UserError(f"{where}: emotion or speaker are not in the path; use {_FORMS}")
    above = parts[-3] if len(parts) > 2 else ""
    looks_wrong = not looks_like_split(parts[-2]) and not is_emotion(parts[-2])
    if looks_wrong and is_emotion(above) and above not in people:
        raise UserError(
            f"{where}: the folders are <emotion>/<speaker>/; change them to <speaker>/<emotion>/, "
            "or give a labels.csv"
        )
    prefix, underscore, _ = parts[-1].partition("_")
    speaker = above or (prefix if underscore else "")
    unnamed = reading.speakers == CLIPS
    if not speaker and not unnamed:
        raise UserError(
            f"{where}: the speaker is unknown; use {_FORMS}, or --speakers clips, whose scores are "
            "LEAKY"
        )
    # Reading "train" as a speaker would put the same people into training and test.
    for name, meant in ((speaker, "a speaker"), (parts[-2], "an emotion")):
        if looks_like_split(name) and not (unnamed and meant == "a speaker"):
            raise UserError(
                f"{where}: {name} looks like a split, not {meant}; give a labels.csv with a "
                "speaker column"
            )
    label = label_at(parts[-2], where, reading.declared)
    clip_id = PurePosixPath(*parts).with_suffix("").as_posix()
    clip = Clip(clip_id=clip_id, speaker=CLIPS if unnamed else speaker, emotion=label, traits={})
    return clip, where, ""

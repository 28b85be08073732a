"""Corpora with label files: your own clips, CREMA-D and MSP-IMPROV."""

from __future__ import annotations

import csv
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from emorec_tf.config.clip import EMOTIONS, Clip
from emorec_tf.config.fields import nearest
from emorec_tf.datasets.discovery import files_below, is_image, is_media, join, log_left_out, usable
from emorec_tf.datasets.speakers import looks_like_split
from emorec_tf.errors import UserError
from emorec_tf.storage.paths import Remote, place

# Other names of the emotions in EMOTIONS.
ALIASES = {
    "neutral": ("neu", "neutrality"),
    "calm": ("calmness", "cal"),
    "happy": ("happiness", "hap", "joy", "joyful"),
    "sad": ("sadness",),
    "angry": ("anger", "ang"),
    "fearful": ("fear", "fea", "scared", "afraid", "anxiety"),
    "disgust": ("disgusted", "dis"),
    "surprised": ("surprise", "sur"),
    "boredom": ("bored", "bor"),
}
_EMOTION_OF = {name: name for name in EMOTIONS} | {
    alias: emotion for emotion, aliases in ALIASES.items() for alias in aliases
}
_COLUMNS = ("path", "emotion", "speaker")
_MORE_COLUMNS = ("session", "activation", "valence", "start", "end")
_VOTES = {"A": "angry", "D": "disgust", "F": "fearful", "H": "happy", "N": "neutral", "S": "sad"}
_PERSON = ("sex", "age", "race", "ethnicity")
_IMPROV_LETTERS = {"A": "angry", "H": "happy", "S": "sad", "N": "neutral"}
_IMPROV_LINE = re.compile(
    r"(?:UTD|MSP)-(?P<clip>IMPROV-[A-Z0-9-]+)\.(?:avi|wav)\s*;\s*(?P<letter>[A-Z])\s*;"
    r"\s*A:\s*(?P<activation>[\d.]+|NaN)\s*;\s*V:\s*(?P<valence>[\d.]+|NaN)\s*;",
    re.IGNORECASE,
)
_LOG = logging.getLogger(__name__)


def emotion_named(name: str, where: str) -> str:
    """Return the emotion of ``EMOTIONS`` that ``name`` stands for; ``where`` goes in the error."""
    emotion = _EMOTION_OF.get(name.strip().lower())
    if emotion is None:
        raise UserError(f"{where}: unknown emotion {name!r}; {nearest(name.lower(), _EMOTION_OF)}")
    return emotion


# --- your own clips ----------------------------------------------------------------------------


def read_folder(source: str, label: str = "") -> list[Clip]:
    """Read your own clips: by a CSV, else by the names of the folders.

    ``source`` is a CSV or a folder that holds ``labels.csv`` or ``clips.csv``, with the columns
    ``path,emotion,speaker`` and, optionally, ``session,activation,valence,start,end``. Paths are
    relative to the CSV, ``start`` and ``end`` are seconds; other columns become traits.
    Without a CSV, the files lie in ``<speaker>/<emotion>/`` or are ``<emotion>/<speaker>_*``.

    Raises:
        UserError: Anything missing, unknown or not a number, with the file and the row.
    """
    del label  # one kind only
    if place(source).is_file():
        return join(_csv_rows(place(source)))
    files = files_below(source)
    for name in ("labels.csv", "clips.csv"):
        if name in files:
            return join(_csv_rows(place(source) / name))
    inside = usable(files)
    log_left_out(sorted(set(files) - set(inside)), "that are no clips")
    return join(_from_folders(source, path) for path in inside)


def _table(path: Path, needed: tuple[str, ...]) -> dict[int, dict[str, str]]:
    """Return {row number: row} of a CSV: lower-case keys, values without blanks around them."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV in UTF-8 ({error}); save it as one") from error
    head = [name.strip().lower() for name in lines[0]] if lines else []
    missing = [name for name in needed if name not in head]
    if missing or len(lines) < 2:
        what = f"no column {', '.join(missing)}" if missing else "no row"
        raise UserError(f"{path}: {what}; the first row must name {','.join(needed)}")
    rows = {}
    for number, line in enumerate(lines[1:], start=2):
        if any(line):
            if len(line) != len(head):
                raise UserError(f"{path} row {number}: {len(line)} fields, row 1 has {len(head)}")
            rows[number] = dict(zip(head, map(str.strip, line), strict=True))
    return rows


def _csv_rows(table: Path) -> Iterator[tuple[Clip, str, str]]:
    rows = _table(table, _COLUMNS)
    used = Counter(row["path"] for row in rows.values())
    for number, row in rows.items():
        yield _clip_of_row(table, f"{table} row {number}", row, used[row["path"]] > 1)


def _clip_of_row(
    table: Path, where: str, row: Mapping[str, str], several: bool
) -> tuple[Clip, str, str]:
    for name in _COLUMNS:
        if not row[name]:
            raise UserError(f"{where}: no {name}; fill it in or remove the row")
    path = table.parent / row["path"]
    if not isinstance(path, Remote):  # a URL has no ..
        path = Path(os.path.normpath(path))
    if not is_media(path.name) and not is_image(path.name):
        raise UserError(f"{where}: {row['path']} is no audio, video or image file")
    if not path.is_file():
        raise UserError(f"{where}: no file {path}; paths are relative to the CSV")
    start, end = _number(row, "start", where) or 0.0, _number(row, "end", where)
    if start < 0 or (end is not None and end <= start):
        raise UserError(f"{where}: start {start:g} and end {end} (seconds) are no interval")
    clip_id = Path(os.path.relpath(path.with_suffix(""), table.parent)).as_posix()
    clip = Clip(
        clip_id=f"{clip_id}@{start:.3f}" if several else clip_id,
        speaker=row["speaker"],
        emotion=emotion_named(row["emotion"], where),
        session=row.get("session", ""),
        activation=_number(row, "activation", where),
        valence=_number(row, "valence", where),
        start_seconds=start,
        end_seconds=end,
        traits={key: row[key] for key in row if key and key not in _COLUMNS + _MORE_COLUMNS},
    )
    return clip, str(path), ""


def _number(row: Mapping[str, str], column: str, where: str) -> float | None:
    """Return a column as a finite number; None where it is absent, empty or NaN."""
    text = row.get(column, "")
    if text.lower() in ("", "nan"):
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("inf")
    if abs(value) == float("inf"):
        raise UserError(f"{where}: {column} is {text!r}, not a number") from None
    return value


def _from_folders(source: str, path: str) -> tuple[Clip, str, str]:
    parts = path.split("/")
    where = str(place(source) / path)
    forms = "<speaker>/<emotion>/<file>, <emotion>/<speaker>_<file> or a labels.csv"
    if len(parts) < 2:
        raise UserError(f"{where}: emotion or speaker are not in the path; use {forms}")
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


# --- CREMA-D and MSP-IMPROV --------------------------------------------------------------------


def crema_d_labels(clips: list[Clip], source: str, label: str) -> list[Clip]:
    """Add the actors' traits and, for the label "perceived", the raters' most frequent vote.

    The votes are those on video with audio. Clips without a single most-voted emotion (420 of
    7,442) have no such label and are left out, with a log message.

    Raises:
        UserError: If "perceived" is asked for and no table of votes lies below ``source``.
    """
    tables = {
        path.rsplit("/", 1)[-1]: place(source) / path for path in reversed(files_below(source))
    }
    people: dict[str, dict[str, str]] = {}
    if "VideoDemographics.csv" in tables:
        for row in _table(tables["VideoDemographics.csv"], ("actorid", *_PERSON)).values():
            people[row["actorid"]] = {key: row[key] for key in _PERSON} | {
                "sex": row["sex"].lower()
            }
    clips = [replace(c, traits={**c.traits, **people.get(c.speaker, {})}) for c in clips]
    if label != "perceived":
        return clips
    votes = _crema_d_votes(tables, source)
    kept = [replace(c, emotion=votes[c.clip_id]) for c in clips if c.clip_id in votes]
    _log_left_out(len(clips) - len(kept), len(clips), "no emotion got most votes")
    return kept


def _crema_d_votes(tables: Mapping[str, Path], source: str) -> dict[str, str]:
    """Return {clip id: emotion} of the clips that have one most-voted emotion."""
    if "summaryTable.csv" in tables:
        rows = _table(tables["summaryTable.csv"], ("filename", "multimodalvote"))
        winners = {row["filename"]: row["multimodalvote"] for row in rows.values()}
    elif "tabulatedVotes.csv" in tables:
        winners = {}
        needed = ("", "filename", *(letter.lower() for letter in _VOTES))
        for row in _table(tables["tabulatedVotes.csv"], needed).values():
            if row[""].startswith("3"):  # 1 audio, 2 video, 3 both
                counts = {letter: int(row[letter.lower()]) for letter in _VOTES}
                most = max(counts.values())
                tied = [letter for letter in _VOTES if counts[letter] == most]
                winners[row["filename"]] = ":".join(tied)
    else:
        raise UserError(
            f"label 'perceived' needs summaryTable.csv or tabulatedVotes.csv below {source}; copy"
            " the corpus's processedResults folder there or use label 'intended'"
        )
    return {clip: _VOTES[letter] for clip, letter in winners.items() if letter in _VOTES}


def msp_improv_labels(clips: list[Clip], source: str, label: str) -> list[Clip]:
    """Label the clips by the corpus's evaluation file (the release spells it Evalution.txt).

    A line is "UTD-IMPROV-S01A-F01-P-FM01.avi; A; A:2.80; V:2.60; D:3.40 ; N:3.20;": the raters'
    class and mean activation and valence (1-5; NaN becomes None). Lines of single
    raters are skipped. Clips of other classes (O, X) or without a line are left out, with a log
    message.

    Raises:
        UserError: If no such file lies below ``source`` or no line in it has that form.
    """
    del label  # one kind only
    names = [p for p in files_below(source) if re.search(r"(^|/)evalua?tion\.txt$", p, re.I)]
    if not names:
        raise UserError(f"no Evaluation.txt below {source}; the labels of msp-improv are in it")
    text = (place(source) / names[0]).read_text(encoding="utf-8", errors="replace")
    lines = {f"MSP-{m['clip']}".upper(): m for m in map(_IMPROV_LINE.match, text.splitlines()) if m}
    if not lines:
        raise UserError(
            f"{names[0]}: no line like 'UTD-IMPROV-S01A-F01-P-FM01.avi; A; A:2.80; ...'"
        )
    kept = []
    for clip in clips:
        line = lines.get(clip.clip_id)
        emotion = _IMPROV_LETTERS.get(line["letter"].upper()) if line else None
        if line and emotion:
            row = line.groupdict()
            activation, valence = (_number(row, k, names[0]) for k in ("activation", "valence"))
            kept.append(replace(clip, emotion=emotion, activation=activation, valence=valence))
    _log_left_out(len(clips) - len(kept), len(clips), f"no class of the four in {names[0]}")
    return kept


def _log_left_out(count: int, total: int, why: str) -> None:
    if count:
        _LOG.warning("left out %d of %d clips: %s", count, total, why)

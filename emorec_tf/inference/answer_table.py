"""Answers as tables for people: one of all clips, one of each video with windows.

Paths stand whole: the folder that all share is said once, and a name is never cut or folded. Where
names leave the table no room, they are listed above it; where the screen is too narrow for a table,
its rows are listed below each other.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from emorec_tf.inference import presence, timeline
from emorec_tf.inference.windows import UNSURE
from emorec_tf.storage import screen

if TYPE_CHECKING:
    from rich.console import Console

Answer = dict[str, Any]  # the object of --json
SHARED = "the audio is shared by all in view: it is not known whose voice it is"


def show(answers: Sequence[Answer], top: int, to: Console) -> None:
    """Print the tables of at least one answer, with the ``top`` most likely emotions."""
    folder, names = shortened([answer["clip"] for answer in answers])
    if folder:
        screen.print_line(f"in {folder}:", to)
    named = list(zip(names, answers, strict=True))
    clips = [(name, answer) for name, answer in named if "windows" not in answer]
    if clips:
        show_clips(clips, top, to)
    for name, answer in named:
        if "windows" in answer:
            screen.print_line(name, to)
            show_windows(answer, top, to)


def show_clips(clips: Sequence[tuple[str, Answer]], top: int, to: Console) -> None:
    """Print the table of files that were answered as one clip each."""
    columns = ["clip", *columns_of(clips[0][1])]
    rows = [[unbroken(name), *cells(answer, top)] for name, answer in clips]
    if not has_room(columns, rows, to):
        for number, row in enumerate(rows, 1):
            screen.print_line(f"{number}  {row[0]}", to)
            row[0] = str(number)
    print_rows(columns, rows, to)
    for name, answer in clips:
        for note in answer.get("notes", ()):
            screen.print_line(f"{name}: {note}", to)


def show_windows(answer: Answer, top: int, to: Console) -> None:
    """Print the table of one video: a row for each person in each window."""
    heard = [row for row in answer["windows"] if is_heard(row)]
    sharing = Counter(row["start_seconds"] for row in heard)
    rows = []
    for row in answer["windows"]:
        shared = is_heard(row) and sharing[row["start_seconds"]] > 1
        when, who = timeline.clock(row["start_seconds"]), str(row["person"] or "none")
        rows.append([when, who, *cells({**row, "shared": shared}, top)])
    print_rows(["from", "person", *columns_of(answer)], rows, to)
    if any(count > 1 for count in sharing.values()):
        screen.print_line(SHARED, to)


def is_heard(row: Answer) -> bool:
    """Whether the audio of a window counts in its answer."""
    return bool(row["audio_present"]) and row.get("speech") is not False


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[str]], to: Console) -> None:
    """Print a table; "no speech" and "100% of frames" may take two lines where room is short."""
    if not has_room(columns, rows, to):
        broken = [
            [*row[:-2], *(cell.replace(screen.FIXED, " ") for cell in row[-2:])] for row in rows
        ]
        rows = broken if has_room(columns, broken, to) else rows
    screen.show(columns, rows, to=to)


def has_room(columns: Sequence[str], rows: Sequence[Sequence[str]], to: Console) -> bool:
    """Whether the screen is wide enough for a table."""
    return screen.room_of(list(zip(columns, *rows, strict=True)), to.width) is not None


def shortened(paths: Sequence[str]) -> tuple[str, list[str]]:
    """Split several paths into the folder that all share, "" for none, and the rest of each."""
    parents = [PurePath(path).parent for path in paths]
    if len(paths) < 2 or len({parent.is_absolute() for parent in parents}) > 1:
        return "", list(paths)
    folder = os.path.commonpath(parents)
    if folder in ("", ".", os.sep):
        return "", list(paths)
    return folder, [str(PurePath(path).relative_to(folder)) for path in paths]


def unbroken(text: str) -> str:
    """A name with spaces at which no line is broken."""
    return text.replace(" ", screen.FIXED)


def columns_of(answer: Answer) -> list[str]:
    """Names of the columns that ``cells`` fills."""
    how = [] if "value" in answer else ["probability", "next"]
    familiar = ["familiarity"] if "familiarity" in answer else []
    return [answer.get("target", "emotion"), *how, *familiar, "audio", "face"]


def cells(row: Answer, top: int) -> list[str]:
    """The answer, its probability, and the next likely ones; then what it is based on."""
    basis = [*familiarity_column(row), *presence_columns(row)]
    if "value" in row:
        value = presence.said(row) if row["value"] is None else f"{row['value']:.1f}"
        return [value, *basis]
    ranked = sorted(row["probabilities"].items(), key=lambda item: -item[1])
    if not ranked:
        return [presence.said(row), "", "", *basis]
    first = 0 if row["emotion"] == UNSURE else 1
    others = ", ".join(unbroken(f"{name} {p:.2f}") for name, p in ranked[first:top])
    return [unbroken(row["emotion"]), f"{ranked[0][1]:.2f}", others, *basis]


def familiarity_column(row: Answer) -> list[str]:
    """Share of held-out familiar clips that are less familiar; no column of a run that has none."""
    if "familiarity" not in row:
        return []
    return ["" if row["familiarity"] is None else f"{row['familiarity']:.3f}"]


def presence_columns(row: Answer) -> list[str]:
    """Whether there was audio with speech, and in how many frames a face."""
    audio = "none"
    if row["audio_present"]:
        audio = "shared" if row.get("shared") else "yes"
    if row["audio_present"] and row.get("speech") is False:
        audio = "no speech"
    of = "" if "person" in row else " of frames"
    face = f"{row['face_coverage']:.0%}{of}" if row["face_present"] else "none"
    return [unbroken(audio), unbroken(face)]

"""Answers as tables for people: one of all clips, one of each video with windows.

Paths stand whole: the folder that all share is said once, and a name is never cut or folded. Where
names leave the table no room, they are listed above it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from emorec_tf.inference import timeline
from emorec_tf.inference.windows import NOTHING, UNSURE

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Answer = dict[str, Any]  # the object of --json
NEXT = "next"  # the only column whose cells may take several lines


def show(answers: Sequence[Answer], top: int, console: Console) -> None:
    """Print the tables of at least one answer, with the ``top`` most likely emotions."""
    folder, names = shortened([answer["clip"] for answer in answers])
    if folder:
        print_line(f"in {folder}:", console)
    named = list(zip(names, answers, strict=True))
    clips = [(name, answer) for name, answer in named if "windows" not in answer]
    if clips:
        show_clips(clips, top, console)
    for name, answer in named:
        if "windows" in answer:
            print_line(name, console)
            show_windows(answer, top, console)


def show_clips(clips: Sequence[tuple[str, Answer]], top: int, console: Console) -> None:
    """Print the table of files that were answered as one clip each."""
    columns = ["clip", *columns_of(clips[0][1])]
    rows = [[name, *cells(answer, top)] for name, answer in clips]
    if least_width(table_of(columns, rows), console) > console.width:
        for number, row in enumerate(rows, 1):
            print_line(f"{number}  {row[0]}", console)
            row[0] = str(number)
    print_table(table_of(columns, rows), console)


def show_windows(answer: Answer, top: int, console: Console) -> None:
    """Print the table of one video: a row for each person in each window."""
    rows = [
        [timeline.clock(row["start_seconds"]), str(row["person"] or "none"), *cells(row, top)]
        for row in answer["windows"]
    ]
    print_table(table_of(["from", "person", *columns_of(answer)], rows), console)


def shortened(paths: Sequence[str]) -> tuple[str, list[str]]:
    """Split several paths into the folder that all share, "" for none, and the rest of each."""
    parents = [PurePath(path).parent for path in paths]
    if len(paths) < 2 or len({parent.is_absolute() for parent in parents}) > 1:
        return "", list(paths)
    folder = os.path.commonpath(parents)
    if folder in ("", ".", os.sep):
        return "", list(paths)
    return folder, [str(PurePath(path).relative_to(folder)) for path in paths]


def table_of(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Make a table in which every word stands whole."""
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for name, *column in zip(columns, *rows, strict=True):
        parts = [name, *column]
        if name == NEXT:
            parts = [f"{part}," for text in parts for part in text.split(", ")]
        table.add_column(name, no_wrap=name != NEXT, min_width=max(map(cell_len, parts)))
    for row in rows:
        table.add_row(*map(Text, row))  # as they are: brackets in a file's name are no markup
    return table


def least_width(table: Table, console: Console) -> int:
    """Columns of the screen that a table needs."""
    return console.measure(table, options=console.options.update(max_width=10_000)).minimum


def print_table(table: Table, console: Console) -> None:
    """Print a table as wide as the screen allows, or as wide as it must be: nothing is cut."""
    least = least_width(table, console)
    table.width = least if least > console.width else None
    console.print(table, crop=False)


def print_line(text: str, console: Console) -> None:
    """Print a line as it is, which the screen alone may wrap."""
    console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)


def columns_of(answer: Answer) -> list[str]:
    """Names of the columns that ``cells`` fills."""
    how = [] if "value" in answer else ["probability", NEXT]
    familiar = ["familiarity"] if "familiarity" in answer else []
    return [answer.get("target", "emotion"), *how, *familiar, "audio", "face"]


def cells(row: Answer, top: int) -> list[str]:
    """The answer, its probability, and the next likely ones; then what it is based on."""
    basis = [*familiarity_column(row), *presence_columns(row)]
    if "value" in row:
        value = NOTHING if row["value"] is None else f"{row['value']:.1f}"
        return [value, *basis]
    ranked = sorted(row["probabilities"].items(), key=lambda item: -item[1])
    if not ranked:
        return [NOTHING, "", "", *basis]
    first = 0 if row["emotion"] == UNSURE else 1
    others = ", ".join(f"{name} {p:.2f}" for name, p in ranked[first:top])
    return [row["emotion"], f"{ranked[0][1]:.2f}", others, *basis]


def familiarity_column(row: Answer) -> list[str]:
    """Share of held-out familiar clips that are less familiar; no column of a run that has none."""
    if "familiarity" not in row:
        return []
    return ["" if row["familiarity"] is None else f"{row['familiarity']:.3f}"]


def presence_columns(row: Answer) -> list[str]:
    """Whether there was audio with speech, and in how many frames a face."""
    audio = "yes" if row["audio_present"] else "none"
    if row["audio_present"] and row.get("speech") is False:
        audio = "no speech"
    of = "" if "person" in row else " of frames"
    return [audio, f"{row['face_coverage']:.0%}{of}" if row["face_present"] else "none"]

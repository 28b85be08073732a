"""What commands show: any text without control characters, tables as wide as the screen allows.

File names, labels and class names are a user's text. They may hold brackets, which rich takes for
markup, and control characters, which move the cursor or forge lines; here both are shown as they
are spelt.
"""

from __future__ import annotations

import logging
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from numbers import Number
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

NARROW = 80  # columns, where there is no terminal
INDENT = "    "
# control characters, parts of pairs (undecodable bytes of a file name), separators of lines
UNSEEN = frozenset(("Cc", "Cs", "Zl", "Zp"))
TURNED = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
FIXED = "\u00a0"  # a space at which no line is broken


def printable(text: object) -> str:
    r"""Write characters that a terminal would obey as escapes: ``\x1b``, ``\n``, ``\u202e``."""
    return "".join(
        c.encode("unicode_escape").decode()
        if unicodedata.category(c) in UNSEEN or c in TURNED
        else c
        for c in str(text)
    )


def say(text: object, *, error: bool = False) -> None:
    """Print one line to standard output or standard error, whatever the text holds."""
    print(printable(text), file=sys.stderr if error else sys.stdout, flush=True)


def message_of(record: logging.LogRecord) -> str:
    """Text of a log record: line breaks of its format stay, those in its values do not."""
    text = record.getMessage()
    if isinstance(record.args, tuple) and record.args:
        values = (a if isinstance(a, Number) else printable(a) for a in record.args)
        text = str(record.msg) % tuple(values)
    return "\n".join(map(printable, text.split("\n")))


def width_of(stream: TextIO) -> int:
    """Columns of a stream: what COLUMNS says, else the terminal's, else 80."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(stream.fileno()).columns or NARROW
    except (OSError, ValueError, AttributeError):  # a pipe, a file, a notebook
        return NARROW


def console() -> Console:
    """Make a console on standard output as it is now."""
    from rich.console import Console

    return Console(file=sys.stdout, width=width_of(sys.stdout))


def show(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    title: str = "",
    to: Console | None = None,
    *,
    header: bool = True,
) -> None:
    """Print a table, or a list where the screen is too narrow for one; names are never cut.

    Args:
        columns: their names.
        rows: cells of each row. Lines may be broken at spaces, but not at ``FIXED`` ones.
        title: a line above the table, which may be a path.
        to: the console; None: standard output.
        header: show the names of the columns above a table.
    """
    to = to or console()
    for line in wrapped(words(title), to.width) if title else ():
        print_line(line, to, "italic")
    print_whole(fitted(columns, rows, to.width, header=header), to)


def show_list(
    columns: Sequence[str], rows: Sequence[Sequence[str]], title: str, to: Console
) -> None:
    """Print rows below each other: the first cell, then the others with their columns' names."""
    print_line(title, to, "italic")
    print_whole(stacked(columns, rows, to.width), to)


def print_line(text: str, to: Console, style: str = "") -> None:
    """Print a line as it is; only the screen may wrap it."""
    from rich.text import Text

    to.print(Text(spelt(text), style), soft_wrap=True)


def print_whole(shown: RenderableType, to: Console) -> None:
    """Print what was fitted; nothing is cut."""
    to.print(shown, crop=False, no_wrap=True, overflow="ignore")


def fitted(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    *,
    header: bool = True,
    styles: Sequence[str] = (),
) -> RenderableType:
    """Make a table that fits ``width`` columns of the screen, or a list where none does."""
    shown = ([columns, *rows] if header else list(rows)) or [columns]
    room = room_of([list(column) for column in zip(*shown, strict=True)], width)
    if room is None:
        return stacked(columns, rows, width, header=header)
    return table_of(columns, rows, room, header=header, styles=styles)


def table_of(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    room: Sequence[int],
    *,
    header: bool,
    styles: Sequence[str],
) -> Table:
    """Make a table whose columns are ``room`` wide."""
    from rich.table import Table
    from rich.text import Text

    def cell(text: str, width: int) -> Text:
        return Text("\n".join(spelt(line) for line in wrapped(words(text), width)))

    table = Table(show_header=header)
    for name, width in zip(columns, room, strict=True):
        table.add_column(cell(name, width), width=width, no_wrap=True)
    for number, row in enumerate(rows):
        style = styles[number] if styles else None
        table.add_row(*map(cell, row, room), style=style)
    return table


def room_of(columns: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """Share the screen out: each column takes its longest word, then an equal part of the rest.

    Args:
        columns: cells of each column.
        width: of the screen.

    Returns:
        Width of each column without its border; None: there is no room for all words.
    """
    from rich.cells import cell_len

    room = [max(cell_len(w) for cell in cells for w in words(cell)) for cells in columns]
    wanted = [max(cell_len(printable(cell)) for cell in cells) for cells in columns]
    spare = width - sum(room) - (3 * len(columns) + 1)  # borders and a space on either side
    if spare < 0:
        return None
    lacking = sorted(range(len(columns)), key=lambda n: wanted[n] - room[n])
    for number, at in enumerate(lacking):
        more = min(spare // (len(lacking) - number), wanted[at] - room[at])
        room[at] += more
        spare -= more
    return room


def stacked(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int, *, header: bool = True
) -> RenderableType:
    """Make a list: a line for a row's first cell, indented lines for the others."""
    from rich.console import Group
    from rich.text import Text

    lines = []
    for first, *others in rows:
        lines.append(printable(first))
        named = list(zip(columns[1:], others, strict=True))
        texts = [f"{name}: {cell}" if header else cell for name, cell in named if cell]
        texts = [text if text.endswith(".") else f"{text};" for text in texts[:-1]] + texts[-1:]
        room = width - len(INDENT)
        lines += [INDENT + line for line in wrapped(whole_or_words(texts, room), room)]
    return Group(*(Text(spelt(line), no_wrap=True, overflow="ignore") for line in lines))


def words(text: str) -> list[str]:
    """Parts of a text that stay whole: split at plain spaces."""
    return [word for word in printable(text).split(" ") if word] or [""]


def whole_or_words(texts: Iterable[str], width: int) -> Iterator[str]:
    """Keep texts whole that fit a line; split the others into words."""
    from rich.cells import cell_len

    for text in texts:
        yield from [printable(text)] if cell_len(printable(text)) <= width else words(text)


def wrapped(parts: Iterable[str], width: int) -> list[str]:
    """Join parts to lines of at most ``width``; a part that is longer has a line of its own."""
    from rich.cells import cell_len

    lines: list[str] = []
    for part in parts:
        if lines and cell_len(lines[-1]) + 1 + cell_len(part) <= width:
            lines[-1] += f" {part}"
        else:
            lines.append(part)
    return lines


def spelt(text: Any) -> str:
    """A text as it is shown."""
    return printable(text).replace(FIXED, " ")

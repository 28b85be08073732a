"""Tables as spreadsheets and people save them, read into rows by column."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emorec_tf.datasets.stand_ins import LFS_POINTER
from emorec_tf.errors import UserError

DELIMITERS = (",", ";", "\t")
_SEPARATOR_ROW = re.compile(r'"?sep=(?P<delimiter>.)"?[ ,;\t]*(\r\n|\r|\n|$)', re.IGNORECASE)
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx and .zip, .xls


@dataclass(frozen=True)
class Table:
    """A table: its columns in lower case, and its rows by their number in the file."""

    path: Path
    columns: tuple[str, ...]
    rows: Mapping[int, list[str]]
    delimiter: str = ","

    def records(self, needed: Sequence[str], way_out: str = "") -> dict[int, dict[str, str]]:
        """Return {row number: {column: value}}.

        ``way_out`` ends the error on a missing column.

        Raises:
            UserError: a needed column is missing or occurs twice, there is no row, or a row has
                other fields than the first.
        """
        missing = [name for name in needed if name not in self.columns]
        if missing or not self.rows:
            found = f" among {', '.join(self.columns)}" if any(self.columns) else ""
            what = f"no column {', '.join(missing)}{found}" if missing else "no row"
            way_out = way_out if missing and found else ""
            names = ",".join(needed)
            raise UserError(f"{self.path}: {what}; the first row must name {names}{way_out}")
        twice = [name for name in needed if self.columns.count(name) > 1]
        if twice:
            raise UserError(f"{self.path}: column {twice[0]} occurs twice; remove or rename one")
        return {number: self._record(number, values) for number, values in self.rows.items()}

    def _record(self, number: int, values: list[str]) -> dict[str, str]:
        count = len(self.columns)
        if len(values) < count or any(values[count:]):
            raise UserError(
                f"{self.path} row {number}: {len(values)} fields, the first row has {count}; "
                f"found {', '.join(values)}"
            )
        return dict(zip(self.columns, values, strict=False))


def read(path: Path, needed: Sequence[str], names: Mapping[str, str] | None = None) -> Table:
    """Read a CSV in UTF-8 or UTF-16, delimited by comma, semicolon or tab.

    Args:
        path: of the CSV.
        needed: columns that it must have.
        names: {column: its name in the file, in lower case}, where that is another one.

    The delimiter is what a first row "sep=;" says, else the one by which the first row has most of
    the needed columns. Blanks around values are dropped, and rows without any value.

    Raises:
        UserError: no CSV, in another encoding, a workbook or a pointer of git-lfs.
        OSError: the file cannot be read.
    """
    text = _text_of(path)
    first = _SEPARATOR_ROW.match(text)
    delimiters = (first["delimiter"],) if first else DELIMITERS
    body = text[first.end() :] if first else text
    try:
        heads = {d: _columns(next(_reader(body, d), []), names or {}) for d in delimiters}
        delimiter = max(heads, key=lambda d: sum(name in heads[d] for name in needed))
        lines = [[value.strip() for value in line] for line in _reader(body, delimiter)]
    except csv.Error as error:
        raise _no_csv(path, str(error)) from error
    _check_named(path, heads[delimiter], names or {})
    start = 2 if first else 1
    rows = {number: line for number, line in enumerate(lines[1:], start=start + 1) if any(line)}
    return Table(path, heads[delimiter], rows, delimiter)


def _reader(text: str, delimiter: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)


def _columns(line: Sequence[str], names: Mapping[str, str]) -> tuple[str, ...]:
    """Read the first row; a column of another name is called what it stands for."""
    found = [name.strip().lower() for name in line]
    meant = {own: column for column, own in names.items()}
    # "emotion=label" beside a column emotion: the one that was named counts
    return tuple(meant.get(name, f"{name} (own)" if name in names else name) for name in found)


def _check_named(path: Path, head: Sequence[str], names: Mapping[str, str]) -> None:
    for column, own in names.items():
        if column not in head:
            raise UserError(
                f"{path}: no column {own}, which {column}={own} names; there are {', '.join(head)}"
            )


def _text_of(path: Path) -> str:
    data = path.read_bytes()
    if data.startswith(_WORKBOOKS):
        raise UserError(
            f"{path} is no CSV file but an archive or a workbook; unpack it, or save the sheet as "
            "CSV UTF-8"
        )
    if data.startswith(LFS_POINTER):
        raise UserError(f"{path} is a git-lfs pointer, no CSV file; run 'git lfs pull' beside it")
    encoding = "utf-8-sig"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif b"\0" in data[:2]:  # UTF-16 without its mark: of ASCII, every second byte is 0
        encoding = "utf-16-be" if data[0] == 0 else "utf-16-le"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        wrong = f"row {row}: byte 0x{data[error.start]:02x}" if "8" in encoding else error.reason
        raise _no_csv(path, wrong) from error


def _no_csv(path: Path, why: str) -> UserError:
    return UserError(
        f"{path} is no CSV file in UTF-8 or UTF-16 ({why}); save the table as CSV UTF-8"
    )


def number(row: Mapping[str, str], column: str, where: str, delimiter: str = ",") -> float | None:
    """Return a column as a finite number; None where it is absent, empty or NaN.

    Where the comma does not delimit, it may be the decimal point, as it is in much of Europe.

    Raises:
        UserError: naming ``where`` and what was found.
    """
    text = row.get(column, "")
    if text.lower() in ("", "nan"):
        return None
    try:
        value = float(text if delimiter == "," else text.replace(",", "."))
    except ValueError:
        value = float("inf")
    if abs(value) == float("inf"):
        raise UserError(f"{where}: {column} is {text!r}, not a number") from None
    return value

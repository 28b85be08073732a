"""All answers of a command in one file: CSV, JSON lines or Parquet, written whole."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import io
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from emorec_tf.errors import UserError
from emorec_tf.inference.answer_rows import Layout
from emorec_tf.inference.answer_table import Answer
from emorec_tf.storage.files import write_atomically
from emorec_tf.storage.paths import Remote, place

log = logging.getLogger(__name__)


def csv_of(answers: Sequence[Answer], layout: Layout) -> bytes:
    """A line for each row; empty cells where there is nothing."""
    text = io.StringIO()
    lines = csv.DictWriter(text, list(layout.columns), lineterminator="\n")
    lines.writeheader()
    lines.writerows(row for answer in answers for row in layout.rows(answer))
    return whole(text.getvalue()).encode()


def jsonl_of(answers: Sequence[Answer], layout: Layout) -> bytes:
    """The lines of ``--json``."""
    return "".join(f"{json.dumps(answer)}\n" for answer in answers).encode()


def parquet_of(answers: Sequence[Answer], layout: Layout) -> bytes:
    """The rows of the CSV file, with types."""
    import pyarrow as pa
    from pyarrow import parquet

    types = {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_()}
    schema = pa.schema([(name, types[kind]) for name, kind in layout.columns.items()])
    rows = [
        {name: whole(cell) if isinstance(cell, str) else cell for name, cell in row.items()}
        for answer in answers
        for row in layout.rows(answer)
    ]
    made = pa.BufferOutputStream()
    parquet.write_table(pa.Table.from_pylist(rows, schema=schema), made)
    return made.getvalue().to_pybytes()


FORMATS = {".csv": csv_of, ".jsonl": jsonl_of, ".parquet": parquet_of}


def whole(text: str) -> str:
    """A text that can be written; undecodable bytes of a file name as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def check_place(path: str, clips: Sequence[str]) -> None:
    """Refuse, before anything is decoded, a place that answers cannot be written to.

    Raises:
        UserError: another ending, a missing package, no such folder, or one of the clips.
    """
    target = place(path)
    ending = target.suffix.lower()
    if ending not in FORMATS:
        raise UserError(f"--out {path} must end in one of {', '.join(FORMATS)}")
    if ending == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UserError(f"--out {path} needs a package: pip install pyarrow; or write .csv")
    if isinstance(target, Remote):
        return
    if target.is_dir():
        raise UserError(f"--out {path} is a folder; name a file")
    if not target.parent.is_dir():
        raise UserError(f"--out {path}: cannot write there, no folder {target.parent}")
    if any(Path(clip).resolve() == target.resolve() for clip in clips):
        raise UserError(f"--out {path} would write over a clip; give another name")


@contextlib.contextmanager
def kept(path: str | None, layout: Layout, total: int) -> Iterator[Callable[[Answer], None]]:
    """Collect answers and write them at the end, also where it comes early, by Ctrl-C or an error.

    Args:
        path: the file; None: nothing is written.
        layout: its columns.
        total: number of clips.

    Raises:
        UserError: it cannot be written.
    """
    answers: list[Answer] = []
    try:
        yield answers.append
    except BaseException:
        if path and answers:
            write(path, answers, layout)
            log.warning("%d of %d clips were answered, they are in %s", len(answers), total, path)
        raise
    if path and answers:
        write(path, answers, layout)


def write(path: str, answers: Sequence[Answer], layout: Layout) -> None:
    """Write answers to a file, whose ending says how.

    Raises:
        UserError: it cannot be written.
    """
    target = place(path)
    try:
        write_atomically(target, FORMATS[target.suffix.lower()](answers, layout))
    except OSError as error:
        raise UserError(f"{error.filename or path}: cannot write ({error.strerror})") from error

"""Files, local or at a URL: written whole or not at all, CSV, checksums."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emorec_tf.storage.paths import Remote, replacing, size_of


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write to a temporary name, flush to disk, rename: the file is complete or absent."""
    raw = data.encode() if isinstance(data, str) else data
    if isinstance(path, Remote):
        path.write_bytes(raw)
        return
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())


def put_in_place(finished: Path, target: Path) -> None:
    """Rename a finished local file or folder to ``target``; what was there before goes last.

    Whenever this process is killed, the old or the new one is there as ``target``, or the old one
    beside it as ``.<name>.old``.
    """
    old = target.with_name(f".{target.name}.old")
    if target.exists():
        remove(old)
        target.rename(old)
    try:
        finished.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    remove(old)


def remove(path: Path) -> None:
    """Remove a local file or folder, if it is there; of a symbolic link only the link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def file_check(path: Path) -> dict[str, Any]:
    """Size and sha256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": size_of(path), "sha256": digest}


def rows_to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows of equal keys as CSV text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read a CSV file into rows."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))

"""Cache of decoded clips on disk: one file per entry, named by a hash of its sources.

The cache is optional: an entry that is missing, damaged or cannot be written only costs time.
Processes share a folder without locks: entries appear atomically, and two processes that cull at
the same time remove the same ones.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf.config.fields import check
from emorec_tf.errors import UserError
from emorec_tf.storage.cache_dir import CACHE_VARIABLE, cache_folder
from emorec_tf.storage.paths import replacing

SUFFIX = ".decoded"
MAGIC = b"emorec 1"
GIB = 2**30
WRITES_TO_CULL = 300  # of one process
CULL_TO_SHARE = 0.9  # of the size limit, so that culling is rare

Entry = tuple[Mapping[str, Any], Mapping[str, np.ndarray]]  # what JSON can hold, and arrays


@dataclass
class Cache:
    """A folder of entries and its size limit; ``writes`` counts those of this process."""

    folder: Path
    limit_bytes: int
    writes: int = 0


def default_folder() -> Path:
    """Folder of the decoded clips."""
    return cache_folder("decoded")


def bounded(gib: float) -> Cache | None:
    """Open the cache of decoded clips, limited to this many GiB; None at 0.

    Raises:
        UserError: a limit below 0, or a folder that cannot be made.
    """
    check(gib >= 0, "cache_gib", gib, "0 or more")
    if not gib:
        return None
    folder = default_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder}: no folder for decoded clips can be made here ({error.strerror}); set "
            f"{CACHE_VARIABLE} to a place that can be written, or give --cache_gib 0"
        ) from error
    return Cache(folder, round(gib * GIB))


def key_of(*parts: Any) -> str:
    """Hash of everything that affects an entry: texts, numbers, ``None``."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def pack(entry: Entry) -> bytes:
    """Turn an entry into bytes: magic, CRC-32 of the rest, length of the head, head, arrays."""
    facts, arrays = entry
    kept = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    shapes = {name: (array.dtype.str, array.shape) for name, array in kept.items()}
    head = json.dumps({"facts": dict(facts), "arrays": shapes}).encode()
    rest = b"".join(
        [len(head).to_bytes(4, "little"), head, *(array.tobytes() for array in kept.values())]
    )
    return MAGIC + zlib.crc32(rest).to_bytes(4, "little") + rest


def unpack(data: bytes) -> Entry:
    """Read the bytes of ``pack``; the arrays are read-only.

    Raises:
        ValueError: these are other or damaged bytes.
    """
    start = len(MAGIC) + 4
    rest = memoryview(data)[start:]
    if data[:start] != MAGIC + zlib.crc32(rest).to_bytes(4, "little"):
        raise ValueError("no entry, or a damaged one")
    at = 4 + int.from_bytes(rest[:4], "little")
    head = json.loads(bytes(rest[4:at]))
    arrays = {}
    for name, (dtype, shape) in head["arrays"].items():
        count = int(np.prod(shape))
        arrays[name] = np.frombuffer(rest, np.dtype(dtype), count, at).reshape(shape)
        at += arrays[name].nbytes
    return head["facts"], arrays


def read(cache: Cache | None, key: str) -> Entry | None:
    """Read an entry and mark it as just used; ``None`` if it is missing or damaged."""
    if cache is None or not key:
        return None
    path = cache.folder / f"{key}{SUFFIX}"
    try:
        entry = unpack(path.read_bytes())
        os.utime(path)
    except (OSError, ValueError):
        return None
    return entry


def write(cache: Cache | None, key: str, entry: Entry) -> None:
    """Write an entry atomically; cull occasionally. Without a key nothing is written."""
    if cache is None or not key:
        return
    draft = f"{key}.{os.getpid()}{SUFFIX}"
    # a full disk is reported by whatever must be written next
    with contextlib.suppress(OSError):
        cache.folder.mkdir(parents=True, exist_ok=True)
        with replacing(cache.folder / f"{key}{SUFFIX}", draft) as temporary:
            temporary.write_bytes(pack(entry))
    cache.writes += 1
    if cache.writes % WRITES_TO_CULL == 0:
        cull(cache)


def cull(cache: Cache) -> None:
    """Remove the least recently used entries of a folder that exceeds its limit."""
    entries = files(cache.folder)
    total = sum(size for _, size, _ in entries)
    if total <= cache.limit_bytes:
        return
    for _, size, path in sorted(entries):
        if total <= CULL_TO_SHARE * cache.limit_bytes:
            return
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        total -= size


def clear(folder: Path) -> tuple[int, int]:
    """Remove all entries, unfinished ones too; return their number and bytes."""
    entries = files(folder)
    for _, _, path in entries:
        path.unlink(missing_ok=True)
    return len(entries), sum(size for _, size, _ in entries)


def files(folder: Path) -> list[tuple[int, int, Path]]:
    """When each entry was last used (nanoseconds), its bytes, its path."""
    found = []
    for path in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):  # another process was quicker
            state = path.stat()
            found.append((state.st_mtime_ns, state.st_size, path))
    return found

"""Copies of shards on this machine's disk, for records on a slow or remote disk.

A copy is named by the sha256 of its shard and appears whole, so a killed run leaves nothing half
done and the next one finds what is there. Copies stay for later runs; where space is short, those
of other records are removed first, unless a run is reading here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock

from emorec_tf.errors import UserError
from emorec_tf.records.records_dir import Records
from emorec_tf.storage.cache_dir import CACHE_VARIABLE, cache_folder
from emorec_tf.storage.files import file_check

SUFFIX = ".shard"
LEFT_FREE = 0.05  # of the disk
GIB = 2**30
_LOG = logging.getLogger(__name__)
LOCK = "readers.lock"
READING: list[filelock.ReadWriteLock] = []  # held until this process ends, for whatever reason


def copied(records: Records) -> list[str]:
    """Copy the shards that have no copy yet; return the paths of all copies, in order.

    Raises:
        UserError: no space, or a shard that is not what the manifest says.
    """
    import tensorflow as tf

    folder = cache_folder("shards")
    folder.mkdir(parents=True, exist_ok=True)
    rows = records.manifest["shards"]
    paths = [folder / f"{row['sha256']}{SUFFIX}" for row in rows]
    new = [n for n, path in enumerate(paths) if not whole(path, rows[n])]
    make_room(folder, sum(rows[n]["bytes"] for n in new), paths)
    read_here(folder)
    for number in new:
        temporary = paths[number].with_suffix(f".{os.getpid()}.tmp")
        try:
            tf.io.gfile.copy(records.shards[number], str(temporary), overwrite=True)
            if file_check(temporary)["sha256"] != rows[number]["sha256"]:
                raise UserError(f"{records.shards[number]} is damaged; prepare again to repair it")
            temporary.replace(paths[number])
        finally:
            temporary.unlink(missing_ok=True)
    for path in paths:
        os.utime(path)
    size = sum(row["bytes"] for row in rows) / GIB
    _LOG.info(
        "cache disk: %.2f GiB of shards in %s, %d of %d new", size, folder, len(new), len(rows)
    )
    return [str(path) for path in paths]


def whole(path: Path, row: Mapping[str, Any]) -> bool:
    """Whether a copy exists; copies appear whole, so the size is enough."""
    return path.exists() and path.stat().st_size == row["bytes"]


def read_here(folder: Path) -> None:
    """Hold a shared lock until this process ends: removing copies needs an exclusive one."""
    lock = lock_in(folder)
    lock.acquire_read()
    READING.append(lock)


def lock_in(folder: Path) -> filelock.ReadWriteLock:
    """A lock of its own, which excludes others of this process too."""
    return filelock.ReadWriteLock(folder / LOCK, is_singleton=False)


def make_room(folder: Path, needed: int, kept: Sequence[Path]) -> None:
    """Remove copies of other records, the longest unused first, until there is space.

    Raises:
        UserError: there is none.
    """
    others = [p for p in folder.iterdir() if p not in kept and p.suffix in (SUFFIX, ".tmp")]
    others.sort(key=lambda p: p.stat().st_mtime)
    with contextlib.suppress(filelock.Timeout), lock_in(folder).write_lock(blocking=False):
        for path in [p for p in others if p.suffix == ".tmp"]:
            path.unlink(missing_ok=True)  # of a run that was killed
        for path in [p for p in others if p.suffix == SUFFIX]:
            if room(folder) >= needed:
                break
            path.unlink(missing_ok=True)
    if room(folder) < needed:
        raise UserError(
            f"cache disk: {needed / GIB:.2f} GiB are to be copied to {folder}, which has room for "
            f"{max(0, room(folder)) / GIB:.2f}; give --cache none, or set {CACHE_VARIABLE}"
        )


def room(folder: Path) -> int:
    """Bytes that can be written, so that ``LEFT_FREE`` of the disk is left."""
    usage = shutil.disk_usage(folder)
    return int(usage.free - LEFT_FREE * usage.total)

"""One process at a time: a lock on a file, released when its holder exits for whatever reason."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import filelock

from emorec_tf.errors import UserError
from emorec_tf.storage.paths import Remote

_LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def alone(file: Path, refusal: str = "") -> Iterator[None]:
    """Hold a lock.

    Args:
        file: the lock file; made if missing, and its folder too.
        refusal: the error message if another process holds the lock; "": wait for that process.

    Object storage has no locks; ``paths`` says what protects files there.

    Raises:
        UserError: another process holds the lock and ``refusal`` is given, or the lock file is a
            symbolic link: some versions of filelock would truncate the file it points to.
    """
    if isinstance(file, Remote):
        yield
        return
    if file.is_symlink():
        raise UserError(f"lock {file} is a symbolic link; remove it")
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(file)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout as error:
        if refusal:
            raise UserError(f"{refusal} (locked: {file})") from error
        _LOG.info("waiting for the process that holds %s", file)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()

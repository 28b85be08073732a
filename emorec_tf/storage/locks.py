"""One process at a time: a lock on a file that goes with its holder, however that one ends."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from emorec_tf.errors import UserError
from emorec_tf.storage.paths import Remote


@contextlib.contextmanager
def alone(file: Path, refusal: str = "") -> Iterator[None]:
    """Hold a lock.

    Args:
        file: the lock; made if it is not there, and its folder too.
        refusal: what to tell the user if another process holds it; "": wait for that one.

    Object storage has no locks; ``places`` says what protects there.

    Raises:
        UserError: another process holds it, and there is something to tell.
    """
    if isinstance(file, Remote):
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | (fcntl.LOCK_NB if refusal else 0))
        except BlockingIOError as error:
            raise UserError(refusal) from error
        yield

"""Named arrays in one file beside a run, read without unpickling anything."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from emorec_tf.errors import UserError
from emorec_tf.storage.files import write_atomically


def write(path: Path, arrays: Mapping[str, np.ndarray], compress: bool = False) -> None:
    """Write ``{name: array}`` as an ``.npz`` file."""
    buffer = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(buffer, **arrays)
    write_atomically(path, buffer.getvalue())


def read(path: Path, needed: Iterable[str] = ()) -> dict[str, np.ndarray] | None:
    """Read ``{name: array}``; None where there is no such file.

    Args:
        path: as written by ``write``.
        needed: names that it must hold.

    Raises:
        UserError: a damaged file, or one that lacks a needed array.
    """
    if not path.exists():
        return None
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as kept:
            found = dict(kept)
        return {**found, **{name: found[name] for name in needed}}
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is damaged ({error}); train the run again") from error

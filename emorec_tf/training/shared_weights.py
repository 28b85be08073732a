"""Weights that packaged models have in common, such as a frozen encoder's, stored once.

The file of one model then holds, in place of such an array, where the other model beside it has it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf.errors import UserError
from emorec_tf.models.pretrained import keras_archive
from emorec_tf.models.pretrained.half_precision import FEWEST
from emorec_tf.storage import paths

PART = "shared.json"  # of the .keras file: the other models, and the arrays taken from each


def digest_of(file: Path) -> str:
    """SHA-256 of a file of any size, in hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def share(path: Path, others: Sequence[Path]) -> int:
    """Take arrays out of a model's file that files of models beside it hold, too.

    Args:
        path: the ``.keras`` file, rewritten.
        others: ``.keras`` files of other models, in folders beside that of ``path`` in the end.

    Returns:
        Number of bytes taken out; 0: nothing is in common, and the file stays as it is.
    """
    parts = keras_archive.parts_of(path)
    missing = {_key(values) for _, values in _large(parts[keras_archive.INSIDE])}
    sources: dict[str, Mapping[str, Any]] = {}
    for other in others:
        theirs = _large(keras_archive.parts_of(other)[keras_archive.INSIDE])
        taken = {key: name for name, values in theirs if (key := _key(values)) in missing}
        if taken:
            place = f"../{other.parent.name}/{other.name}"
            sources[place] = {"sha256": digest_of(other), "arrays": taken}
            missing -= taken.keys()
    if not sources:
        return 0
    named: dict[str, str] = {}

    def emptied(name: str, item: Any) -> np.ndarray | None:
        key = _key(item[()]) if item.size >= FEWEST else ""
        if not any(key in facts["arrays"] for facts in sources.values()):
            return None
        named[name] = key
        return np.zeros(0, item.dtype)

    before = len(parts[keras_archive.INSIDE])
    parts[keras_archive.INSIDE] = keras_archive.changed(parts[keras_archive.INSIDE], emptied)
    parts[PART] = json.dumps({"files": sources, "arrays": named}, indent=1).encode()
    keras_archive.write_parts(path, parts)
    return before - len(parts[keras_archive.INSIDE])


def _large(weights: bytes) -> Iterator[tuple[str, np.ndarray]]:
    return ((n, v) for n, v in keras_archive.arrays(weights) if v.size >= FEWEST)


def _key(values: np.ndarray) -> str:
    """Equal for equal arrays of one type and shape."""
    shape = f"{values.dtype.str}{values.shape}".encode()
    return hashlib.sha256(shape + np.ascontiguousarray(values).tobytes()).hexdigest()


@contextlib.contextmanager
def whole(file: Path, place: Path) -> Iterator[Path]:
    """Yield a file with all weights: the file itself, or a temporary one that is put together.

    Args:
        file: a local ``.keras`` file.
        place: where it belongs; the other models are in folders beside its own.

    Raises:
        UserError: another model is missing, or not the one that the weights were taken from.
        ValueError, KeyError: a damaged file.
    """
    if not zipfile.is_zipfile(file) or PART not in zipfile.ZipFile(file).namelist():
        yield file
        return
    parts = keras_archive.parts_of(file)
    stored = json.loads(parts.pop(PART))
    known: dict[str, np.ndarray] = {}
    for name, facts in stored["files"].items():
        known |= _taken(name, facts, place)
    names = stored["arrays"]
    weights = keras_archive.changed(
        parts[keras_archive.INSIDE], lambda name, _: known[names[name]] if name in names else None
    )
    with tempfile.TemporaryDirectory(prefix="emorec-") as folder:
        parts[keras_archive.INSIDE] = weights
        put_together = Path(folder, file.name)
        keras_archive.write_parts(put_together, parts)
        yield put_together


def _taken(name: str, facts: Mapping[str, Any], place: Path) -> dict[str, np.ndarray]:
    """Read the arrays that one other model gives, by their keys."""
    up, folder, file = name.split("/")
    if up != ".." or folder in ("", ".", "..") or Path(file).suffix != ".keras":
        raise ValueError(f"{name} is not a model beside it")
    path = place.parent / name
    said = f"install emorec-tf again, or package {place.parent.name} again"
    if not path.is_file():
        raise UserError(f"{place.parent} shares weights with {folder}, not at {path}; {said}")
    with paths.local_copy(path) as local:
        if digest_of(local) != facts["sha256"]:
            raise UserError(f"{path} is not the one that {place.parent} was made with; {said}")
        arrays = dict(keras_archive.arrays(keras_archive.parts_of(local)[keras_archive.INSIDE]))
    return {key: arrays[inside] for key, inside in facts["arrays"].items()}

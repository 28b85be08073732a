"""``.keras`` files as archives: parts by name, and the arrays of the weights inside rewritten."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

INSIDE = "model.weights.h5"  # of a .keras file
LAYERS = "layers/"  # in it, beside the optimiser's state

# From the name of an array in the file, and its HDF5 data set, to another array, or None: copy it.
Change = Callable[[str, Any], np.ndarray | None]


def parts_of(path: str | Path) -> dict[str, bytes]:
    """Read all parts of the archive."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_parts(path: str | Path, parts: dict[str, bytes]) -> None:
    """Write an archive, uncompressed as Keras writes it."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def changed(weights: bytes, change: Change) -> bytes:
    """Copy an HDF5 file with all its attributes; ``change`` may replace arrays of its layers."""
    import h5py

    copy = io.BytesIO()
    with h5py.File(io.BytesIO(weights)) as source, h5py.File(copy, "w") as target:
        _copy(source, target, change)
    return copy.getvalue()


def _copy(source: Any, target: Any, change: Change) -> None:
    for name, value in source.attrs.items():
        target.attrs[name] = value
    for name, item in source.items():
        if hasattr(item, "items"):
            _copy(item, target.create_group(name), change)
            continue
        inside = item.name.removeprefix("/")
        found = change(inside, item) if inside.startswith(LAYERS) else None
        if found is None:
            source.copy(item, target, name)
        else:
            target.create_dataset(name, data=found).attrs.update(item.attrs)


def arrays(weights: bytes) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name and the numbers of each array of the layers."""
    import h5py

    def below(group: Any) -> Iterator[tuple[str, np.ndarray]]:
        for item in group.values():
            if hasattr(item, "items"):
                yield from below(item)
            else:
                yield item.name.removeprefix("/"), item[()]

    with h5py.File(io.BytesIO(weights)) as file:
        if LAYERS.rstrip("/") in file:
            yield from below(file[LAYERS.rstrip("/")])

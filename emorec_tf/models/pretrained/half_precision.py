"""Fixed weights in half precision: rounded when they are loaded, stored as such with a run.

A fixed weight that is rounded once can be stored in 16 bits without any further loss, so that a run
with its own copy of a pretrained net stays small. It is computed with in the run's own precision.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

FEWEST = 1024  # numbers of an array that is worth it; scales and variances stay as they are
INSIDE = "model.weights.h5"  # of a .keras file
LAYERS = "layers/"  # in it, beside the optimiser's state


def freeze(layers: Iterable[keras.layers.Layer]) -> None:
    """Keep layers from training, and round their large arrays to half precision."""
    for layer in layers:
        layer.set_weights([rounded(np.asarray(values)) for values in layer.get_weights()])
        layer.trainable = False


def rounded(values: np.ndarray) -> np.ndarray:
    """Round a large array to half precision; one that does not fit its range stays as it is."""
    if values.size < FEWEST or np.abs(values).max() > np.finfo(np.float16).max:
        return values
    return values.astype(np.float16).astype(values.dtype)


def is_useful(model: keras.Model) -> bool:
    """Whether a model has weights that ``freeze`` may have rounded."""
    return any(int(np.prod(w.shape)) >= FEWEST for w in model.non_trainable_weights)


def compact(path: Path) -> None:
    """Rewrite a .keras file: arrays of its layers that half precision holds exactly, in 16 bits.

    Keras reads them into weights of the type that the layers have.
    """
    import h5py

    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    smaller = io.BytesIO()
    with h5py.File(io.BytesIO(parts[INSIDE])) as source, h5py.File(smaller, "w") as target:
        _copy(source, target)
    parts[INSIDE] = smaller.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def _copy(source: Any, target: Any) -> None:
    """Copy a group of an HDF5 file, with all attributes."""
    for name, value in source.attrs.items():
        target.attrs[name] = value
    for name, item in source.items():
        if hasattr(item, "items"):
            _copy(item, target.create_group(name))
        elif item.name.removeprefix("/").startswith(LAYERS) and _is_half(item):
            copied = target.create_dataset(name, data=item[()].astype(np.float16))
            copied.attrs.update(item.attrs)
        else:
            source.copy(item, target, name)


def _is_half(item: Any) -> bool:
    """Whether half precision holds an array exactly."""
    if item.dtype != np.float32 or item.size < FEWEST:
        return False
    values = item[()]
    with np.errstate(over="ignore"):
        return bool(np.array_equal(values, values.astype(np.float16).astype(np.float32)))

"""Fixed weights in half precision: rounded when they are loaded, stored as such with a run.

A fixed weight that is rounded once can be stored in 16 bits without any further loss, so that a run
with its own copy of a pretrained net stays small. It is computed with in the run's own precision.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emorec_tf.models.pretrained import keras_archive

if TYPE_CHECKING:
    import keras

FEWEST = 1024  # numbers of an array that is worth it; scales and variances stay as they are


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
    parts = keras_archive.parts_of(path)
    weights = keras_archive.INSIDE
    parts[weights] = keras_archive.changed(parts[weights], lambda _, item: _half(item))
    keras_archive.write_parts(path, parts)


def _half(item: Any) -> np.ndarray | None:
    """An array in half precision; None where that does not hold it exactly."""
    if item.dtype != np.float32 or item.size < FEWEST:
        return None
    values = item[()]
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    return half if np.array_equal(values, half.astype(np.float32)) else None

"""Weights of a Keras HDF5 file (whole model or weights alone), as plain arrays by layer.

Only the arrays are read; the model's description and any code in it are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emorec_tf.errors import UserError

if TYPE_CHECKING:
    import keras


def layer_weights(path: str | Path) -> dict[str, dict[str, np.ndarray]]:
    """Read ``{layer: {weight: array}}`` in the file's order; layers without weights are left out.

    Raises:
        UserError: no such file, a damaged one, or one of another kind.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)  # a whole model, or weights alone
            stored = {
                layer: {w: _array(file, root[layer][w]) for w in _names(root[layer], "weight")}
                for layer in _names(root, "layer")
            }
    except (OSError, LookupError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"{path}: cannot be read as a Keras HDF5 file ({reason}); download it again, or save "
            f"one with keras.Model.save('FILE.h5')"
        ) from error
    return {layer: weights for layer, weights in stored.items() if weights}


def _names(group: Any, kind: str) -> list[str]:
    """Names of a group's layers or weights; long lists are written in numbered parts."""
    whole, parts = f"{kind}_names", []
    if whole in group.attrs:
        parts = list(group.attrs[whole])
    else:
        while f"{whole}{len(parts)}" in group.attrs:
            parts.append(group.attrs[f"{whole}{len(parts)}"])
        if not parts:
            raise ValueError(f"no {whole} in {group.name}")
        parts = [name for part in parts for name in part]
    return [name.decode("utf-8") if isinstance(name, bytes) else str(name) for name in parts]


def _array(file: Any, dataset: Any) -> np.ndarray:
    """Read numbers stored in this file itself: no external file, no text, no virtual data set."""
    if dataset.dtype.kind != "f" or dataset.external or dataset.is_virtual:
        raise ValueError(f"{dataset.name} holds no plain numbers")
    if dataset.file.filename != file.filename or dataset.id.get_storage_size() < dataset.nbytes:
        raise ValueError(f"{dataset.name} is not wholly in this file")
    return np.asarray(dataset[()])


def load_layers(layers: Sequence[keras.layers.Layer], path: str | Path, needed: str = "") -> None:
    """Give ``layers`` the weights of the file's first layers, in order; further ones are ignored.

    Args:
        layers: with weights, built.
        path: a Keras HDF5 file.
        needed: the net that the file must hold, for the message.

    Raises:
        UserError: it cannot be read, or a shape differs.
    """
    stored = layer_weights(path)
    if len(stored) < len(layers):
        raise UserError(
            f"{path}: holds {len(stored)} layers with weights, {len(layers)} are needed; "
            f"give the file of {needed}"
        )
    for layer, (name, weights) in zip(layers, stored.items(), strict=False):
        wanted = [tuple(w.shape) for w in layer.weights]
        found = [w.shape for w in weights.values()]
        if wanted != found:
            raise UserError(
                f"{path}: layer {name} has weights {found}, {wanted} are needed; give the file of "
                f"{needed}"
            )
        layer.set_weights(list(weights.values()))

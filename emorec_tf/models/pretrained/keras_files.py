"""Weights of a Keras file (HDF5 or ``.keras``), as plain arrays by layer.

Only the arrays are read; the model's description and any code in it are ignored.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emorec_tf.errors import UserError
from emorec_tf.models.pretrained.keras_archive import INSIDE

if TYPE_CHECKING:
    import keras

DAMAGED = (
    AttributeError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
)


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


def saved_weights(path: str | Path) -> dict[str, dict[str, np.ndarray]]:
    """Read ``{layer: {weight: array}}`` of a ``.keras`` file; other files: see ``layer_weights``.

    Of a ``.keras`` file only the layers at its top level are read, and of these only the arrays.

    Raises:
        UserError: no such file, a damaged one, or one of another kind.
    """
    import h5py

    if not zipfile.is_zipfile(path):
        return layer_weights(path)
    try:
        with zipfile.ZipFile(path) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise ValueError("its parts are compressed, which Keras does not do")
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
            data = io.BytesIO(archive.read(INSIDE))
        with h5py.File(data) as file:
            found = {}
            for name, group in _groups(layers, file["layers"]):
                arrays = group.get("vars", {})
                found[name] = {i: _array(file, arrays[i]) for i in sorted(arrays, key=int)}
        return {layer: weights for layer, weights in found.items() if weights}
    except DAMAGED as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"{path}: cannot be read as a Keras file ({reason}); download it again, or save one "
            f"with keras.Model.save('FILE.keras')"
        ) from error


def _groups(layers: Sequence[Any], stored: Any) -> Iterator[tuple[str, Any]]:
    """Yield the name of each layer with its group, which is named by its class and a counter."""
    counts: Counter[str] = Counter()
    for layer in layers:
        # as keras.src.utils.naming.to_snake_case
        words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", str(layer["class_name"]))
        kind = re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
        group = f"{kind}_{counts[kind]}" if counts[kind] else kind
        counts[kind] += 1
        if group in stored:
            yield str(layer["config"]["name"]), stored[group]


def load_by_kind(layers: Sequence[keras.layers.Layer], path: str | Path, needed: str) -> None:
    """Give ``layers`` the weights of a file: the first Conv2D those of the file's first, and so on.

    Keras lists the layers of a net by their depth, but numbers those of one kind in the order in
    which they were made: ``conv2d``, ``conv2d_1``, ...

    Args:
        layers: with weights, built, in the order in which they are made.
        path: a ``.keras`` or HDF5 file of the same net, whose layers have Keras's own names.
        needed: the net that the file must hold, for the message.

    Raises:
        UserError: it cannot be read, or it is of another net.
    """
    stored: dict[str, dict[int, list[np.ndarray]]] = {}
    for name, weights in saved_weights(path).items():
        kind, number = _kind(name)
        stored.setdefault(kind, {})[number] = list(weights.values())
    in_order = {kind: [made[n] for n in sorted(made)] for kind, made in stored.items()}
    if sum(map(len, in_order.values())) != len(layers):
        count = sum(map(len, in_order.values()))
        raise UserError(
            f"{path}: holds {count} layers with weights, {len(layers)} are needed; give the file "
            f"of {needed}"
        )
    for layer in layers:
        kind, _ = _kind(layer.name)
        found = in_order[kind].pop(0) if in_order.get(kind) else []
        wanted = [tuple(w.shape) for w in layer.weights]
        if wanted != [w.shape for w in found]:
            raise UserError(
                f"{path}: a {kind} has weights {[w.shape for w in found]}, {wanted} are needed; "
                f"give the file of {needed}"
            )
        layer.set_weights(found)


def _kind(name: str) -> tuple[str, int]:
    """Split ``conv2d_12`` into the kind of layer and its number, 0 without one."""
    match = re.fullmatch(r"(.*?)(?:_(\d+))?", name)
    return (match[1], int(match[2] or 0)) if match else (name, 0)


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

"""Weights of a TensorFlow.js model (a ``.json`` and its ``.bin`` files), as arrays by name.

Only the list of weights and their numbers are read; the graph is ignored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf.errors import UserError

PLAIN = {"float32": "<f4", "int32": "<i4", "uint8": "u1", "bool": "u1"}
# as which numbers are stored in place of float32: halves, or whole numbers times scale plus min
QUANTISED = {"float16": "<f2", "uint8": "u1", "uint16": "<u2"}
DAMAGED = (AttributeError, LookupError, OSError, OverflowError, TypeError, ValueError)


def weights(path: str | Path) -> dict[str, np.ndarray]:
    """Read ``{name: array}`` of all weights in the order of the file; quantised ones as float32.

    Raises:
        UserError: no such file, a damaged one, or one of another kind.
    """
    path = Path(path)
    try:
        groups = json.loads(path.read_text(encoding="utf-8"))["weightsManifest"]
        found: dict[str, np.ndarray] = {}
        for group in groups:
            data = b"".join(_part(path, name) for name in group["paths"])
            found |= _arrays(group["weights"], data)
        return found
    except DAMAGED as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise UserError(
            f"{path}: cannot be read as a TensorFlow.js model ({reason}); give its .json file, "
            f"with the .bin files beside it"
        ) from error


def _part(path: Path, name: str) -> bytes:
    """Read a file beside the model's, and no other."""
    if name != Path(name).name:
        raise ValueError(f"it names {name!r}, which is no file beside it")
    return path.with_name(name).read_bytes()


def _arrays(listed: Sequence[Mapping[str, Any]], data: bytes) -> dict[str, np.ndarray]:
    """Cut the arrays out of the numbers of a group, which lie one after the other."""
    found, at = {}, 0
    for one in listed:
        name, shape, scaled = str(one["name"]), one["shape"], one.get("quantization")
        if any(type(side) is not int or side < 0 for side in shape):
            raise ValueError(f"{name} has an impossible shape")
        stored = np.dtype(QUANTISED[scaled["dtype"]] if scaled else PLAIN[one["dtype"]])
        size = math.prod(shape) * stored.itemsize
        if at + size > len(data):
            raise ValueError(f"{name} reaches beyond the {len(data)} bytes that are there")
        values = np.frombuffer(data, stored, math.prod(shape), at).reshape(shape)
        at += size
        if scaled:
            values = values.astype(np.float32)
        if scaled and "scale" in scaled:
            values = values * np.float32(scaled["scale"]) + np.float32(scaled["min"])
        found[name] = values
    if at != len(data):
        raise ValueError(f"{len(data)} bytes are there, {at} are named")
    return found

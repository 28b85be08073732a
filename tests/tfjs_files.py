"""TensorFlow.js models with random weights, written as its converter does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

Entry = dict[str, Any]


def write(path: Path, arrays: Mapping[str, np.ndarray], parts: int = 1) -> list[Entry]:
    """Write a model's list of weights and its numbers; float16 stands for float32."""
    entries: list[Entry] = []
    for name, values in arrays.items():
        entry: Entry = {"name": name, "shape": list(values.shape), "dtype": str(values.dtype)}
        if values.dtype == np.float16:
            entry |= {"dtype": "float32", "quantization": {"dtype": "float16"}}
        entries.append(entry)
    save(path, entries, b"".join(a.tobytes() for a in arrays.values()), parts)
    return entries


def save(path: Path, entries: list[Entry], data: bytes, parts: int = 1) -> None:
    names = [f"{path.stem}-{n}.bin" for n in range(parts)]
    size = -(-len(data) // parts)
    for number, name in enumerate(names):
        path.with_name(name).write_bytes(data[number * size :][:size])
    manifest = [{"paths": names, "weights": entries}]
    path.write_text(json.dumps({"format": "graph-model", "weightsManifest": manifest}))

"""Export formats: how each is written, and how its own runtime reads it again."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorec_tf.config.fields import nearest
from emorec_tf.errors import UserError
from emorec_tf.exporting.parity import INT8_TOLERANCE, TOLERANCE, Answer

if TYPE_CHECKING:
    from emorec_tf.exporting.export_graph import Serving


@dataclass(frozen=True)
class Format:
    """How an export is written, and how its own runtime reads it again."""

    place: str  # name of the file or folder in --out
    write: Callable[[Serving, Path], None]
    read: Callable[[Path], Answer]
    packages: tuple[str, ...] = ()  # modules that it needs
    tolerance: float = TOLERANCE


def chosen(names: str) -> list[str]:
    """Split a comma list of formats.

    Returns:
        Names in ``FORMATS``; those that are added to others come last.

    Raises:
        UserError: an unknown format, no format, or packages that are not installed.
    """
    formats = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    for name in formats:
        if name not in FORMATS:
            raise UserError(f"unknown format {name!r}; {nearest(name, FORMATS)}")
        for package in FORMATS[name].packages:
            if importlib.util.find_spec(package) is None:
                raise UserError(
                    f"format {name} needs {package.replace('_', '-')}; "
                    f"pip install 'emorec-tf[export]'"
                )
    if not formats:
        raise UserError(f"--format names no format; known formats are {', '.join(FORMATS)}")
    return list(dict.fromkeys(formats + [BESIDE[name] for name in formats if name in BESIDE]))


def later(module: str, function: str) -> Callable[..., Any]:
    """Return a function of a module that is imported at the first call, as it needs TensorFlow."""

    def call(*arguments: Any) -> Any:
        return getattr(importlib.import_module(f"emorec_tf.{module}"), function)(*arguments)

    return call


LITERT, ONNX = ("ai_edge_litert",), ("onnx", "onnxruntime", "tf2onnx")
FORMATS: dict[str, Format] = {
    "saved_model": Format(
        "saved_model",
        later("exporting.saved_model", "write"),
        later("exporting.saved_model", "read"),
    ),
    "litert": Format(
        "model.tflite",
        later("exporting.litert", "write"),
        later("exporting.litert", "read"),
        LITERT,
    ),
    "onnx": Format(
        "model.onnx",
        later("exporting.onnx_file", "write"),
        later("exporting.onnx_file", "read"),
        ONNX,
    ),
    "litert_int8": Format(
        "model_int8.tflite",
        later("exporting.litert", "write_int8"),
        later("exporting.litert", "read"),
        LITERT,
        INT8_TOLERANCE,
    ),
}
BESIDE = {"litert": "litert_int8"}  # written along with it

"""Small networks in TFLite files, run by LiteRT, or by TensorFlow where that is not installed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

# What the package ships; NOTICE in that folder says whose models these are.
FACE_MODELS = Path(__file__).parent / "face_models"


class LiteNet:
    """A network on one core.

    Args:
        path: of the TFLite file.

    Raises:
        ValueError: it is no such file.
    """

    def __init__(self, path: str | Path) -> None:
        """Load it."""
        self._run = interpreter_class()(model_path=str(path), num_threads=1)
        self._run.allocate_tensors()
        self._inputs = [detail["index"] for detail in self._run.get_input_details()]
        self._outputs = {d["name"]: d["index"] for d in self._run.get_output_details()}

    def __call__(self, *arrays: np.ndarray) -> dict[str, np.ndarray]:
        """Give the outputs by name; the arrays are float32, one for each input."""
        for index, array in zip(self._inputs, arrays, strict=True):
            self._run.set_tensor(index, np.asarray(array, np.float32))
        self._run.invoke()
        return {name: self._run.get_tensor(index) for name, index in self._outputs.items()}


def interpreter_class() -> Any:
    """LiteRT's interpreter, or the same one inside TensorFlow."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it will move to LiteRT
            from tensorflow.lite.python.interpreter import Interpreter
    return Interpreter

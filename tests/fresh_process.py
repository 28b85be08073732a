"""A separate process that opens saved models as a command would, and predicts with them.

It imports ``run_dir`` only, so it does not know layers that only a test has imported. One process
serves a whole test session; models and arrays (npz) are exchanged as files.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

Arrays = np.ndarray | Sequence[np.ndarray] | Mapping[str, np.ndarray]


class FreshProcess:
    """The caller's side; starts the process when first needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None

    def ask(self, **question: Any) -> dict[str, Any]:
        """Send one request as a line of JSON; read the response."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the process that opens saved models has ended"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer

    def stop(self) -> None:
        if self.process is not None:
            self.process.communicate()
            self.process = None


class Reloaded:
    """A model that another process has read from its file."""

    def __init__(self, process: FreshProcess, model: keras.Model) -> None:
        with tempfile.NamedTemporaryFile(dir=process.folder, suffix=".keras", delete=False) as file:
            self.path = Path(file.name)
        model.save(self.path)
        self.process = process

    @functools.cached_property
    def facts(self) -> dict[str, Any]:
        """Its loss and layers."""
        return self.process.ask(model=str(self.path))

    @property
    def loss(self) -> str | None:
        """Name of the loss's class."""
        return self.facts["loss"]

    def config_of(self, layer: str) -> dict[str, Any]:
        """Settings of the first layer of this class."""
        return next(config for name, config in self.facts["layers"] if name == layer)

    def __call__(self, inputs: Arrays, training: bool = False) -> Any:
        """Outputs of the model, called."""
        assert not training
        return self._answer("call", inputs)

    def predict_on_batch(self, inputs: Arrays) -> Any:
        """Outputs of the model's compiled function."""
        return self._answer("predict_on_batch", inputs)

    def _answer(self, how: str, inputs: Arrays) -> Any:
        given, found = (self.path.with_suffix(f".{n}.npz") for n in ("inputs", "outputs"))
        kind = "array"
        if isinstance(inputs, Mapping):
            kind = "dict"
        elif isinstance(inputs, (list, tuple)):
            kind, inputs = "list", {f"{n:03d}": array for n, array in enumerate(inputs)}
        else:
            inputs = {"000": np.asarray(inputs)}
        np.savez(given, **{name: np.asarray(array) for name, array in inputs.items()})
        asked = {"how": how, "kind": kind, "inputs": str(given), "outputs": str(found)}
        several = self.process.ask(model=str(self.path), **asked)["several"]
        with np.load(found) as arrays:
            outputs = [arrays[name] for name in sorted(arrays.files)]
        return outputs if several else outputs[0]


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Open the model of a request; describe it, or write its outputs."""
    import keras

    from emorec_tf.training import run_dir

    keras.utils.clear_session()
    model = run_dir.load_model(Path(question["model"]), for_training="how" not in question)
    if "how" not in question:
        loss = getattr(model, "loss", None)
        layers = [(type(n).__name__, n.get_config()) for n in model.layers if not has_layers(n)]
        return {"loss": type(loss).__name__ if loss else None, "layers": layers}
    with np.load(question["inputs"]) as arrays:
        given: Any = {name: arrays[name] for name in arrays.files}
    if question["kind"] != "dict":
        given = [given[name] for name in sorted(given)]
        given = given if question["kind"] == "list" else given[0]
    if question["how"] == "call":
        found = model(given, training=False)
    else:
        found = model.predict_on_batch(given)
    several = isinstance(found, (list, tuple))
    outputs = found if several else [found]
    np.savez(question["outputs"], **{f"{n:03d}": np.asarray(o) for n, o in enumerate(outputs)})
    return {"several": several}


def has_layers(layer: Any) -> bool:
    return bool(getattr(layer, "layers", None))


def main() -> None:
    for line in sys.stdin:
        try:
            found = answer(json.loads(line))
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(found, default=str), flush=True)


if __name__ == "__main__":
    main()

"""A run as an ONNX file, with everything that a caller must know in its metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf import __version__
from emorec_tf.config.config import to_yaml
from emorec_tf.exporting.export_graph import Serving
from emorec_tf.exporting.frozen_graph import frozen, large_weights
from emorec_tf.exporting.metadata import facts
from emorec_tf.exporting.parity import FACTS, Answer, Arrays

OPSET = 17  # ONNX 1.12 and ONNX Runtime 1.12, of 2022, and later
ERRORS_ONLY = 3  # log severity of ONNX Runtime


def write(served: Serving, path: Path) -> None:
    """Write an ONNX file whose inputs and outputs have the names of the signature."""
    import tf2onnx
    from onnx import defs, numpy_helper

    function = frozen(served, litert=False)
    specs = list(function.input_signature)
    model, _ = tf2onnx.convert.from_function(
        function,
        input_signature=specs,
        opset=OPSET,
        custom_op_handlers={"SelectV2": (to_where, [])},
    )
    unknown = {n.op_type for n in model.graph.node if not (n.domain or defs.has(n.op_type))}
    if unknown:  # which tf2onnx only logs
        raise ValueError(f"ONNX has no {', '.join(sorted(unknown))}")
    large = large_weights(served.model)
    for value in [value for value in model.graph.input if value.name in large]:
        model.graph.input.remove(value)
        kernel = np.asarray(large[value.name])
        model.graph.initializer.append(numpy_helper.from_array(kernel, value.name))
    model.producer_name, model.producer_version = "emorec_tf", __version__
    model.graph.name = "serve"
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    for name, text in metadata(served).items():
        model.metadata_props.add(key=name, value=text)
    path.write_bytes(model.SerializeToString())


def to_where(_graph: Any, node: Any, _name: str, _arguments: list[Any]) -> None:
    """Map SelectV2 to Where: tf2onnx multiplies by 0 and 1 instead, and 0 times NaN is NaN."""
    node.type = "Where"


def metadata(served: Serving) -> dict[str, str]:
    """Each item under its own name, as text or as JSON; all in one; the settings of the run."""
    items: dict[str, Any] = facts(served)
    single = {k: v if isinstance(v, str) else json.dumps(v) for k, v in items.items()}
    whole = {"config.yaml": to_yaml(served.run.config), FACTS: json.dumps(items, indent=1)}
    return {**single, **whole}


def read(path: Path) -> Answer:
    """Load an ONNX file with ONNX Runtime alone."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]

    def answer(arrays: Arrays) -> Arrays:
        return dict(zip(outputs, session.run(outputs, arrays), strict=True))

    return answer

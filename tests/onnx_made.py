"""Small audio encoders in ONNX files, made as exporters make the large ones."""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

WIDTH, WINDOW, STRIDE = 6, 400, 320  # of wav2vec2: 25 ms every 20 ms at 16 kHz
Shape = tuple[Any, ...]


def encoder(
    *,
    shape: Shape = ("batch", "samples"),
    name: str = "input_values",
    mask: str = "",
    further: Shape | None = None,
    domain: str = "",
    token_axis: bool = True,
    window: int = WINDOW,
    stride: int = STRIDE,
) -> Any:
    """A strided convolution with ReLU, and its mean over time as a second output.

    Args:
        shape: of the waveform; names are free axes.
        name: of the waveform.
        mask: "attention_mask" or "padding_mask": also take it, by which the samples are masked.
        further: shape of another input of floats, which is not used.
        domain: of the last operation; another than "" is one that no runtime has.
        token_axis: False: the mean over time, [batch, width], is the first output.
        window: samples that a token covers.
        stride: samples from one token to the next.
    """
    from onnx import TensorProto, helper, numpy_helper

    kernel = np.random.default_rng(0).normal(size=(WIDTH, 1, window)).astype(np.float32) / 20
    axis = numpy_helper.from_array(np.array([1], np.int64), "axis")
    masked = [
        helper.make_node("Cast", [mask], ["ones"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["one", "ones"], ["zeros"]),
        helper.make_node("Identity", ["ones" if "att" in mask else "zeros"], ["real"]),
        helper.make_node("Mul", [name, "real"], ["heard"]),
    ]
    nodes = [
        *(masked if mask else [helper.make_node("Identity", [name], ["heard"])]),
        helper.make_node("Unsqueeze", ["heard", "axis"], ["channel"]),
        helper.make_node("Conv", ["channel", "kernel"], ["sums"], strides=[stride]),
        helper.make_node("Relu", ["sums"], ["found"], domain=domain),
        helper.make_node("Transpose", ["found"], ["last_hidden_state"], perm=[0, 2, 1]),
        helper.make_node("ReduceMean", ["last_hidden_state"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Shape", ["heard"], ["sizes"]),
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
    if mask:
        kind = TensorProto.INT64 if mask == "attention_mask" else TensorProto.BOOL
        inputs += [helper.make_tensor_value_info(mask, kind, shape)]
    if further is not None:
        inputs += [helper.make_tensor_value_info("further", TensorProto.FLOAT, further)]
    outputs = [
        helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, (None, None, WIDTH)),
        helper.make_tensor_value_info("mean", TensorProto.FLOAT, (None, WIDTH)),
    ]
    outputs = outputs if token_axis else outputs[::-1]
    outputs += [
        helper.make_tensor_value_info("found", TensorProto.FLOAT, (None, WIDTH, None)),
        helper.make_tensor_value_info("channel", TensorProto.FLOAT, None),
        helper.make_tensor_value_info("sizes", TensorProto.INT64, (2,)),
    ]
    one = numpy_helper.from_array(np.array(1, np.float32), "one")
    constants = [axis, one, numpy_helper.from_array(kernel, "kernel")]
    graph = helper.make_graph(nodes, "encoder", inputs, outputs, constants)
    sets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=sets, ir_version=8)


def written(path: Path, **settings: Any) -> Path:
    """Write such an encoder."""
    path.write_bytes(encoder(**settings).SerializeToString())
    return path


def asked(path: Path, waveform: np.ndarray, output: str = "last_hidden_state") -> np.ndarray:
    """What ONNX Runtime itself answers: float32 [samples] -> [S, width]."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = {session.get_inputs()[0].name: waveform[None].astype(np.float32)}
    return np.asarray(session.run([output], given)[0][0])


@functools.cache
def small_file() -> Path:
    """An encoder for the tests that go over all branches.

    Its path is in their names, so all processes of a test run use the same.
    """
    folder = Path(tempfile.gettempdir(), f"emorec_onnx_{os.getuid()}")
    folder.mkdir(exist_ok=True)
    file = folder / "encoder.onnx"
    written(file.with_suffix(f".{os.getpid()}"), window=64, stride=32).replace(file)
    return file


def placed(arguments: str) -> str:
    """Arguments of a table's entry, with a file that exists in place of the one they name."""
    if "encoder.onnx" not in arguments:
        return arguments
    return arguments.replace("encoder.onnx", str(small_file()))

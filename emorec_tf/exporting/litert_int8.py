"""8-bit weights of a LiteRT model; arithmetic stays float32.

TensorFlow's dynamic-range quantisation also rounds activations to 8 bits, the waveform and its
spectra among them: in log-mels everything 48 dB below the loudest is then noise. Here only weights
are rounded, with one scale per output channel; a DEQUANTIZE operation before each restores float32,
which the runtime does once. No calibration clips are needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

MEANING = (
    "float32, with weights stored as int8, one scale for each output channel; matrices of the "
    "spectra stored as float16, a classical head as float32"
)
SMALLEST = 1024  # numbers in a matrix that is worth quantising
Operator = schema.BuiltinOperator
# operations that multiply by weights, their second input -> the weights' axis of output channels
CHANNELS = {
    Operator.CONV_2D: 0,
    Operator.DEPTHWISE_CONV_2D: 3,
    Operator.FULLY_CONNECTED: 0,
    Operator.BATCH_MATMUL: None,  # one scale for all
}
VERSION = 5  # of DEQUANTIZE, the first with a scale for each channel


def quantise(model: Any, half: Iterable[np.ndarray], whole: Iterable[np.ndarray]) -> None:
    """Replace the weights of a model (ModelT) by int8 and an operation that dequantises them.

    Args:
        model: modified in place.
        half: matrices that become float16 instead.
        whole: matrices that stay float32.
    """
    halves, wholes = as_stored(half), as_stored(whole)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = Operator.DEQUANTIZE
    code.version = VERSION
    model.operatorCodes.append(code)
    for graph in model.subgraphs:
        first = []
        for number, axis in weights_of(model, graph).items():
            weights = graph.tensors[number]
            stored = model.buffers[weights.buffer].data
            if stored.tobytes() in wholes:
                continue
            values = stored.view(np.float32).reshape(weights.shape)
            short = stored.tobytes() in halves
            small, data = as_half(values) if short else as_int8(values, axis)
            small.name, small.shape = weights.name + b"/small", weights.shape
            small.buffer, weights.buffer = len(model.buffers), 0  # the first one is empty
            model.buffers.append(data)
            graph.tensors.append(small)
            first.append(dequantise(len(graph.tensors) - 1, number, len(model.operatorCodes) - 1))
        graph.operators = [*first, *graph.operators]
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    used |= {entry.buffer for entry in model.metadata or ()}
    for number in set(range(len(model.buffers))) - used:
        model.buffers[number].data = None


def as_stored(matrices: Iterable[np.ndarray]) -> set[bytes]:
    """Bytes of matrices as a model may hold them: unchanged, or with all axes reversed."""
    return {np.ascontiguousarray(m).tobytes() for a in matrices for m in (a, np.transpose(a))}


def weights_of(model: Any, graph: Any) -> dict[int, int | None]:
    """Constant float32 tensors used as weights, by number, with the axis of their channels."""
    found = {}
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        number = operator.inputs[1] if code in CHANNELS else -1
        tensor = graph.tensors[number]
        data = model.buffers[tensor.buffer].data
        is_float = tensor.type == schema.TensorType.FLOAT32
        if number >= 0 and is_float and data is not None and len(data) >= 4 * SMALLEST:
            found[int(number)] = CHANNELS[code]
    return found


def as_int8(values: np.ndarray, axis: int | None) -> tuple[Any, Any]:
    """Round to 8 bits, the largest of each channel to 127: a tensor and its buffer."""
    others = tuple(a for a in range(values.ndim) if a != axis)
    scale = np.maximum(np.abs(values).max(others, keepdims=True) / 127.0, np.float32(1e-12))
    tensor, buffer = schema.TensorT(), schema.BufferT()
    buffer.data = np.round(values / scale).astype(np.int8).ravel().view(np.uint8)
    tensor.type, tensor.quantization = schema.TensorType.INT8, schema.QuantizationParametersT()
    tensor.quantization.scale = scale.ravel()
    tensor.quantization.zeroPoint = np.zeros(scale.size, np.int64)
    tensor.quantization.quantizedDimension = axis or 0
    return tensor, buffer


def as_half(values: np.ndarray) -> tuple[Any, Any]:
    """Round to float16: a tensor and its buffer."""
    tensor, buffer = schema.TensorT(), schema.BufferT()
    buffer.data = values.astype(np.float16).ravel().view(np.uint8)
    tensor.type = schema.TensorType.FLOAT16
    return tensor, buffer


def dequantise(small: int, weights: int, code: int) -> Any:
    """Return the operation that dequantises tensor ``small`` into tensor ``weights``."""
    operator = schema.OperatorT()
    operator.opcodeIndex = code
    operator.inputs, operator.outputs = np.array([small], "int32"), np.array([weights], "int32")
    operator.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
    operator.builtinOptions = schema.DequantizeOptionsT()
    return operator

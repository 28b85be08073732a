"""8-bit weights: which are quantised, how accurately, and how the runtime uses them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="needs the extra [export]")

import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from emorec_tf.exporting import litert_int8
from emorec_tf.exporting.litert import packed
from emorec_tf.storage.quiet import quiet

RANDOM = np.random.default_rng(0)


def drawn(*shape: int) -> np.ndarray:
    """Weights whose channels (last axis) differ widely in size."""
    sizes = np.logspace(-2, 2, shape[-1])
    return (RANDOM.normal(size=shape) * sizes).astype(np.float32)


CONV, DEPTH, DENSE, FRONT, HEAD = (
    drawn(5, 5, 3, 32),
    drawn(5, 5, 32, 2),
    drawn(64, 40),
    drawn(40, 32),
    drawn(32, 48),
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, bytes, bytes]:
    """The same layers before and after: objects, then bytes."""

    @tf.function(input_signature=[tf.TensorSpec((None, 16, 16, 3), tf.float32, "x")])
    def serve(x: tf.Tensor) -> dict[str, tf.Tensor]:
        x = tf.nn.conv2d(x, CONV, 2, "SAME")
        x = tf.nn.depthwise_conv2d(x, DEPTH, (1, 2, 2, 1), "SAME")
        x = tf.reduce_mean(x, (1, 2)) @ DENSE
        return {"y": x @ FRONT @ HEAD}

    module = tf.Module()
    module.serve = serve
    folder = str(tmp_path_factory.mktemp("saved"))
    with quiet():
        tf.saved_model.save(module, folder, signatures={"serve": serve})
        raw = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
    before, after = (schema.ModelT.InitFromObj(schema.Model.GetRootAs(raw, 0)) for _ in range(2))
    litert_int8.quantise(after, half=[FRONT], whole=[HEAD])
    return before, after, raw, packed(after)


def kept_as(model: Any, kind: int) -> list[np.ndarray]:
    """Constants of one type in a model, converted to float64."""
    types = {
        schema.TensorType.INT8: np.int8,
        schema.TensorType.FLOAT16: np.float16,
        schema.TensorType.FLOAT32: np.float32,
    }
    found = []
    for tensor in model.subgraphs[0].tensors:
        data = model.buffers[tensor.buffer].data
        if tensor.type != kind or data is None or len(data) < 1024:
            continue
        values = data.view(types[kind]).reshape(tensor.shape).astype(np.float64)
        if kind == schema.TensorType.INT8:
            assert not tensor.quantization.zeroPoint.any()
            shape = [1] * values.ndim
            shape[tensor.quantization.quantizedDimension] = -1
            values = values * tensor.quantization.scale.reshape(shape)
        found.append(values)
    return found


def test_each_channel_is_rounded_on_its_own_scale(models: tuple[Any, ...]) -> None:
    found = sorted(kept_as(models[1], schema.TensorType.INT8), key=lambda a: a.size)
    depth = DEPTH.reshape(1, 5, 5, 64)
    wanted = [depth, CONV.transpose(3, 0, 1, 2), DENSE.T]
    for values, exact in zip(found, sorted(wanted, key=lambda a: a.size), strict=True):
        assert values.shape == exact.shape
        others = (0, 1, 2) if exact is depth else tuple(range(1, exact.ndim))
        step = np.abs(exact).max(others, keepdims=True) / 127
        apart = np.abs(values - exact) / step
        assert 0.4 < apart.max() <= 0.5 + 1e-3
        assert len(np.unique(step)) == step.size


def test_some_weights_stay_float(models: tuple[Any, ...]) -> None:
    (half,) = kept_as(models[1], schema.TensorType.FLOAT16)
    np.testing.assert_array_equal(half, FRONT.T.astype(np.float16))
    (whole,) = kept_as(models[1], schema.TensorType.FLOAT32)
    np.testing.assert_array_equal(whole, HEAD.T)


def test_the_runtime_calculates_with_the_rounded_weights(models: tuple[Any, ...]) -> None:
    """Against the same graph with rounded weights, in double precision by NumPy and TensorFlow."""
    _, after, exact, small = models
    assert len(small) < 0.6 * len(exact)
    x = RANDOM.normal(size=(3, 16, 16, 3)).astype(np.float32)
    with quiet():
        found = Interpreter(model_content=small).get_signature_runner()(x=x)["y"]
        unrounded = Interpreter(model_content=exact).get_signature_runner()(x=x)["y"]
    by_shape = {a.shape: a for a in kept_as(after, schema.TensorType.INT8)}
    y = tf.nn.conv2d(x.astype(np.float64), by_shape[(32, 5, 5, 3)].transpose(1, 2, 3, 0), 2, "SAME")
    depth = by_shape[(1, 5, 5, 64)].reshape(5, 5, 32, 2)
    y = tf.nn.depthwise_conv2d(y, depth, (1, 2, 2, 1), "SAME")
    y = tf.reduce_mean(y, (1, 2)).numpy() @ by_shape[(40, 64)].T
    wanted = y @ FRONT.astype(np.float16).astype(np.float64) @ HEAD.astype(np.float64)
    size = np.abs(wanted).max(0)
    np.testing.assert_allclose(found / size, wanted / size, atol=1e-5)
    assert np.abs(found - unrounded).max() > 1e-4 * size.max()


def test_tensorflow_metadata_is_kept(models: tuple[Any, ...], tmp_path: Path) -> None:
    before, after = models[:2]
    metadata = [
        {e.name: bytes(m.buffers[e.buffer].data) for e in m.metadata} for m in (before, after)
    ]
    assert metadata[0] == metadata[1]

"""A run's function with its weights as constants: the input of converters to other formats."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from emorec_tf.exporting.export_graph import Serving, Tensors

LARGE = 1 << 20  # numbers


def frozen(served: Serving, litert: bool) -> Any:
    """Trace a run's function again and turn its weights into constants, or large ones into inputs.

    A converter that meets a variable may end the process (LiteRT's, in TensorFlow 2.16), and it
    keeps each constant a dozen times: large weights bypass it (``large_weights``).

    Args:
        served: a run.
        litert: for LiteRT: recurrent layers keep their outputs in plain tensors, as its lists need
            tensors of a known size and the batch size is unknown; large kernels are [outputs,
            inputs], as in its fully connected layers.

    Returns:
        A ``tf.function`` of one dict, the same arrays and the large weights by name, that gives
        ``{output: [B, ...]}``.
    """
    large = large_weights(served.model)
    specs = dict(served.function.input_signature[0])
    for name, kernel in large.items():
        shape = kernel.shape[::-1] if litert else kernel.shape
        specs[name] = tf.TensorSpec(shape, kernel.dtype, name)

    @tf.function(input_signature=[specs])
    def open_graph(given: Tensors) -> Tensors:
        values = {n: tf.transpose(given[n]) if litert else given[n] for n in large}
        mapping = [(kernel, values[name]) for name, kernel in large.items()]
        with keras.StatelessScope(state_mapping=mapping):
            return served.function.python_function({n: given[n] for n in served.inputs})

    with without_lists(served.model) if litert else contextlib.nullcontext():
        traced = open_graph.get_concrete_function()
    constant = convert_variables_to_constants_v2(traced, lower_control_flow=False)
    inputs = [tensor.name.split(":")[0] for tensor in constant.inputs]
    outputs = sorted(traced.structured_outputs)

    @tf.function(input_signature=[specs])
    def serve(given: Tensors) -> Tensors:
        return dict(zip(outputs, constant(*[given[name] for name in inputs]), strict=True))

    return serve


def large_weights(model: keras.Model) -> dict[str, keras.Variable]:
    """Kernels [inputs, outputs] of dense layers of ``LARGE`` numbers or more, by made-up names."""
    kernels = {
        id(layer.kernel): layer.kernel
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.Dense) and math.prod(layer.kernel.shape) >= LARGE
    }
    return {f"weights_{number}": kernel for number, kernel in enumerate(kernels.values())}


@contextlib.contextmanager
def without_lists(model: keras.Model) -> Iterator[None]:
    """Trace recurrent layers with ``loop`` in place of Keras's own loop.

    ``unroll`` is no way out: in backward layers Keras 3.15 then zeroes the wrong steps, and a long
    clip makes a large file.
    """
    recurrent = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.RNN)]
    try:
        for layer in recurrent:
            layer.inner_loop = functools.partial(loop, layer)
        yield
    finally:
        for layer in recurrent:
            vars(layer).pop("inner_loop", None)


def loop(
    layer: keras.layers.RNN,
    sequences: tf.Tensor,
    initial_state: Sequence[tf.Tensor],
    mask: tf.Tensor | None,
    training: bool = False,
) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
    """Replacement for a recurrent layer's ``inner_loop``.

    Shapes:
        sequences [B, S, E], states [B, units], mask [B, S] ->
        last output [B, units], outputs in the order of the steps [B, S, units], states
    """
    steps = sequences.shape[1]

    def step(number: tf.Tensor, before: tf.Tensor, kept: tf.Tensor, *states: tf.Tensor) -> Any:
        at = steps - 1 - number if layer.go_backwards else number
        found = layer.cell(tf.gather(sequences, at, axis=1), list(states), training=training)
        output, after = found[0], list(found[1])
        if mask is not None:
            real = tf.gather(mask, at, axis=1)[:, None]  # [B, 1]
            other = tf.zeros_like(output) if layer.zero_output_for_mask else before
            output = tf.where(real, output, other)
            after = [tf.where(real, new, old) for new, old in zip(after, states, strict=True)]
        if layer.return_sequences:
            kept += tf.one_hot(number, steps)[:, None] * output[:, None]
        return number + 1, output, kept, *after

    nothing = tf.zeros_like(initial_state[0])
    kept = tf.tile(nothing[:, None], (1, steps if layer.return_sequences else 1, 1))
    first = (tf.constant(0), nothing, kept, *initial_state)
    _, last, kept, *states = tf.while_loop(lambda number, *_: number < steps, step, first)
    return last, kept if layer.return_sequences else last[:, None], states

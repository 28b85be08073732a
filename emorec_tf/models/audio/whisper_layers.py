"""Layers of Whisper's encoder; frozen ones save their weights in half precision.

Source:
    Radford et al. 2023, Robust speech recognition via large-scale weak supervision, ICML,
    section 2.2, and the layout of OpenAI's published weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from emorec_tf.models.layers import Tensor

MOST_TOKENS = 1500  # of 30 seconds; there are no positions for more
NORM_EPSILON = 1e-5
LONGEST_WAVE = 10_000.0
# Abramowitz & Stegun 1964, formula 7.1.26: erf within 1.5e-7. LiteRT has no erf.
ERF_SCALE = 0.3275911
ERF_TERMS = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


def gelu(x: Tensor) -> Tensor:
    """The exact Gaussian error linear unit, x Phi(x), by exponentials alone."""
    size = ops.abs(x) * math.sqrt(0.5)
    t = 1.0 / (1.0 + ERF_SCALE * size)
    terms = ops.zeros_like(t)
    for factor in ERF_TERMS:
        terms = (terms + factor) * t
    tail = 0.5 * terms * ops.exp(-ops.square(size))  # 1 - Phi(|x|)
    return ops.where(x > 0, x - x * tail, x * tail)


def positions(tokens: int, width: int) -> np.ndarray:
    """Sines, then cosines, of wavelengths from 2 pi to 20,000 pi tokens.

    Shapes:
        -> float32 [tokens, width]
    """
    half = width // 2
    rates = np.exp(-np.log(LONGEST_WAVE) / (half - 1) * np.arange(half))
    angles = np.arange(tokens)[:, None] * rates
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


class Part(keras.layers.Layer):
    """A part of the encoder: its weights under short names, and their arithmetic."""

    def __init__(self, width: int, frozen: bool = False, **kwargs: Any) -> None:
        """Keep the settings.

        Args:
            width: of the tokens.
            frozen: weights are not trained, and saved in half precision.
            kwargs: of every Keras layer.
        """
        super().__init__(**({**kwargs, "trainable": False} if frozen else kwargs))
        self.width = width
        self.frozen = frozen
        self.numbers: dict[str, keras.Variable] = {}

    def shapes(self, channels: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the weights by name, for inputs of this many channels."""
        raise NotImplementedError

    def make_weights(self, channels: int | None) -> None:
        """Make the weights, for inputs of this many channels."""
        assert channels is not None
        for name, shape in self.shapes(channels).items():
            kind = "glorot_uniform" if len(shape) > 1 else "zeros"
            kind = "ones" if name.endswith("norm.weight") else kind
            self.numbers[name] = self.add_weight(
                shape=shape,
                initializer="zeros" if self.frozen else kind,  # a file's follow
                trainable=not self.frozen,
                autocast=False,
                name=name.replace(".", "_"),
            )

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Give the weights these values, by name; frozen ones as a saved model will have them."""
        for name, variable in self.numbers.items():
            array = arrays[name].astype(np.float16) if self.frozen else arrays[name]
            variable.assign(array.astype(np.float32))

    def save_own_variables(self, store: dict[str, Any]) -> None:
        """Write the weights to a file, frozen ones in half precision."""
        kind = "float16" if self.frozen else "float32"
        for number, variable in enumerate(self.weights):
            store[str(number)] = ops.convert_to_numpy(variable).astype(kind)

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Read the weights from a file."""
        found = {name: np.asarray(store[name]).astype(np.float32) for name in store.keys()}  # noqa: SIM118
        super().load_own_variables(found)

    def number(self, name: str, dtype: str | None = None) -> Tensor:
        """A weight in the precision of the calculation."""
        return ops.cast(self.numbers[name], dtype or self.compute_dtype)

    def dense(self, x: Tensor, name: str, bias: bool = True) -> Tensor:
        """Multiply by a matrix and add a bias."""
        x = ops.matmul(x, self.number(f"{name}.weight"))
        return x + self.number(f"{name}.bias") if bias else x

    def normed(self, x: Tensor, name: str) -> Tensor:
        """Layer normalisation, in single precision."""
        wide = ops.cast(x, "float32")
        wide = wide - ops.mean(wide, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(wide), axis=-1, keepdims=True)
        wide = wide * ops.rsqrt(variance + NORM_EPSILON) * self.number(f"{name}.weight", "float32")
        return ops.cast(wide + self.number(f"{name}.bias", "float32"), x.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "width": self.width, "frozen": self.frozen}


@keras.saving.register_keras_serializable("emorec_tf")
class WhisperStem(Part):
    """Two convolutions, the second with a stride of two, and the sines of the positions.

    Shapes:
        spectrum [B, T, M] -> [B, (T + 1) // 2, width]
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights."""
        self.make_weights(input_shape[-1])

    def shapes(self, channels: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the weights."""
        bias = (self.width,)
        return {
            "conv1.weight": (3, channels, self.width),
            "conv1.bias": bias,
            "conv2.weight": (3, self.width, self.width),
            "conv2.bias": bias,
        }

    def call(self, spectrum: Tensor) -> Tensor:
        """Return the tokens."""
        x = spectrum
        for name, stride in (("conv1", 1), ("conv2", 2)):
            # padded here: Keras's "same" would pad an even number of frames at the end only
            x = ops.pad(x, ((0, 0), (1, 1), (0, 0)))
            x = ops.conv(x, self.number(f"{name}.weight"), strides=stride, padding="valid")
            x = gelu(x + self.number(f"{name}.bias"))
        table = positions(x.shape[1] or MOST_TOKENS, self.width)
        return x + ops.cast(table, x.dtype)[: ops.shape(x)[1]]

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the output shape."""
        tokens = None if shape[1] is None else (shape[1] + 1) // 2
        return (shape[0], tokens, self.width)


@keras.saving.register_keras_serializable("emorec_tf")
class WhisperBlock(Part):
    """Self-attention over the real tokens and a feed-forward net, each normalised first and added.

    Shapes:
        tokens [B, S, width], which are real [B, S] -> [B, S, width]
    """

    def __init__(self, width: int, heads: int, frozen: bool = False, **kwargs: Any) -> None:
        """``heads``: of the attention; ``width`` and ``frozen``: see ``Part``."""
        super().__init__(width, frozen, **kwargs)
        self.heads = heads

    def build(
        self, tokens_shape: tuple[int | None, ...], real_shape: tuple[int | None, ...]
    ) -> None:
        """Make the weights."""
        del real_shape
        self.make_weights(tokens_shape[-1])

    def shapes(self, channels: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the weights; the key has no bias, which the softmax would cancel."""
        made: dict[str, tuple[int, ...]] = {}
        for name in ("self_attn_layer_norm", "final_layer_norm"):
            made |= {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            made |= {
                f"self_attn.{name}.weight": (channels, channels),
                f"self_attn.{name}.bias": (channels,),
            }
        del made["self_attn.k_proj.bias"]
        made |= {"fc1.weight": (channels, 4 * channels), "fc1.bias": (4 * channels,)}
        return {**made, "fc2.weight": (4 * channels, channels), "fc2.bias": (channels,)}

    def call(self, tokens: Tensor, real: Tensor) -> Tensor:
        """Return the tokens."""
        x = tokens + self.attended(self.normed(tokens, "self_attn_layer_norm"), real)
        hidden = gelu(self.dense(self.normed(x, "final_layer_norm"), "fc1"))
        return x + self.dense(hidden, "fc2")

    def attended(self, x: Tensor, real: Tensor) -> Tensor:
        """Self-attention in which nothing looks at padding."""
        size = self.width // self.heads

        def by_head(name: str, bias: bool = True) -> Tensor:
            values = self.dense(x, f"self_attn.{name}", bias)
            values = ops.reshape(values, (-1, ops.shape(x)[1], self.heads, size))
            return ops.transpose(values, (0, 2, 1, 3))  # [B, heads, S, size]

        query = by_head("q_proj") * size**-0.5
        keys = ops.transpose(by_head("k_proj", bias=False), (0, 1, 3, 2))
        scores = ops.cast(ops.matmul(query, keys), "float32")
        scores += (ops.cast(real, "float32")[:, None, None] - 1.0) * 1e9
        found = ops.matmul(ops.cast(ops.softmax(scores), x.dtype), by_head("v_proj"))
        found = ops.reshape(ops.transpose(found, (0, 2, 1, 3)), (-1, ops.shape(x)[1], self.width))
        return self.dense(found, "self_attn.out_proj")

    def compute_output_shape(
        self, tokens_shape: tuple[int | None, ...], real_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Return the output shape."""
        return tokens_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "heads": self.heads}


@keras.saving.register_keras_serializable("emorec_tf")
class WhisperNorm(Part):
    """The layer normalisation after the last block.

    Shapes:
        [B, S, width] -> [B, S, width]
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights."""
        self.make_weights(input_shape[-1])

    def shapes(self, channels: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the weights."""
        return {"layer_norm.weight": (channels,), "layer_norm.bias": (channels,)}

    def call(self, tokens: Tensor) -> Tensor:
        """Return the tokens."""
        return self.normed(tokens, "layer_norm")

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the output shape."""
        return shape


@keras.saving.register_keras_serializable("emorec_tf")
class LayerMix(keras.layers.Layer):
    """Mean of the outputs of several layers by learned shares, even at first.

    Shapes:
        [B, S, layers, width] -> [B, S, width]
    Source:
        Yang et al. 2021, SUPERB: Speech processing universal performance benchmark, Interspeech,
        section 2.2.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make a score for each layer; the shares are their softmax."""
        self.scores = self.add_weight(name="scores", shape=(input_shape[2],), initializer="zeros")

    def call(self, states: Tensor) -> Tensor:
        """Return the mean."""
        shares = ops.cast(ops.softmax(ops.cast(self.scores, "float32")), states.dtype)
        return ops.sum(states * shares[:, None], axis=2)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the output shape."""
        return (*shape[:2], shape[3])

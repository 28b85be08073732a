"""Audio branches: log-mel to tokens. To add one, write a function here and name it in the table.

A branch takes the dict of model inputs, already standardised and masked, and its knobs as
keyword arguments with literal defaults; it returns ``Tokens``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras

from emorec_tf.config import check
from emorec_tf.layers import Tensor, Tokens, attention, halve, mean_and_deviation

POOLS: dict[str, Callable[[Tokens], Tensor]] = {
    "attention": attention,
    "mean_std": mean_and_deviation,
}


def conv1d(
    inputs: Mapping[str, Tensor],
    *,
    filters: int = 128,
    blocks: int = 4,
    kernel: int = 5,
    dropout: float = 0.05,
    pool: str = "attention",
) -> Tokens:
    """Convolutions along time with batch norm, halving time after each block.

    Shapes:
        audio [B, T, M], audio_mask [B, T] -> [B, 1, 2 filters]; pool="none": [B, S, filters]

    Args:
        filters: channels of every convolution.
        blocks: convolution + batch norm + ReLU + pooling by two, so often.
        kernel: frames seen by one convolution.
        dropout: share of whole channels dropped after each block.
        pool: "attention", "mean_std" or "none" (one token per remaining frame).
    Source:
        The usual 1-D CNN for speech emotion; pooling as in Okabe et al. 2018.
    """
    x, mask = inputs["audio"], inputs["audio_mask"]
    frames = x.shape[1]
    check(2**blocks <= frames, "blocks", blocks, f"fewer for clips of {frames} frames")
    for _ in range(blocks):
        x = keras.layers.Conv1D(filters, kernel, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = keras.layers.ReLU()(x)
        x = keras.layers.MaxPooling1D(2)(x)  # [B, T / 2, filters]
        mask = halve(mask)
        x = keras.layers.SpatialDropout1D(dropout)(x)
    return pooled(Tokens(x, mask), pool)


def lstm(
    inputs: Mapping[str, Tensor],
    *,
    units: int = 64,
    layers: int = 1,
    stride: int = 4,
    dropout: float = 0.3,
    pool: str = "attention",
) -> Tokens:
    """Bidirectional LSTM over frames thinned by a strided convolution.

    Shapes:
        audio [B, T, M], audio_mask [B, T] -> [B, 1, 4 units]; pool="none": [B, S, 2 units]

    Args:
        units: state size of each direction.
        layers: LSTM layers on top of each other.
        stride: frames joined into one step; 1 keeps all, at several times the cost.
        dropout: share of each layer's outputs dropped.
        pool: "attention", "mean_std" or "none" (one token per step).
    Source:
        Graves & Schmidhuber 2005, Framewise phoneme classification with bidirectional LSTM.
    """
    x, mask = inputs["audio"], inputs["audio_mask"]
    x = keras.layers.Conv1D(units, stride + 1, strides=stride, padding="same", use_bias=False)(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))  # [B, S, units]
    steps = keras.layers.MaxPooling1D(stride, padding="same")(mask[..., None])[..., 0]
    for _ in range(layers):
        rnn = keras.layers.Bidirectional(keras.layers.LSTM(units, return_sequences=True))
        x = rnn(x, mask=keras.ops.cast(steps, "bool"))  # [B, S, 2 units]
        x = keras.layers.Dropout(dropout)(x)
    return pooled(Tokens(x, steps), pool)


def pooled(tokens: Tokens, pool: str) -> Tokens:
    """Reduce tokens to one by the named pooling, or leave them as they are."""
    if pool == "none":
        return tokens
    check(pool in POOLS, "pool", pool, f"{', '.join(POOLS)} or none")
    there = keras.ops.max(tokens.mask, axis=1, keepdims=True)
    return Tokens(POOLS[pool](tokens)[:, None], there)


AUDIO_BRANCHES: dict[str, Callable[..., Tokens]] = {
    "conv1d": conv1d,
    "lstm": lstm,
}

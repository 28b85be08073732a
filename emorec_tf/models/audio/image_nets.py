"""Audio branches that treat the features of a clip as an image: time by bands, one channel."""

from __future__ import annotations

from collections.abc import Mapping

import keras
from keras import ops

from emorec_tf.config.fields import check
from emorec_tf.models.layers import Tensor, Tokens
from emorec_tf.models.pooling import masked_audio, one_token, pooled

# filters, kernel, stride, 3 x 3 pooling by two after it
MFCC_LAYERS = (
    (128, 5, 1, True),
    (128, 5, 1, True),
    (128, 3, 1, False),
    (256, 3, 1, False),
    (256, 3, 1, True),
)
MFCC_SMALLEST = 15  # what the three poolings leave one pixel of
LOGMEL_LAYERS = (
    (96, 11, 4, True),
    (256, 5, 1, True),
    (384, 3, 1, False),
    (384, 3, 1, False),
    (256, 3, 1, True),
)


def mfcc_cnn(
    inputs: Mapping[str, Tensor],
    *,
    width: float = 1.0,
    dense: int = 4096,
    dropout: float = 0.5,
    norm: str = "none",
) -> Tokens:
    """Net like AlexNet over time and coefficients, averaged to 6 x 6, two dense layers.

    The padding is part of the image, as in the original system: zeros, the mean after
    standardising.

    Shapes:
        audio [B, T, M], audio_mask [B, T] -> [B, 1, dense]

    Args:
        inputs: as every audio branch takes them.
        width: factor on all numbers of filters.
        dense: units of both dense layers.
        dropout: before each dense layer.
        norm: "none", as published, or "batch" after each convolution.
    Source:
        The audio CNN on 20 x 282 coefficients among the systems this zoo implements; after
        Krizhevsky 2014, One weird trick, arXiv 1404.5997.
    """
    check(norm in ("batch", "none"), "norm", norm, "batch or none")
    audio, mask = masked_audio(inputs)
    side = min(audio.shape[1:])
    check(
        side >= MFCC_SMALLEST, "side of the image", side, f"at least {MFCC_SMALLEST} for mfcc_cnn"
    )
    x = convolutions(audio[..., None], MFCC_LAYERS, width, norm == "batch", "valid")
    x = averages(averages(x, 6, axis=1), 6, axis=2)  # [B, 6, 6, 256 width]
    x = keras.layers.Flatten()(x)
    for _ in range(2):
        x = keras.layers.Dropout(dropout)(x)
        x = keras.layers.Dense(dense, activation="relu")(x)
    return one_token(x, mask)


def averages(x: Tensor, count: int, axis: int) -> Tensor:
    """Average ``count`` equal parts of an axis, which overlap where it is not a multiple.

    Shorter axes repeat: PyTorch's rule for adaptive pooling, which Keras's layer follows only where
    the axis is longer than ``count``.

    Shapes:
        [..., N, ...] -> [..., count, ...]
    """
    size = x.shape[axis]
    parts = []
    for index in range(count):
        part = slice(index * size // count, -(-(index + 1) * size // count))
        parts.append(ops.mean(x[(slice(None),) * axis + (part,)], axis=axis))
    return ops.stack(parts, axis=axis)


def logmel_image(
    inputs: Mapping[str, Tensor],
    *,
    width: float = 1.0,
    dense: int = 4096,
    features: int = 1000,
    dropout: float = 0.4,
) -> Tokens:
    """Net like AlexNet with batch norm over time and mel bands, to 1000 features.

    The original system pools 2 x 2 with stride one, which leaves nearly the whole image to the
    first dense layer. Here AlexNet's pooling, 3 x 3 with stride two, follows convolutions 1, 2 and
    5: at 282 x 128 it leaves 9 x 4 x 256 = 9,216 values, as many as AlexNet's 6 x 6 x 256.

    Shapes:
        audio [B, T, M], audio_mask [B, T] -> [B, 1, features]

    Args:
        inputs: as every audio branch takes them.
        width: factor on all numbers of filters.
        dense: units of the first dense layer.
        features: units of the second.
        dropout: after each dense layer.
    Source:
        The speech network on mel images of 3 s among the systems this zoo implements; after
        Krizhevsky, Sutskever, Hinton 2012, ImageNet classification with deep CNNs.
    """
    audio, mask = masked_audio(inputs)
    x = convolutions(audio[..., None], LOGMEL_LAYERS, width, True, "same")
    x = keras.layers.Flatten()(x)
    for units in (dense, features):
        x = keras.layers.Dense(units, activation="relu")(x)
        x = keras.layers.Dropout(dropout)(x)
    return one_token(x, mask)


def convolutions(
    x: Tensor,
    table: tuple[tuple[int, int, int, bool], ...],
    width: float,
    batch_norm: bool,
    pool_padding: str,
) -> Tensor:
    """Apply a table of convolutions, each with ReLU: [B, T, M, 1] -> [B, T', M', filters]."""
    for filters, kernel, stride, pool in table:
        count = max(2, round(filters * width))
        x = keras.layers.Conv2D(
            count, kernel, strides=stride, padding="same", use_bias=not batch_norm
        )(x)
        if batch_norm:
            x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = keras.layers.ReLU()(x)
        x = keras.layers.MaxPooling2D(3, 2, padding=pool_padding)(x) if pool else x
    return x


def resnet_se(
    inputs: Mapping[str, Tensor],
    *,
    width: int = 16,
    blocks: tuple[int, ...] = (1, 1, 1),
    reduction: int = 8,
    dropout: float = 0.1,
    pool: str = "attention",
) -> Tokens:
    """Residual net over time and bands with squeeze-and-excitation of its channels.

    Time and bands are halved by the first convolution, by the pooling after it, and by each stage
    but the first, which also doubles the channels. Padding is set to zero again after every layer
    that would fill it and enters no mean, so a clip gives the same features however far it is
    padded.

    Shapes:
        audio [B, T, M], audio_mask [B, T] -> [B, 1, 2 M' C], M' = M / 2^(stages + 1),
        C = width 2^(stages - 1); pool="none": [B, S, M' C]

    Args:
        inputs: as every audio branch takes them.
        width: channels of the first stage.
        blocks: residual blocks of each stage.
        reduction: of the channels inside squeeze-and-excitation; at least 4 remain.
        dropout: share of whole channels dropped after each stage.
        pool: "attention", "mean_std" or "none" (one token per remaining frame).
    Source:
        Hu, Shen, Sun 2018, Squeeze-and-excitation networks, CVPR; He et al. 2016, Deep residual
        learning; pooling as in Okabe et al. 2018.
    """
    check(
        bool(blocks) and all(type(n) is int and n > 0 for n in blocks),
        "blocks",
        blocks,
        "whole numbers above 0, such as (1, 1, 1)",
    )
    audio, mask = masked_audio(inputs)
    x, mask = convolved(audio[..., None], mask, width, 2)
    x = keras.layers.MaxPooling2D(2, padding="same")(blanked(keras.layers.ReLU()(x), mask))
    mask = halved(mask)
    for stage, count in enumerate(blocks):
        for index in range(count):
            stride = 2 if stage and not index else 1
            x, mask = residual(x, mask, width << stage, stride, reduction)
        x = keras.layers.SpatialDropout2D(dropout)(x)
    x = ops.reshape(x, (-1, x.shape[1], x.shape[2] * x.shape[3]))  # [B, S, M' C]
    return pooled(Tokens(x, mask), pool)


def residual(
    x: Tensor, mask: Tensor, filters: int, stride: int, reduction: int
) -> tuple[Tensor, Tensor]:
    """Two convolutions with squeeze-and-excitation, beside a shortcut.

    Shapes:
        [B, T, M, C], mask [B, T] -> [B, T / stride, M / stride, filters], [B, T / stride]
    """
    y, shorter = convolved(x, mask, filters, stride)
    y, _ = convolved(blanked(keras.layers.ReLU()(y), shorter), shorter, filters, 1)
    y = excited(y, shorter, max(4, filters // reduction))
    if x.shape[-1] != filters:
        x = keras.layers.Conv2D(filters, 1, stride, use_bias=False)(x)
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
    return blanked(keras.layers.ReLU()(x + y), shorter), shorter


def convolved(x: Tensor, mask: Tensor, filters: int, stride: int) -> tuple[Tensor, Tensor]:
    """A 3 x 3 convolution with batch norm, aligned to the same frames whatever the clip's length.

    Shapes:
        [B, T, M, C], mask [B, T] -> [B, T / stride, M / stride, filters], [B, T / stride]
    """
    # padding="same" would shift a stride of two by one frame where T is even
    x = keras.layers.Conv2D(filters, 3, stride, use_bias=False)(keras.layers.ZeroPadding2D(1)(x))
    x = keras.layers.BatchNormalization(momentum=0.9)(x)
    return x, mask if stride == 1 else halved(mask)


def halved(mask: Tensor) -> Tensor:
    """Mask of pairs of frames, a last odd one alone: [B, T] -> [B, T / 2]."""
    return keras.layers.MaxPooling1D(2, padding="same")(mask[..., None])[..., 0]


def blanked(x: Tensor, mask: Tensor) -> Tensor:
    """Set the padding to zero: [B, T, M, C], mask [B, T] -> [B, T, M, C]."""
    return x * ops.cast(mask, x.dtype)[..., None, None]


def excited(x: Tensor, mask: Tensor, units: int) -> Tensor:
    """Scale channels by two dense layers of their means over the real frames.

    Shapes:
        [B, T, M, C], mask [B, T] -> [B, T, M, C]
    """
    shares = mask / ops.maximum(ops.sum(mask, axis=1, keepdims=True), 1.0)  # of a frame
    means = ops.sum(ops.mean(x, axis=2) * ops.cast(shares, x.dtype)[..., None], axis=1)  # [B, C]
    weights = keras.layers.Dense(units, activation="relu")(means)
    weights = keras.layers.Dense(x.shape[-1], activation="sigmoid")(weights)
    return x * weights[:, None, None]

"""Face branches: face crops to tokens. To add one, write a function here and name it in the table.

A branch takes the dict of model inputs (faces uint8, masks float32) and its knobs as keyword
arguments with literal defaults; it returns ``Tokens``, one per picture or one per clip.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras
from keras import ops

from emorec_tf.config import check
from emorec_tf.layers import Tensor, Tokens

# filters, kernel, stride, groups, pool after it; fully connected layers follow.
# "2012" is the two-tower net of the first paper, "2014" its one-tower successor.
ALEXNET_LAYERS = {
    "2012": (
        (96, 11, 4, 1, True),
        (256, 5, 1, 2, True),
        (384, 3, 1, 1, False),
        (384, 3, 1, 2, False),
        (256, 3, 1, 2, True),
    ),
    "2014": (
        (64, 11, 4, 1, True),
        (192, 5, 1, 1, True),
        (384, 3, 1, 1, False),
        (256, 3, 1, 1, False),
        (256, 3, 1, 1, True),
    ),
}
ALEXNET_PIXELS = 224
SMALLEST_PIXELS = 19  # what the three poolings leave one pixel of


def alexnet(
    inputs: Mapping[str, Tensor],
    *,
    width: float = 0.1875,
    pixels: int = 0,
    layout: str = "2014",
    dense: int = 128,
    dense_layers: int = 1,
    dropout: float = 0.3,
    norm: str = "batch",
) -> Tokens:
    """AlexNet on every face crop, scaled by width and size.

    ``alexnet(width=1.0, pixels=224, dense=4096, dense_layers=2, dropout=0.5, norm='none')`` is the
    layer table of the paper; below 224 pixels the first kernel and stride shrink in proportion
    (never below 5 and 1), so that 63 pixels also end in 6 x 6.

    Shapes:
        faces uint8 [B, F, H, W, C], face_mask [B, F] -> [B, F, dense]

    Args:
        width: factor on all numbers of filters.
        pixels: side to which crops are resized first; 0: as they are.
        layout: "2012" (two towers) or "2014" (one tower, as in torchvision).
        dense: units of each fully connected layer; not scaled by width.
        dense_layers: fully connected layers before the fusion.
        dropout: before each fully connected layer.
        norm: "batch" after each convolution (trains from scratch on small corpora) or "none".
    Source:
        Krizhevsky, Sutskever, Hinton 2012, ImageNet classification with deep CNNs, section 3.5;
        Krizhevsky 2014, One weird trick, arXiv 1404.5997. Left out: local response normalisation.
    """
    check(layout in ALEXNET_LAYERS, "layout", layout, " or ".join(ALEXNET_LAYERS))
    check(norm in ("batch", "none"), "norm", norm, "batch or none")
    faces, mask = inputs["faces"], inputs["face_mask"]
    x = standardised(ops.reshape(faces, (-1, *faces.shape[2:])))  # [B F, H, W, C]
    if pixels:
        x = keras.layers.Resizing(pixels, pixels)(x)
    side = x.shape[1]
    check(side >= SMALLEST_PIXELS, "side of a picture", side, f"at least {SMALLEST_PIXELS} pixels")
    scale = min(1.0, side / ALEXNET_PIXELS)
    for index, (filters, kernel, stride, groups, pool) in enumerate(ALEXNET_LAYERS[layout]):
        padding = "same"
        if index == 0:
            kernel = max(5, 2 * round(kernel * scale / 2 - 0.5) + 1)
            stride = max(1, round(stride * scale))
            x = keras.layers.ZeroPadding2D(2)(x) if scale == 1.0 else x
            padding = "valid"
        x = convolution(x, max(2, 2 * round(filters * width / 2)), kernel, stride, padding, groups)
        if norm == "batch":
            x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = keras.layers.ReLU()(x)
        x = keras.layers.MaxPooling2D(3, 2)(x) if pool else x
    x = keras.layers.Flatten()(x)  # [B F, 6 * 6 * filters] at 224 pixels
    for _ in range(dense_layers):
        x = keras.layers.Dropout(dropout)(x)
        x = keras.layers.Dense(dense, activation="relu")(x)
    return Tokens(ops.reshape(x, (-1, ops.shape(faces)[1], dense)), mask)  # [B, F, dense]


def convolution(
    x: Tensor, filters: int, kernel: int, stride: int, padding: str, groups: int
) -> Tensor:
    """Convolve, in halves where the net has two towers (no grouped gradient on a CPU)."""
    parts = ops.split(x, groups, axis=-1) if groups > 1 else [x]
    halves = [
        keras.layers.Conv2D(filters // groups, kernel, strides=stride, padding=padding)(p)
        for p in parts
    ]
    return ops.concatenate(halves, axis=-1) if groups > 1 else halves[0]


def standardised(pictures: Tensor) -> Tensor:
    """Take brightness and contrast from each picture: mean 0, deviation 1; empty stays zero.

    Shapes:
        uint8 [N, H, W, C] -> float [N, H, W, C]
    """
    x = ops.cast(pictures, "float32") / 255.0
    mean = ops.mean(x, axis=(1, 2, 3), keepdims=True)
    deviation = ops.std(x, axis=(1, 2, 3), keepdims=True)
    return ops.cast((x - mean) / (deviation + 1e-3), keras.config.floatx())


FACE_BRANCHES: dict[str, Callable[..., Tokens]] = {
    "alexnet": alexnet,
}

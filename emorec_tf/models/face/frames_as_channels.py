"""A face branch without time: the frames of a clip are the channels of one image."""

from __future__ import annotations

from collections.abc import Mapping

import keras
from keras import ops

from emorec_tf.config.fields import check
from emorec_tf.models.layers import (
    Tensor,
    Tokens,
    fixed_frames,
    present,
    standardised_by_training,
)


def frames_as_channels(
    inputs: Mapping[str, Tensor],
    *,
    filters: int = 16,
    blocks: int = 3,
    kernel: int = 5,
    dropout: float = 0.8,
) -> Tokens:
    """Convolutions over grey crops stacked as channels of one image.

    Eight crops of 100 x 100 end in 64 x 10 x 10 features, by 67,312 weights. Pixels are z-scored by
    one running mean and deviation of training; missing frames are zero, the mean.

    Shapes:
        faces uint8 [B, F, H, W, 1], face_mask [B, F] -> [B, 1, features], [B, 1]

    Args:
        inputs: as every face branch takes them.
        filters: of the first convolution; every further one has twice as many.
        blocks: convolutions, each with ReLU and pooling by two.
        kernel: side of the convolutions, with a padding of one pixel.
        dropout: of the features.
    Source:
        The face-crop system that this zoo implements (eight faces as channels, convolutions of
        5 x 5); LeCun et al. 1998, Gradient-based learning applied to document recognition.
    """
    faces, mask = inputs["faces"], inputs["face_mask"]
    height, width, channels = faces.shape[2:]
    count = fixed_frames(faces, "frames_as_channels")
    check(channels == 1, "face_channels", channels, "1 for frames_as_channels")
    pixels = ops.reshape(ops.cast(faces, "float32") / 255.0, (-1, count, height * width))
    x = scalar_scores(pixels, mask)
    x = ops.transpose(ops.reshape(x, (-1, count, height, width)), (0, 2, 3, 1))  # [B, H, W, F]
    for block in range(blocks):
        side = min(x.shape[1], x.shape[2])
        fits = side + 3 - kernel >= 2
        check(fits, "side of a crop", height, f"larger for {blocks} blocks of kernel {kernel}")
        x = keras.layers.ZeroPadding2D(1)(x)
        x = keras.layers.Conv2D(filters * 2**block, kernel, activation="relu")(x)
        x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Dropout(dropout)(keras.layers.Flatten()(x))
    return Tokens(x[:, None], present(mask))


def scalar_scores(pixels: Tensor, mask: Tensor) -> Tensor:
    """Z-score by one mean and deviation over all pixels of all real frames.

    Shapes:
        [B, F, P], mask [B, F] -> [B, F, P]
    """
    count, size = pixels.shape[1:]
    every = ops.reshape(pixels, (-1, count * size, 1))
    real = ops.reshape(ops.repeat(mask, size, axis=1), (-1, count * size))  # [B, F P]
    return ops.reshape(standardised_by_training(every, real), (-1, count, size))

"""Face crops of all clips as one batch of images, in the form that published nets take."""

from __future__ import annotations

import keras
from keras import ops

from emorec_tf.models.layers import Tensor


def rgb_images(faces: Tensor, pixels: int) -> Tensor:
    """Crops of all clips along one axis, resized, in three channels; grey is repeated.

    Shapes:
        uint8 [B, F, H, W, C] -> float32 [B F, pixels, pixels, 3], 0 to 255; pixels 0: not resized
    """
    height, width, channels = faces.shape[2:]
    x = ops.cast(ops.reshape(faces, (-1, height, width, channels)), "float32")
    if pixels and (height, width) != (pixels, pixels):
        x = keras.layers.Resizing(pixels, pixels, dtype="float32")(x)
    return ops.repeat(x, 3, axis=-1) if channels == 1 else x

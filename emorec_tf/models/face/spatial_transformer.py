"""A spatial transformer: a small net locates the face, and the image is resampled there."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from emorec_tf.models.layers import Tensor

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # x' = x, y' = y


def spatial_transformer(images: Tensor, filters: int = 20, kernel: int = 5) -> Tensor:
    """Rotate, shift and scale each image by a localisation net of two convolutions.

    It starts as the identity.

    Shapes:
        float [N, H, W, C] -> [N, H, W, C]
    Source:
        Jaderberg et al. 2015, Spatial transformer networks, NeurIPS, section 3.
    """
    x = images
    for _ in range(2):
        x = keras.layers.Conv2D(filters, kernel, activation="relu")(x)
        x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Dense(filters, activation="relu")(keras.layers.Flatten()(x))
    # Zeros, added to the identity, so that weight decay pulls towards the unchanged image.
    change = keras.layers.Dense(len(IDENTITY), kernel_initializer="zeros", dtype="float32")(x)
    return AffineSampling(dtype="float32")(images, change)


@keras.saving.register_keras_serializable("emorec_tf")
class AffineSampling(keras.layers.Layer):
    """Sample images bilinearly at the places of an affine map, given relative to the identity.

    Places run from -1 to 1 between the centres of the outermost pixels. Beyond the image its edge
    is repeated.

    Shapes:
        images [N, H, W, C], change of the map (xx, xy, x, yx, yy, y) [N, 6] -> [N, H, W, C]
    """

    def call(self, pictures: Tensor, change: Tensor) -> Tensor:
        """Return the resampled images."""
        height, width, channels = pictures.shape[1:]
        rows, columns = np.linspace(-1, 1, height), np.linspace(-1, 1, width)
        y, x = (grid.ravel() for grid in np.meshgrid(rows, columns, indexing="ij"))
        grid = np.stack([x, y, np.ones_like(x)]).astype("float32")  # [3, P]
        affine = ops.reshape(change + np.array(IDENTITY, "float32"), (-1, 2, 3))
        places = ops.matmul(affine, grid)  # [N, 2, P]
        column, right = _between(places[:, 0], width)
        row, below = _between(places[:, 1], height)
        pixels = ops.reshape(pictures, (-1, height * width, channels))

        def seen(down: int, along: int) -> Tensor:
            index = (row + down) * width + column + along
            return ops.take_along_axis(pixels, index[..., None], axis=1)  # [N, P, C]

        upper = seen(0, 0) * (1.0 - right) + seen(0, 1) * right
        lower = seen(1, 0) * (1.0 - right) + seen(1, 1) * right
        sampled = upper * (1.0 - below) + lower * below
        return ops.reshape(sampled, (-1, height, width, channels))

    def compute_output_shape(
        self, pictures_shape: tuple[int | None, ...], change_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Give the shape without running."""
        return pictures_shape


def _between(place: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """From -1 ... 1 to the pixel before [N, P], and the share of the one after it [N, P, 1]."""
    pixel = ops.clip((place + 1.0) * ((size - 1) / 2.0), 0.0, size - 1.0)
    before = ops.clip(ops.floor(ops.stop_gradient(pixel)), 0.0, size - 2.0)
    return ops.cast(before, "int32"), (pixel - before)[..., None]

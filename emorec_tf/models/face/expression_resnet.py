"""A small residual net for single grey faces, and the face branch of it.

``scripts/train_expression_net.py`` trains the net on images; the branch takes its weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
from keras import ops

from emorec_tf.config.fields import check
from emorec_tf.models.face.expression_nets import Net, grey_images
from emorec_tf.models.layers import ByClip, Tensor, Tokens
from emorec_tf.models.pooling import pooled_frames
from emorec_tf.models.pretrained import half_precision, keras_files

PIXELS = 48  # side of an image of FER-2013
CLASSES = ("angry", "disgust", "fearful", "happy", "sad", "surprised", "neutral")
SQUEEZE = 8  # filters for each unit of a gate
FILE = "scripts/train_expression_net.py, with the same blocks"


def expression_net(
    inputs: Mapping[str, Tensor],
    *,
    blocks: tuple[int, ...] = (64, 128, 256),
    weights: str = "none",
    frozen: bool = False,
    pool: str = "none",
) -> Tokens:
    """Residual net with gated channels on every face crop; its weights classify seven emotions.

    The default crops frame a face as the images of FER-2013 do, on which the weights are trained:
    their eyes are 0.37 of the side apart (median of 1,107 images), here 0.37 with a margin of 0.1.
    In FER-2013 they lie 2 of 48 pixels lower and are not level, less than training varies both.

    Shapes:
        faces uint8 [B, F, H, W, C], face_mask [B, F] -> [B, F, E], [B, F]: means of the last
        maps, and the scores of angry, disgust, fearful, happy, sad, surprised, neutral; E is the
        last of ``blocks`` + 7. With pool="statistics" [B, 1, 3 E], [B, 1]

    Args:
        inputs: as every face branch takes them.
        blocks: filters of each pair of residual blocks, multiples of 8; each pair halves the image.
        weights: "none" or the path of a file of scripts/train_expression_net.py.
        frozen: do not train these weights; they are rounded to half precision and stored in it.
        pool: "none" (one token per frame) or "statistics" (one per clip: mean, deviation and
            largest over its frames), for a classical head.
    Source:
        He et al. 2016, Deep residual learning for image recognition, CVPR; gates as in Hu et al.
        2018, Squeeze-and-excitation networks, CVPR; sizes of our own.
    """
    whole = all(filters >= SQUEEZE and filters % SQUEEZE == 0 for filters in blocks)
    check(whole and len(blocks) > 0, "blocks", blocks, f"multiples of {SQUEEZE}")
    check(not frozen or weights != "none", "frozen", frozen, "False where weights is 'none'")
    faces, mask = inputs["faces"], inputs["face_mask"]
    net = residual_net(grey_images(faces, PIXELS), blocks)
    if weights != "none":
        keras_files.load_by_kind(net.layers, weights, net.file)
    if frozen:
        half_precision.freeze(net.layers)
    return pooled_frames(Tokens(ByClip()(net.values, mask), mask), pool)


def residual_net(
    images: Tensor, blocks: Sequence[int] = (64, 128, 256), dropout: float = 0.0
) -> Net:
    """A convolution, pairs of residual blocks, means of the maps and scores of seven emotions.

    Shapes:
        [N, 48, 48, 1], 0 to 1 -> values [N, blocks[-1] + 7], float32

    Args:
        images: grey faces.
        blocks: filters of each pair of blocks.
        dropout: before the scores.
    """
    made: list[keras.layers.Layer] = []
    x = _normed(made, 2.0 * images - 1.0, blocks[0] // 2, 3)
    x = keras.layers.ReLU()(x)
    for filters in blocks:
        x = _block(made, x, filters, 2)
        x = _block(made, x, filters, 1)
    x = ops.cast(keras.layers.GlobalAveragePooling2D()(x), "float32")
    made.append(keras.layers.Dense(len(CLASSES), dtype="float32"))
    scores = made[-1](keras.layers.Dropout(dropout)(x) if dropout else x)
    return Net(ops.concatenate([x, scores], axis=-1), made, FILE)


def _block(made: list[keras.layers.Layer], x: Tensor, filters: int, stride: int) -> Tensor:
    """Two convolutions, a gate on their channels, and a shortcut."""
    y = keras.layers.ReLU()(_normed(made, x, filters, 3, stride))
    y = _normed(made, y, filters, 3)
    squeeze = keras.layers.Conv2D(filters // SQUEEZE, 1, activation="relu")
    excite = keras.layers.Conv2D(filters, 1, activation="sigmoid")
    made += [squeeze, excite]
    y = y * excite(squeeze(keras.layers.GlobalAveragePooling2D(keepdims=True)(y)))
    if stride > 1 or x.shape[-1] != filters:
        x = keras.layers.AveragePooling2D(stride)(x) if stride > 1 else x
        x = _normed(made, x, filters, 1)
    return keras.layers.ReLU()(x + y)


def _normed(
    made: list[keras.layers.Layer], x: Tensor, filters: int, kernel: int, stride: int = 1
) -> Tensor:
    """Convolve and normalise; add both layers to ``made``."""
    convolution = keras.layers.Conv2D(
        filters, kernel, strides=stride, padding="same", use_bias=False
    )
    norm = keras.layers.BatchNormalization(momentum=0.9)
    made += [convolution, norm]
    return norm(convolution(x))

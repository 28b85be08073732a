"""Small nets that were published for single grey faces, and the face branch of one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras
from keras import ops

from emorec_tf.config.fields import check
from emorec_tf.models.layers import ByClip, Tensor, Tokens
from emorec_tf.models.pretrained import keras_files

GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601
DEEPFACE_PIXELS = 48
DEEPFACE_UNITS = 1024
XCEPTION_PIXELS = 64
XCEPTION_FILTERS = (16, 32, 64, 128)
XCEPTION_CLASSES = 7  # FER-2013's


@dataclass(frozen=True)
class Net:
    """Output of a net for each image, and its layers with weights in the order of its file."""

    values: Tensor  # [N, E]
    layers: Sequence[keras.layers.Layer]
    file: str


def mini_xception(
    inputs: Mapping[str, Tensor], *, weights: str = "none", frozen: bool = False
) -> Tokens:
    """Mini-Xception on every face crop; its published weights classify seven emotions.

    Shapes:
        faces uint8 [B, F, H, W, C], face_mask [B, F] -> [B, F, 135]: means of the 128 last maps,
        and the scores of FER-2013's angry, disgust, fear, happy, sad, surprise, neutral

    Args:
        inputs: as every face branch takes them.
        weights: "none" or the path of the Keras HDF5 file.
        frozen: do not train these weights.
    Source:
        Arriaga, Valdenegro-Toro, Plöger 2017, Real-time convolutional neural networks for emotion
        and gender classification, arXiv 1710.07557.
    """
    faces, mask = inputs["faces"], inputs["face_mask"]
    net = xception_net(grey_images(faces, XCEPTION_PIXELS))
    settle(net, weights, frozen)
    return Tokens(ByClip()(net.values, mask), mask)


def grey_images(faces: Tensor, pixels: int) -> Tensor:
    """Crops of all clips along one axis, grey and resized.

    Shapes:
        uint8 [B, F, H, W, C] -> float32 [B F, pixels, pixels, 1], 0 to 1
    """
    height, width, channels = faces.shape[2:]
    x = ops.cast(ops.reshape(faces, (-1, height, width, channels)), "float32") / 255.0
    if channels == 3:
        x = ops.sum(x * ops.array(GREY, "float32"), axis=-1, keepdims=True)
    if (height, width) != (pixels, pixels):
        x = keras.layers.Resizing(pixels, pixels, dtype="float32")(x)
    return x


def settle(net: Net, weights: str, frozen: bool) -> None:
    """Load a net's weights if a file is named, and freeze them if asked.

    Raises:
        UserError: nothing to freeze, or the file is of another net.
    """
    check(not frozen or weights != "none", "frozen", frozen, "False where weights is 'none'")
    if weights != "none":
        keras_files.load_layers(net.layers, weights, net.file)
    for layer in net.layers:
        layer.trainable = not frozen


def xception_net(images: Tensor) -> Net:
    """Two convolutions, four separable blocks with shortcuts, a convolution to seven scores.

    Shapes:
        [N, 64, 64, 1], 0 to 1 -> values [N, 135]
    """
    made: list[keras.layers.Layer] = []
    x = 2.0 * images - 1.0
    for _ in range(2):
        x = _normed(made, keras.layers.Conv2D(8, 3, use_bias=False), x)
        x = keras.layers.ReLU()(x)
    for filters in XCEPTION_FILTERS:
        x = _separable_block(made, filters, x)
    classify = keras.layers.Conv2D(XCEPTION_CLASSES, 3, padding="same")
    scores = classify(x)
    mean = keras.layers.GlobalAveragePooling2D
    values = ops.concatenate([mean()(x), mean()(scores)], axis=-1)
    return Net(values, [*made, classify], "mini-Xception, e.g. fer2013_mini_XCEPTION.102-0.66.hdf5")


def _separable_block(made: list[keras.layers.Layer], filters: int, x: Tensor) -> Tensor:
    """Two separable convolutions and a pooling beside a strided 1 x 1 convolution."""
    inner = x
    for last in (False, True):
        separable = keras.layers.SeparableConv2D(filters, 3, padding="same", use_bias=False)
        inner = _normed(made, separable, inner)
        inner = inner if last else keras.layers.ReLU()(inner)
    inner = keras.layers.MaxPooling2D(3, 2, padding="same")(inner)
    # Every second pixel, then the convolution: a strided one of 1 x 1 is the same, but its gradient
    # overruns memory on a CPU (TensorFlow 2.16 with oneDNN).
    shortcut = keras.layers.Conv2D(filters, 1, use_bias=False)
    return inner + _normed(made, shortcut, x[:, ::2, ::2])


def _normed(made: list[keras.layers.Layer], convolution: keras.layers.Layer, x: Tensor) -> Tensor:
    """Convolve and normalise; add both layers to ``made``."""
    norm = keras.layers.BatchNormalization(momentum=0.9)
    made += [convolution, norm]
    return norm(convolution(x))


def deepface_net(
    images: Tensor, width: float = 1.0, dropout: float = 0.2, batch_norm: bool = False
) -> Net:
    """The expression net of the DeepFace package, up to its second fully connected layer.

    Shapes:
        [N, 48, 48, 1], 0 to 1 -> values [N, 1024 width]
    """
    made: list[keras.layers.Layer] = []

    def convolved(x: Tensor, filters: int, kernel: int) -> Tensor:
        made.append(keras.layers.Conv2D(max(1, round(filters * width)), kernel))
        return relu(made[-1](x))

    def relu(x: Tensor) -> Tensor:
        x = keras.layers.BatchNormalization(momentum=0.9)(x) if batch_norm else x
        return keras.layers.ReLU()(x)

    x = keras.layers.MaxPooling2D(5, 2)(convolved(images, 64, 5))
    for filters in (64, 128):
        x = convolved(convolved(x, filters, 3), filters, 3)
        x = keras.layers.AveragePooling2D(3, 2)(x)
    x = keras.layers.Flatten()(x)
    for dropped in (dropout, 0.0):
        made.append(keras.layers.Dense(max(1, round(DEEPFACE_UNITS * width))))
        x = relu(made[-1](x))
        x = keras.layers.Dropout(dropped)(x) if dropped else x
    return Net(x, made, "DeepFace's emotion net, facial_expression_model_weights.h5")

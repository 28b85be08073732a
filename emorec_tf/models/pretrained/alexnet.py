"""Torchvision's AlexNet weights in Keras' order of axes."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from emorec_tf.errors import UserError
from emorec_tf.models.pretrained.torch_files import state_dict
from emorec_tf.storage.downloads import model_path

IMAGENET = (
    "alexnet-owt-7be5be79.pth",
    "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    "7be5be79",  # the published part of the sha256, which is in the file name
)
# torchvision's names of the five convolutions and the two layers before the classifier
CONVOLUTIONS = ("features.0", "features.3", "features.6", "features.8", "features.10")
DENSE = ("classifier.1", "classifier.4")


def load(
    weights: str, convolutions: Sequence[keras.layers.Layer], dense: Sequence[keras.layers.Layer]
) -> None:
    """Give built layers the published weights.

    Args:
        weights: "imagenet", downloaded once, or the path of a state dict with the same names.
        convolutions: five.
        dense: two; the first after a flattening of [H, W, C].

    Raises:
        UserError: no such file, it cannot be downloaded or read, or its shapes are of another net.
    """
    path = model_path(None if weights == "imagenet" else weights, IMAGENET, "alexnet(weights=...)")
    tensors = state_dict(path)
    for name, layer in zip((*CONVOLUTIONS, *DENSE), (*convolutions, *dense), strict=True):
        found = [tensors.get(f"{name}.{part}") for part in ("weight", "bias")]
        if any(tensor is None for tensor in found):
            raise UserError(f"{path}: has no {name}; give a state dict of torchvision's alexnet")
        kernel, bias = (np.asarray(tensor, np.float32) for tensor in found)
        wanted = tuple(layer.kernel.shape)
        if kernel.ndim == 4:
            kernel = kernel.transpose(2, 3, 1, 0)  # out, in, row, column -> row, column, in, out
        elif name == DENSE[0] and kernel.shape == wanted[::-1]:
            kernel = rows_first(kernel, convolutions[-1].filters)
        else:
            kernel = kernel.T
        if (kernel.shape, bias.shape) != (wanted, wanted[-1:]):
            raise UserError(
                f"{path}: {name} is {tensors[f'{name}.weight'].shape}, which is not "
                f"torchvision's alexnet; give its state dict"
            )
        layer.set_weights([kernel, bias])


def rows_first(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Order the first dense layer's inputs as [H, W, C], where torch flattens [C, H, W].

    Shapes:
        [units, C H W] -> [H W C, units]
    """
    units, size = kernel.shape
    side = round((size // channels) ** 0.5)
    return kernel.reshape(units, channels, side, side).transpose(2, 3, 1, 0).reshape(size, units)

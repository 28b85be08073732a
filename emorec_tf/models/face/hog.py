"""A face branch of oriented gradients, with mesh parts where the records hold them."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from emorec_tf.config.fields import check
from emorec_tf.models.face.mesh_geometry import by_part, mesh_of, upright
from emorec_tf.models.layers import (
    ByClip,
    Tensor,
    Tokens,
    mean_and_deviation,
    present,
    standardised_by_training,
)

GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601
LARGEST_SHARE = 0.2  # Dalal and Triggs: of one value in a block's energy, then normalised again


def face_hog(
    inputs: Mapping[str, Tensor],
    *,
    cells: int = 8,
    orientations: int = 8,
    block: int = 1,
    mesh: bool = True,
    units: int = 64,
    dropout: float = 0.5,
    pool: str = "none",
) -> Tokens:
    """Histograms of oriented gradients, with mesh parts in their own coordinates.

    Gradients capture wrinkles and teeth, which no mesh point marks; they need crops with the eyes
    at a fixed place (--face_align, the default). Without mesh points in the records, crops alone
    are used.

    Shapes:
        faces uint8 [B, F, H, W, C], face_mask [B, F], optionally mesh [B, F, 478, 3]
        and mesh_mask [B, F] -> [B, F or 1, units or 2 units], [B, F or 1]

    Args:
        inputs: as every face branch takes them.
        cells: along each side of the crop; the remainder is cut off at the right and bottom.
        orientations: bins over 180 degrees.
        block: cells along each side of a normalised block; blocks overlap by all but one.
        mesh: use mesh parts, where the records hold them.
        units: of each embedding.
        dropout: before each embedding.
        pool: "none" (one token per frame) or "statistics" (one per clip: mean and deviation over
            its frames, embedded together).
    Source:
        Dalal & Triggs 2005, Histograms of oriented gradients for human detection, CVPR; without
        the Gaussian window.
    """
    check(pool in ("none", "statistics"), "pool", pool, "none or statistics")
    faces, mask = inputs["faces"], inputs["face_mask"]
    side = faces.shape[2]
    check(side >= 2 * cells, "cells", cells, "at most half the side of the crops")
    grey = ops.reshape(grey_of(faces), (-1, side, side))
    described = hog(grey, cells, orientations, block)  # [B F, D]
    views = [(ByClip(dtype="float32")(described, mask), mask)]
    if mesh and "mesh" in inputs:
        points, real = mesh_of(inputs, "face_hog")
        views.append((by_part(upright(points)), real))
    embedded = []
    for values, real in views:
        x = standardised_by_training(values, real)
        if pool == "statistics":
            x = mean_and_deviation(Tokens(x, real))[:, None]
            x = x * ops.cast(present(real), x.dtype)[..., None]
        x = keras.layers.Dropout(dropout)(x)
        embedded.append(keras.layers.Dense(units, activation="relu")(x))
    tokens_mask = present(mask) if pool == "statistics" else mask
    return Tokens(ops.concatenate(embedded, axis=-1), tokens_mask)


def grey_of(faces: Tensor) -> Tensor:
    """Brightness of grey or RGB crops, 0 to 255: uint8 [..., C] -> float32 [...]."""
    values = ops.cast(faces, "float32")
    one = faces.shape[-1] == 1
    return values[..., 0] if one else ops.sum(values * np.array(GREY, "float32"), axis=-1)


def hog(grey: Tensor, cells: int, orientations: int, block: int) -> Tensor:
    """Histograms of oriented gradients: interpolated in place and angle, L2-Hys in each block.

    Shapes:
        square [N, H, H], 0 to 255 -> [N, blocks * blocks * orientations * block * block]
    """
    cell = grey.shape[1] // cells
    votes = oriented(ops.sqrt(grey), orientations)[:, : cell * cells, : cell * cells]
    kernel = np.einsum("ip,jq->ijpq", shares(cell, block), shares(cell, block))
    kernel = kernel.reshape(*kernel.shape[:2], 1, -1).repeat(orientations, axis=2)
    # [N, blocks, blocks, orientations * block * block]
    blocks = ops.depthwise_conv(votes, kernel, strides=cell)
    blocks = scaled(blocks, 0.1 * blocks.shape[-1])
    blocks = scaled(ops.minimum(blocks, LARGEST_SHARE), 1e-3)
    return ops.reshape(blocks, (-1, int(np.prod(blocks.shape[1:]))))


def hog_around(grey: Tensor, cells: int, orientations: int, around: int) -> Tensor:
    """Square roots of each cell's histogram, divided by the strength of the cells around it.

    This keeps what normalisation by blocks removes: how strong a cell is beside its neighbours.

    Shapes:
        square [N, H, H], 0 to 255 -> [N, cells, cells, orientations]
    """
    cell = grey.shape[1] // cells
    edge = cell // 2  # votes reach the neighbouring cells
    votes = oriented(ops.sqrt(grey), orientations)[:, : cell * cells, : cell * cells]
    votes = ops.pad(votes, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
    places = (np.arange(cell + 2 * edge) - edge + 0.5) / cell - 0.5
    share = np.maximum(1 - np.abs(places), 0).astype("float32")
    kernel = np.outer(share, share)[:, :, None, None].repeat(orientations, axis=2)
    histograms = ops.depthwise_conv(votes, kernel, strides=cell)
    energy = ops.sum(histograms, axis=-1, keepdims=True)
    near = ops.average_pool(energy, around, strides=1, padding="same")
    return ops.sqrt(histograms) / (ops.sqrt(near) + 1.0)


def mirrored(histograms: Tensor) -> Tensor:
    """Mean of a face's left half and its mirrored right half; the middle belongs to the left.

    Shapes:
        [N, R, C, orientations] -> [N, R, (C + 1) // 2, orientations]
    """
    both = (histograms + ops.flip(histograms, axis=(2, 3))) / 2  # the bins are mirrored as well
    return both[:, :, : (histograms.shape[2] + 1) // 2]


def oriented(grey: Tensor, orientations: int) -> Tensor:
    """Gradient magnitudes, interpolated between the two nearest orientations.

    Shapes:
        [N, H, W] -> [N, H, W, orientations]; bin k is centred on (k + 1/2) / orientations of 180
        degrees
    """
    across = ops.pad(grey[:, :, 2:] - grey[:, :, :-2], ((0, 0), (0, 0), (1, 1)))
    down = ops.pad(grey[:, 2:] - grey[:, :-2], ((0, 0), (1, 1), (0, 0)))
    place = ops.arctan2(down, across) * (orientations / np.pi) - 0.5  # in bins
    bins = np.arange(orientations, dtype="float32")
    apart = ops.mod(place[..., None] - bins + orientations / 2, orientations) - orientations / 2
    size = ops.sqrt(ops.square(across) + ops.square(down))
    return ops.relu(1.0 - ops.abs(apart)) * size[..., None]


def shares(cell: int, block: int) -> np.ndarray:
    """Share of a pixel's vote for each cell of its block, by distance, along one side.

    Shapes:
        -> float32 [cell * block pixels, block]
    """
    places = (np.arange(cell * block) + 0.5) / cell - 0.5
    return np.maximum(1 - np.abs(places[:, None] - np.arange(block)), 0).astype("float32")


def scaled(blocks: Tensor, floor: float) -> Tensor:
    """Divide by the block's length plus a little: [N, R, C, E] -> [N, R, C, E]."""
    energy = ops.sum(ops.square(blocks), axis=-1, keepdims=True)
    return blocks / (ops.sqrt(energy) + floor)

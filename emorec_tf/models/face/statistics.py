"""A face branch without weights: statistics of gradients and of the mesh's parts over the clip."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from keras import ops

from emorec_tf.config.fields import check
from emorec_tf.models.face.hog import grey_of, hog, hog_around, mirrored
from emorec_tf.models.face.mesh_geometry import by_part, mesh_of, upright
from emorec_tf.models.layers import ByClip, Tensor, Tokens, fixed_pictures, mean_of, present
from emorec_tf.models.pooling import stretches

FAR = 1e4  # beyond any value: takes what is not there out of a maximum


def face_statistics(
    inputs: Mapping[str, Tensor],
    *,
    cells: int = 8,
    orientations: int = 8,
    around: int = 0,
    halves: bool = False,
    mesh: bool = True,
    parts: int = 3,
) -> Tokens:
    """Mean, spread, course and speed of gradients and of lips, eyes and brows; nothing to train.

    Meant for a classical head: ``classifier: lda()``. It needs crops with the eyes at one place
    (--face_align, the default); without mesh points in the records it uses crops alone.

    Shapes:
        faces uint8 [B, F, H, W, C], face_mask [B, F], if there mesh [B, F, 478, 3] and
        mesh_mask [B, F] -> [B, 1, E], [B, 1]

    Args:
        inputs: as every face branch takes them.
        cells: along each side of the crop.
        orientations: bins over half a turn.
        around: cells along each side of what a cell is measured by; 0: each by itself alone.
        halves: describe the face by the mean of one half and the other's mirror image, which is to
            train on mirrored copies and to answer by the mean over both, at half the features.
        mesh: use the mesh's parts, where the records hold them.
        parts: stretches of as many pictures, in which the course of the clip is kept.
    Source:
        Dalal & Triggs 2005, Histograms of oriented gradients for human detection, CVPR; statistics
        over the pictures in the manner of functionals of speech.
    """
    check(parts >= 1, "parts", parts, "at least 1")
    faces, mask = inputs["faces"], ops.cast(inputs["face_mask"], "float32")
    fixed_pictures(faces, "face_statistics")
    side = faces.shape[2]
    check(side >= 2 * cells, "cells", cells, "at most half the side of the crops")
    check(around >= 0, "around", around, "at least 0")
    grey = ops.reshape(grey_of(faces), (-1, side, side))
    described = gradients(grey, cells, orientations, around, halves)
    found = statistics(ByClip(dtype="float32")(described, mask), mask, parts)
    if mesh and "mesh" in inputs:
        points, real = mesh_of(inputs, "face_statistics")
        real = ops.cast(real, "float32")
        shapes = by_part(upright(points))
        found += [*statistics(shapes, real, parts), *extremes(shapes, real)]
    there = present(mask)
    return Tokens((ops.concatenate(found, axis=-1) * there)[:, None], there)


def gradients(grey: Tensor, cells: int, orientations: int, around: int, halves: bool) -> Tensor:
    """Histograms of each picture's cells, one after the other: [N, H, H] -> [N, E]."""
    if around:
        described = hog_around(grey, cells, orientations, around)
    else:
        described = ops.reshape(hog(grey, cells, orientations, 1), (-1, cells, cells, orientations))
    if halves:
        described = mirrored(described)
    return ops.reshape(described, (-1, int(np.prod(described.shape[1:]))))


def statistics(values: Tensor, mask: Tensor, parts: int) -> list[Tensor]:
    """Mean, deviation, mean of each stretch and mean size of the change, over real pictures.

    Shapes:
        [B, F, E], mask [B, F] -> (3 + parts) of [B, E]
    """
    values = values * mask[..., None]
    mean = mean_of(Tokens(values, mask))
    away = (values - mean[:, None]) * mask[..., None]
    deviation = ops.sqrt(mean_of(Tokens(ops.square(away), mask)) + 1e-8)
    course = []
    for share in stretches(mask, parts):
        filled = present(share)  # an empty stretch is as the clip is in the mean
        course.append(filled * mean_of(Tokens(values, share)) + (1 - filled) * mean)
    both = mask[:, 1:] * mask[:, :-1]
    speed = mean_of(Tokens(ops.abs(values[:, 1:] - values[:, :-1]), both))
    return [mean, deviation, *course, speed]


def extremes(values: Tensor, mask: Tensor) -> list[Tensor]:
    """Largest and smallest over real pictures, zero without any: [B, F, E] -> 2 of [B, E]."""
    real = mask[..., None]
    there = present(mask)
    high = ops.max(values * real - FAR * (1 - real), axis=1)
    low = ops.min(values * real + FAR * (1 - real), axis=1)
    return [high * there, low * there]

"""A face branch without weights: statistics of gradients and of mesh parts over the clip."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from keras import ops

from emorec_tf.config.fields import check
from emorec_tf.models.face.hog import grey_of, hog, hog_around, mirrored
from emorec_tf.models.face.mesh_geometry import by_part, mesh_of, upright
from emorec_tf.models.layers import ByClip, Tensor, Tokens, fixed_frames, mean_of, present
from emorec_tf.models.pooling import segments

FAR = 1e4  # beyond any value: excludes missing frames from a maximum


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

    Meant for a classical head: ``classifier: lda()``. It needs crops with the eyes at a fixed place
    (--face_align, the default). Without mesh points in the records, crops alone are used.

    Shapes:
        faces uint8 [B, F, H, W, C], face_mask [B, F], optionally mesh [B, F, 478, 3]
        and mesh_mask [B, F] -> [B, 1, E], [B, 1]

    Args:
        inputs: as every face branch takes them.
        cells: along each side of the crop.
        orientations: bins over 180 degrees.
        around: cells along each side of the region that normalises a cell; 0: the cell alone.
        halves: describe the face by the mean of one half and the mirrored other half. It has the
            effect of training on mirrored copies and averaging over both, at half the features.
        mesh: use mesh parts, where the records hold them.
        parts: number of segments of equal length that describe the course of the clip.
    Source:
        Dalal & Triggs 2005, Histograms of oriented gradients for human detection, CVPR; statistics
        over the frames in the manner of functionals of speech.
    """
    check(parts >= 1, "parts", parts, "at least 1")
    faces, mask = inputs["faces"], ops.cast(inputs["face_mask"], "float32")
    fixed_frames(faces, "face_statistics")
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
    any_face = present(mask)
    return Tokens((ops.concatenate(found, axis=-1) * any_face)[:, None], any_face)


def gradients(grey: Tensor, cells: int, orientations: int, around: int, halves: bool) -> Tensor:
    """Histograms of each image's cells, one after the other: [N, H, H] -> [N, E]."""
    if around:
        described = hog_around(grey, cells, orientations, around)
    else:
        described = ops.reshape(hog(grey, cells, orientations, 1), (-1, cells, cells, orientations))
    if halves:
        described = mirrored(described)
    return ops.reshape(described, (-1, int(np.prod(described.shape[1:]))))


def statistics(values: Tensor, mask: Tensor, parts: int) -> list[Tensor]:
    """Mean, deviation, mean of each segment and mean absolute change, over real frames.

    Shapes:
        [B, F, E], mask [B, F] -> (3 + parts) of [B, E]
    """
    values = values * mask[..., None]
    mean = mean_of(Tokens(values, mask))
    away = (values - mean[:, None]) * mask[..., None]
    deviation = ops.sqrt(mean_of(Tokens(ops.square(away), mask)) + 1e-8)
    course = []
    for share in segments(mask, parts):
        filled = present(share)  # an empty segment gets the mean of the clip
        course.append(filled * mean_of(Tokens(values, share)) + (1 - filled) * mean)
    both = mask[:, 1:] * mask[:, :-1]
    speed = mean_of(Tokens(ops.abs(values[:, 1:] - values[:, :-1]), both))
    return [mean, deviation, *course, speed]


def extremes(values: Tensor, mask: Tensor) -> list[Tensor]:
    """Largest and smallest over real frames, zero without any: [B, F, E] -> 2 of [B, E]."""
    real = mask[..., None]
    any_face = present(mask)
    high = ops.max(values * real - FAR * (1 - real), axis=1)
    low = ops.min(values * real + FAR * (1 - real), axis=1)
    return [high * any_face, low * any_face]

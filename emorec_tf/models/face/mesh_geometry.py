"""Mesh points without the position, size and tilt of the face; ``keras.ops`` alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keras import ops

from emorec_tf.errors import UserError
from emorec_tf.features.mesh_points import LEFT_EYE_CORNERS, PARTS, RIGHT_EYE_CORNERS
from emorec_tf.models.layers import Tensor, present

SMALLEST = 1e-3  # pixels: shorter distances are those of a missing mesh


def mesh_of(inputs: Mapping[str, Tensor], branch: str) -> tuple[Tensor, Tensor]:
    """Points and their mask; none in a clip whose face is hidden, as by modality dropout.

    Shapes:
        mesh [B, F, 478, 3], mesh_mask [B, F], face_mask [B, F] -> [B, F, 478, 3], [B, F]

    Raises:
        UserError: the records hold no mesh.
    """
    if "mesh" not in inputs:
        raise UserError(f"face branch {branch} needs mesh points; prepare with --face_mesh")
    return inputs["mesh"], inputs["mesh_mask"] * present(inputs["face_mask"])


def points(mesh: Tensor, which: Sequence[int]) -> Tensor:
    """Take some of the points: [..., P, 3] -> [..., len(which), 3]."""
    return ops.take(mesh, list(which), axis=-2)


def length(vector: Tensor) -> Tensor:
    """Euclidean length over the last axis, never below ``SMALLEST``: [..., 2 or 3] -> [...]."""
    return ops.sqrt(ops.maximum(ops.sum(ops.square(vector), axis=-1), SMALLEST**2))


def distance(mesh: Tensor, one: int, other: int) -> Tensor:
    """Distance between two points in the image plane: [..., P, 3] -> [...]."""
    return length(mesh[..., one, :2] - mesh[..., other, :2])


def upright(mesh: Tensor) -> Tensor:
    """Move the midpoint of the eyes to zero, the eyes level and one unit apart.

    Shapes:
        [..., P, 3] in pixels -> [..., P, 3] in distances between the eyes
    """
    left = ops.mean(points(mesh, LEFT_EYE_CORNERS), axis=-2, keepdims=True)
    right = ops.mean(points(mesh, RIGHT_EYE_CORNERS), axis=-2, keepdims=True)
    across = (right - left)[..., :2]  # [..., 1, 2]
    scale = length(across)
    cosine, sine = across[..., 0] / scale, across[..., 1] / scale  # [..., 1]
    x, y, z = (((mesh - (left + right) / 2) / scale[..., None])[..., axis] for axis in range(3))
    return ops.stack([cosine * x + sine * y, cosine * y - sine * x, z], axis=-1)


def by_part(mesh: Tensor) -> Tensor:
    """Lips, eyes and brows, each centred and of size one, then the logarithms of the sizes.

    Shapes:
        upright [..., 478, 3] -> [..., 281]
    """
    shapes, sizes = [], []
    for which in PARTS.values():
        part = points(mesh, which)
        part = part - ops.mean(part, axis=-2, keepdims=True)
        size = ops.sqrt(ops.mean(ops.square(part), axis=(-2, -1)) * 3 + 1e-8)  # [...]
        shapes.append(flat(part / size[..., None, None]))
        sizes.append(ops.log(size))
    return ops.concatenate([*shapes, ops.stack(sizes, axis=-1)], axis=-1)


def flat(mesh: Tensor) -> Tensor:
    """All x, then all y, then all z: [..., P, 3] -> [..., 3 P]."""
    return ops.concatenate([mesh[..., axis] for axis in range(3)], axis=-1)

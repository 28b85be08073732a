"""A face branch of six distances: brows to eyes, nose to lips, the mouth's width and height."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
from keras import ops

from emorec_tf.features.mesh_points import DLIB_68
from emorec_tf.models.face.mesh_geometry import distance, mesh_of, points
from emorec_tf.models.layers import (
    Tensor,
    Tokens,
    fixed_frames,
    present,
    standardised_by_training,
)

FEATURES = 6

# Measured from -> to these, in units of that distance; all by their places among dlib's 68.
SUMS = (
    (39, (18, 19, 20, 21), (21, 39)),  # left brow above the eye's inner corner
    (42, (22, 23, 24, 25), (22, 42)),  # right brow
    (33, (48, 49, 50), (33, 51)),  # left half of the upper lip below the nose
    (33, (52, 53, 54), (33, 51)),  # right half
)
MOUTH = ((48, 54), (51, 57))  # width, height
EYES = (36, 45)  # the mouth's unit: from outer corner to outer corner


def landmark_distances(
    inputs: Mapping[str, Tensor], *, units: int = 128, layers: int = 2, dropout: float = 0.5
) -> Tokens:
    """Six distances in each face, those of all frames joined, then dense layers.

    Needs records with --face_mesh. The original system divided by a point of the lip that moves
    with expression and measured the mouth in pixels; here the middle of the lip and the distance
    between the outer eye corners are used instead.

    Shapes:
        mesh [B, F, 478, 3], mesh_mask [B, F] -> [B, 1, units], [B, 1]

    Args:
        inputs: as every face branch takes them.
        units: of each dense layer.
        layers: dense layers.
        dropout: after each dense layer.
    Source:
        The landmark system that this zoo implements; Kazemi & Sullivan 2014, One millisecond face
        alignment with an ensemble of regression trees, for the 68 points.
    """
    mesh, mask = mesh_of(inputs, "landmark_distances")
    count = fixed_frames(mesh, "landmark_distances")
    x = standardised_by_training(six_distances(points(mesh, DLIB_68)), mask)
    x = ops.reshape(x, (-1, count * FEATURES))
    for _ in range(layers):
        x = keras.layers.Dense(units, activation="relu")(x)
        x = keras.layers.Dropout(dropout)(x)
    return Tokens(x[:, None], present(mask))


def six_distances(landmarks: Tensor) -> Tensor:
    """Brows, halves of the upper lip, width and height of the mouth; independent of face size.

    Shapes:
        [..., 68, 3] -> [..., 6]; finite also where points coincide
    """
    found = [
        total(landmarks, centre, ends) / distance(landmarks, *unit) for centre, ends, unit in SUMS
    ]
    eyes = distance(landmarks, *EYES)
    found += [distance(landmarks, *ends) / eyes for ends in MOUTH]
    return ops.stack(found, axis=-1)


def total(landmarks: Tensor, centre: int, ends: Sequence[int]) -> Tensor:
    """Sum of the distances from one point to several: [..., 68, 3] -> [...]."""
    return sum(distance(landmarks, centre, end) for end in ends)

"""A face branch of all mesh points: shape, motion and parts, free of position, size and tilt."""

from __future__ import annotations

from collections.abc import Mapping

import keras
from keras import ops

from emorec_tf.config.fields import check
from emorec_tf.features.mesh_points import PARTS
from emorec_tf.models.face.mesh_geometry import by_part, flat, mesh_of, points, upright
from emorec_tf.models.layers import Tensor, Tokens, mean_of, standardised_by_training


def face_mesh(
    inputs: Mapping[str, Tensor],
    *,
    units: int = 128,
    dropout: float = 0.3,
    subset: str = "all",
    deltas: bool = True,
    local: bool = True,
    context: int = 3,
) -> Tokens:
    """Upright mesh points, their motion, and each part in its own coordinates.

    Needs records with --face_mesh. The clip's mean, which reflects identity more than expression,
    is subtracted from the motion; parts normalised in size vary little between people.

    Shapes:
        mesh [B, F, 478, 3], mesh_mask [B, F] -> [B, F, units], [B, F]

    Args:
        inputs: as every face branch takes them.
        units: of a frame's embedding.
        dropout: before the embedding and after it.
        subset: "all" points or those of the "parts" (lips, eyes, brows).
        deltas: add the differences from the clip's mean shape.
        local: add lips, eyes and brows, each centred and normalised in size.
        context: frames that a convolution along time covers; 0: no convolution.
    Source:
        Kartynnik et al. 2019, Real-time facial surface geometry from monocular video, for the
        points; part-wise shapes as in Cootes et al. 1995, Active shape models.
    """
    check(subset in ("all", "parts"), "subset", subset, "all or parts")
    mesh, mask = mesh_of(inputs, "face_mesh")
    features = mesh_features(mesh, mask, subset=subset, deltas=deltas, local=local)
    x = keras.layers.Dropout(dropout)(standardised_by_training(features, mask))
    x = keras.layers.Dense(units, activation="relu")(x)
    x = keras.layers.Dropout(dropout)(x)
    if context:
        real = ops.cast(mask, x.dtype)[..., None]
        x = x + keras.layers.Conv1D(units, context, padding="same", activation="relu")(x * real)
    return Tokens(x, mask)


def mesh_features(mesh: Tensor, mask: Tensor, *, subset: str, deltas: bool, local: bool) -> Tensor:
    """All features asked for, one vector per frame.

    Shapes:
        mesh in pixels [B, F, 478, 3], mask [B, F] -> [B, F, E]
    """
    face = upright(mesh)
    chosen = [point for part in PARTS.values() for point in part]
    shape = flat(face if subset == "all" else points(face, chosen))
    found = [shape]
    if deltas:
        found.append(shape - mean_of(Tokens(shape, mask))[:, None])
    if local:
        found.append(by_part(face))
    return ops.concatenate(found, axis=-1)

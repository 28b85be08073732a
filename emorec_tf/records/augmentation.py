"""What training does to a batch: fewer pictures, voices moved and masked, faces moved and lit.

Mesh points move with the pictures of their clip, by the same draw.

Shapes stay as they were. Every draw is made from a seed and the clip's place in the batch alone, so
that a resumed run repeats it to the last bit, and machines that share a batch draw as one would.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from emorec_tf.config import choices
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.config.schema import PICTURE_ARRAYS
from emorec_tf.features.mesh_points import MIRRORED
from emorec_tf.records import corruptions
from emorec_tf.records.parsing import Batch
from emorec_tf.records.voice_perturbation import COLOUR_DB, COLOURS, GAIN_DB, NOISE_DB, SLOPE

# Faces: at most 11 degrees, an eighth of the size, and a share of the side.
TURN, ZOOM, SHIFT = 0.2, 0.12, 0.07
JITTER = 0.003  # deviation of mesh points, as a share of the face's width


@dataclass(frozen=True)
class Rows:
    """Rows of a batch that are here: so many from the first on; the whole batch is drawn for."""

    whole: int | tf.Tensor
    first: int | tf.Tensor = 0
    count: int | None = None  # None: to the end

    def own(self, drawn: tf.Tensor) -> tf.Tensor:
        """Leave the rows of others out."""
        return drawn[self.first :][: self.count]

    def uniform(
        self, shape: Sequence[int], seed: tf.Tensor, low: float = 0.0, high: float = 1.0
    ) -> tf.Tensor:
        """Draw ``shape`` for each row here, evenly from low to high."""
        return self.own(tf.random.stateless_uniform([self.whole, *shape], seed, low, high))


def rows_of(batch: tf.Tensor) -> Rows:
    """All rows of this batch."""
    return Rows(tf.shape(batch)[0])


def some_frames(inputs: Batch, count: int, seed: tf.Tensor, rows: Rows | None = None) -> Batch:
    """Draw ``count`` pictures of each clip, in order, those with a face before those without.

    Shapes:
        arrays of pictures [B, F, ...] -> [B, count, ...]; others stay
    """
    mask = inputs["face_mask"]
    if count >= mask.shape[1]:
        return inputs
    draws = (rows or rows_of(mask)).uniform(mask.shape[1:], seed) + mask
    chosen = tf.sort(tf.math.top_k(draws, count).indices, axis=1)
    drawn = {n: tf.gather(inputs[n], chosen, batch_dims=1) for n in PICTURE_ARRAYS if n in inputs}
    return {**inputs, **drawn}


def augmented(
    inputs: Batch,
    mean: np.ndarray,
    seed: tf.Tensor,
    kind: str = "log_mel",
    uses: Collection[str] = ("audio", "face"),
    rows: Rows | None = None,
) -> Batch:
    """Vary a training batch: voice in time, pitch, loudness and holes; faces in place and light.

    What the model does not use (``uses``) stays as it is, as varying it takes longer than training.
    """
    rows = rows or rows_of(inputs["audio"])
    seeds = tf.random.split(seed, 3)
    inputs = dict(inputs)
    if "audio" in uses:
        voice = inputs["audio"], inputs["audio_mask"]
        inputs.update(varied_voice(*voice, mean, seeds[0], kind, rows))
    if "face" in uses and inputs["faces"].shape[1]:
        inputs["faces"] = varied_faces(inputs["faces"], seeds[1], rows)
        shown = fewer_faces(inputs["face_mask"], seeds[2], rows)
        if "mesh" in inputs:
            inputs["mesh"] = varied_mesh(inputs["mesh"], inputs["mesh_mask"], seeds[1], rows)
            hidden = inputs["face_mask"] - shown
            inputs["mesh_mask"] = inputs["mesh_mask"] * (1.0 - hidden)
            inputs["mesh"] = inputs["mesh"] * inputs["mesh_mask"][..., None, None]
        inputs["face_mask"] = shown
    return inputs


def varied_voice(
    audio: tf.Tensor,
    mask: tf.Tensor,
    mean: np.ndarray,
    seed: tf.Tensor,
    kind: str = "log_mel",
    rows: Rows | None = None,
) -> dict[str, tf.Tensor]:
    """Stretch and shift in time, warp the bands, change loudness, then SpecAugment.

    Cepstral coefficients (``kind`` mfcc) are no frequencies: they are not warped or made louder.

    Shapes:
        audio [B, T, M], mask [B, T] -> the same
    Source:
        Park et al. 2019, SpecAugment; Jaitly & Hinton 2013 for the warp of the bands.
    """
    batch, frames, bands = tf.shape(audio)[0], audio.shape[1], audio.shape[2]
    rows = rows or rows_of(audio)
    draws = tf.unstack(rows.uniform([5], seed, -1.0, 1.0), axis=1)
    stretch, shift = 1.0 + 0.15 * draws[0], 0.10 * frames * draws[1]
    facts = choices.facts("audio_features", kind)
    bend = 1.0 if facts.spectral else 0.0
    warp, lift = 1.0 + 0.08 * bend * draws[2], 0.03 * bands * bend * draws[3]
    level = (audio - mean) * mask[..., None]  # padding is the mean, as in the model
    moved = stretched(level[..., None], warp, lift, stretch, shift)[..., 0]
    real = stretched(mask[..., None, None], tf.ones(batch), tf.zeros(batch), stretch, shift)
    real = tf.cast(real[:, :, 0, 0] > 0.5, tf.float32)
    moved = moved + (facts.loudness_step * draws[4])[:, None, None]

    silent = spans(frames, max(2, frames // 10), seed + 1, rows)[:, :, None]
    deaf = spans(bands, max(2, bands // 6), seed + 2, rows)[:, None, :]
    moved = tf.where(silent | deaf, 0.0, moved)
    return {"audio": (moved + mean) * real[..., None], "audio_mask": real}


def other_microphone(
    audio: tf.Tensor,
    mask: tf.Tensor,
    features: FeaturesConfig,
    seed: tf.Tensor,
    rows: Rows | None = None,
) -> tf.Tensor:
    """Hear half of the voices by other microphones: of another level and colour, half in noise.

    Shapes:
        audio [B, T, width], mask [B, T] -> [B, T, width]
    Source:
        As ``augmented_copies``, drawn anew in every step.
    """
    rows = rows or rows_of(audio)
    to_power, from_power = corruptions.powers_of(features, tf.math)
    power = to_power(audio) * mask[..., None]
    frames, bands = power.shape[1:]
    draws = tf.unstack(rows.uniform([5], seed, -1.0, 1.0), axis=1)
    waves = np.cos(np.outer(np.arange(1, COLOURS + 1), np.linspace(0, np.pi, bands)))
    heights = rows.own(tf.random.stateless_normal([rows.whole, COLOURS], seed + 1))
    colour = (heights * COLOUR_DB / np.arange(1, COLOURS + 1)) @ waves.astype("float32")
    power *= tf.pow(10.0, (GAIN_DB * draws[0][:, None] + colour) / 10)[:, None]
    count = tf.maximum(tf.reduce_sum(mask, axis=1), 1.0) * bands
    level = tf.reduce_sum(power, axis=[1, 2]) / count
    decibels = (NOISE_DB[0] + NOISE_DB[1] + (NOISE_DB[1] - NOISE_DB[0]) * draws[1]) / 2
    level *= tf.pow(10.0, -decibels / 10) * tf.cast(draws[2] > 0, tf.float32)
    slope = tf.exp(SLOPE * draws[3][:, None] * tf.linspace(-1.0, 1.0, bands))
    slope *= level[:, None] / tf.reduce_mean(slope, axis=1, keepdims=True)
    drawn = -tf.math.log(rows.uniform([frames, bands], seed + 2, 1e-7, 1.0))  # exponential
    heard = tf.cast(from_power(power + slope[:, None] * drawn), audio.dtype) * mask[..., None]
    return tf.where(draws[4][:, None, None] > 0, heard, audio)


def spans(size: int, most: int, seed: tf.Tensor, rows: Rows, count: int = 2) -> tf.Tensor:
    """Draw ``count`` spans a clip, narrower than ``most``, anywhere: true inside, [B, size]."""
    draws = rows.uniform([count, 2], seed)
    widths = tf.floor(draws[..., 0] * most)
    starts = tf.floor(draws[..., 1] * (size - widths))
    places = tf.range(size, dtype=tf.float32)
    inside = (places >= starts[..., None]) & (places < (starts + widths)[..., None])
    return tf.reduce_any(inside, axis=1)


def stretched(
    pictures: tf.Tensor,
    x_scale: tf.Tensor,
    x_shift: tf.Tensor,
    y_scale: tf.Tensor,
    y_shift: tf.Tensor,
) -> tf.Tensor:
    """Scale and shift along both axes; what comes in from outside is zero.

    Shapes:
        float32 [N, H, W, C] and four of [N], shifts in pixels -> float32 [N, H, W, C]
    """
    zero = tf.zeros_like(x_scale)
    maps = tf.stack([x_scale, zero, x_shift, zero, y_scale, y_shift, zero, zero], axis=1)
    return moved_by(pictures, maps, "CONSTANT")


def moved_by(pictures: tf.Tensor, maps: tf.Tensor, fill_mode: str) -> tf.Tensor:
    """Apply affine maps [N, 8] (from output to input pixels) to [N, H, W, C]."""
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=pictures,
        transforms=maps,
        output_shape=pictures.shape[1:3],
        interpolation="BILINEAR",
        fill_mode=fill_mode,
        fill_value=0.0,
    )


def varied_faces(faces: tf.Tensor, seed: tf.Tensor, rows: Rows | None = None) -> tf.Tensor:
    """Mirror, turn, move, zoom, light: one draw for all pictures of a clip.

    Shapes:
        uint8 [B, F, H, W, C] -> uint8 [B, F, H, W, C]
    """
    batch, (count, height, width, channels) = tf.shape(faces)[0], faces.shape[1:]
    drawn = face_draws(rows or rows_of(faces), seed)
    draws = tf.unstack(tf.repeat(drawn, count, axis=1))  # [B F] each
    flat = tf.reshape(tf.cast(faces, tf.float32), [-1, height, width, channels])
    moved = moved_by(flat, placements(draws[:5], width), "NEAREST")
    gamma, across, down = (d[:, None, None, None] for d in draws[5:8])
    lit = 255.0 * tf.pow(moved / 255.0, tf.pow(1.6, gamma))
    slope = tf.linspace(-1.0, 1.0, width)
    ramp = across * slope[None, None, :, None] + down * slope[None, :, None, None]
    lit = lit * (1.0 + 0.25 * ramp)  # light from one side
    empty = tf.reduce_all(flat == 0, axis=[1, 2, 3], keepdims=True)  # no face stays no face
    lit = tf.where(empty, 0.0, tf.clip_by_value(lit, 0.0, 255.0))
    shape = [batch, count, height, width, channels]
    return tf.cast(tf.reshape(tf.round(lit), shape), tf.uint8)


def face_draws(rows: Rows, seed: tf.Tensor) -> tf.Tensor:
    """Turn, zoom, right, down, mirror, then three of light, each in -1 to 1: [8, B]."""
    return tf.transpose(rows.uniform([8], seed, -1.0, 1.0))


def varied_mesh(
    mesh: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor, rows: Rows | None = None
) -> tf.Tensor:
    """Move points as ``varied_faces`` moves pictures by this seed, about the face; jitter them.

    In a mirror the points of left and right change places too. A clip without points stays zero.

    Shapes:
        mesh [B, F, P, 3] in pixels, mask [B, F] -> [B, F, P, 3]
    """
    rows = rows or rows_of(mesh)
    turn, zoom, right, down, mirror = tf.unstack(face_draws(rows, seed))[:5]
    real = mask[..., None, None]  # [B, F, 1, 1]
    count = tf.maximum(tf.reduce_sum(mask, axis=1), 1.0) * mesh.shape[2]
    middle = tf.reduce_sum(mesh * real, axis=[1, 2]) / count[:, None] * [1.0, 1.0, 0.0]  # [B, 3]
    points = (mesh - middle[:, None, None]) * real
    side = tf.reduce_max(points[..., 0], [1, 2]) - tf.reduce_min(points[..., 0], [1, 2])  # [B]
    swapped = tf.gather(points, MIRRORED, axis=2)
    points = tf.where(mirror[:, None, None, None] > 0, swapped, points)
    # Pictures are read through placements' map, so that points go by its inverse.
    angle, scale = TURN * turn, 1.0 + ZOOM * zoom
    flip = tf.where(mirror > 0, -1.0, 1.0)
    cosine, sine, zero = tf.cos(angle) / scale, tf.sin(angle) / scale, 0.0 * angle
    lines = ([flip * cosine, flip * sine, zero], [-sine, cosine, zero], [zero, zero, 1.0 / scale])
    inverse = tf.stack([tf.stack(line, axis=-1) for line in lines], axis=1)  # [B, 3, 3]
    shift = tf.stack([right, down, zero], axis=-1) * SHIFT * side[:, None]  # [B, 3]
    points = tf.einsum("bij,bfpj->bfpi", inverse, points - shift[:, None, None])
    noise = rows.own(tf.random.stateless_normal([rows.whole, *mesh.shape[1:]], seed + 1)) * JITTER
    return (points + noise * side[:, None, None, None] + middle[:, None, None]) * real


def placements(draws: Sequence[tf.Tensor], side: int) -> tf.Tensor:
    """Affine maps about the middle from draws in -1 to 1.

    Shapes:
        five of [N] (turn, zoom, right, down, mirror) -> [N, 8]
    """
    turn, zoom, right, down, mirror = draws
    angle, scale = TURN * turn, 1.0 + ZOOM * zoom
    flip = tf.where(mirror > 0, -1.0, 1.0)
    cosine, sine = scale * tf.cos(angle), scale * tf.sin(angle)
    a, b, c, d = cosine * flip, -sine, sine * flip, cosine
    middle = (side - 1) / 2
    x = middle - (a + b) * middle + SHIFT * side * right
    y = middle - (c + d) * middle + SHIFT * side * down
    return tf.stack([a, b, x, c, d, y, 0.0 * x, 0.0 * x], axis=1)


def fewer_faces(mask: tf.Tensor, seed: tf.Tensor, rows: Rows, share: float = 0.4) -> tf.Tensor:
    """Hide a share of the pictures, so that no single one is learned by heart; never all of them.

    Shapes:
        [B, F] -> [B, F]
    """
    drawn = mask * tf.cast(rows.uniform(mask.shape[1:], seed) > share, mask.dtype)
    return tf.where(tf.reduce_any(drawn > 0, axis=1, keepdims=True), drawn, mask)

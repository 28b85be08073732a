"""Augmentation of training batches: fewer frames, warped and masked audio, moved and lit faces.

Mesh points move with the frames of their clip, by the same draw.

Shapes stay the same. Every draw depends on a seed and the clip's place in the batch alone, so that
a resumed run repeats it to the last bit, and machines that share a batch draw as one would.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from emorec_tf.config import choices
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.config.schema import FRAME_ARRAYS
from emorec_tf.features.mesh_points import MIRRORED
from emorec_tf.records import corruptions
from emorec_tf.records.parsing import Batch
from emorec_tf.records.voice_perturbation import GAIN_DB, NOISE_DB, SLOPE, TILT_DB, TILT_WAVES

# Faces: at most 11 degrees, an eighth of the size, and a share of the side.
TURN, ZOOM, SHIFT = 0.2, 0.12, 0.07
JITTER = 0.003  # deviation of mesh points, as a share of the face's width


@dataclass(frozen=True)
class Rows:
    """Rows of a batch that are processed here; draws are made for the whole batch."""

    whole: int | tf.Tensor
    first: int | tf.Tensor = 0
    count: int | None = None  # None: to the end

    def own(self, drawn: tf.Tensor) -> tf.Tensor:
        """Keep the rows that are processed here."""
        return drawn[self.first :][: self.count]

    def uniform(
        self, shape: Sequence[int], seed: tf.Tensor, low: float = 0.0, high: float = 1.0
    ) -> tf.Tensor:
        """Draw ``shape`` for each row here, uniformly from low to high."""
        return self.own(tf.random.stateless_uniform([self.whole, *shape], seed, low, high))


def rows_of(batch: tf.Tensor) -> Rows:
    """All rows of this batch."""
    return Rows(tf.shape(batch)[0])


def some_frames(inputs: Batch, count: int, seed: tf.Tensor, rows: Rows | None = None) -> Batch:
    """Draw ``count`` frames of each clip, in order; those with a face before those without.

    Shapes:
        arrays of frames [B, F, ...] -> [B, count, ...]; others stay
    """
    mask = inputs["face_mask"]
    if count >= mask.shape[1]:
        return inputs
    draws = (rows or rows_of(mask)).uniform(mask.shape[1:], seed) + mask
    chosen = tf.sort(tf.math.top_k(draws, count).indices, axis=1)
    drawn = {n: tf.gather(inputs[n], chosen, batch_dims=1) for n in FRAME_ARRAYS if n in inputs}
    return {**inputs, **drawn}


def augmented(
    inputs: Batch,
    mean: np.ndarray,
    seed: tf.Tensor,
    kind: str = "log_mel",
    uses: Collection[str] = ("audio", "face"),
    rows: Rows | None = None,
) -> Batch:
    """Augment a training batch; audio that is the waveform itself stays as it is.

    Args:
        inputs: of the model.
        mean: of each band over the training clips, [M].
        seed: two integers.
        kind: name of the audio features.
        uses: branches that the model uses; arrays of the others stay, which saves time.
        rows: which rows of the whole batch these are; None: all.
    """
    rows = rows or rows_of(inputs["audio"])
    seeds = tf.random.split(seed, 3)
    inputs = dict(inputs)
    if "audio" in uses and not choices.facts("audio_features", kind).samples:
        audio = inputs["audio"], inputs["audio_mask"]
        inputs.update(augmented_audio(*audio, mean, seeds[0], kind, rows))
    if "face" in uses and inputs["faces"].shape[1]:
        inputs["faces"] = augmented_faces(inputs["faces"], seeds[1], rows)
        shown = hidden_frames(inputs["face_mask"], seeds[2], rows)
        if "mesh" in inputs:
            inputs["mesh"] = augmented_mesh(inputs["mesh"], inputs["mesh_mask"], seeds[1], rows)
            hidden = inputs["face_mask"] - shown
            inputs["mesh_mask"] = inputs["mesh_mask"] * (1.0 - hidden)
            inputs["mesh"] = inputs["mesh"] * inputs["mesh_mask"][..., None, None]
        inputs["face_mask"] = shown
    return inputs


def augmented_audio(
    audio: tf.Tensor,
    mask: tf.Tensor,
    mean: np.ndarray,
    seed: tf.Tensor,
    kind: str = "log_mel",
    rows: Rows | None = None,
) -> dict[str, tf.Tensor]:
    """Stretch and shift in time, warp the bands, change loudness, then SpecAugment.

    Bands are warped where the values are frequencies (not cepstral coefficients), and loudness
    changes by the step that the entry of the features gives.

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

    in_time = spans(frames, max(2, frames // 10), seed + 1, rows)[:, :, None]
    in_bands = spans(bands, max(2, bands // 6), seed + 2, rows)[:, None, :]
    moved = tf.where(in_time | in_bands, 0.0, moved)
    return {"audio": (moved + mean) * real[..., None], "audio_mask": real}


def other_channel(
    audio: tf.Tensor,
    mask: tf.Tensor,
    features: FeaturesConfig,
    seed: tf.Tensor,
    rows: Rows | None = None,
) -> tf.Tensor:
    """Change the channel of half of the clips: gain and spectral tilt, half of them with noise.

    Shapes:
        audio [B, T, width], mask [B, T] -> [B, T, width]

    Raises:
        UserError: the entry of these audio features does not say how they become power.
    Source:
        As ``voice_perturbation``, drawn again in every step.
    """
    rows = rows or rows_of(audio)
    to_power, from_power = corruptions.powers_of(features, tf.math)
    power = to_power(audio) * mask[..., None]
    frames, bands = power.shape[1:]
    draws = tf.unstack(rows.uniform([5], seed, -1.0, 1.0), axis=1)
    waves = np.cos(np.outer(np.arange(1, TILT_WAVES + 1), np.linspace(0, np.pi, bands)))
    heights = rows.own(tf.random.stateless_normal([rows.whole, TILT_WAVES], seed + 1))
    tilt = (heights * TILT_DB / np.arange(1, TILT_WAVES + 1)) @ waves.astype("float32")
    power *= tf.pow(10.0, (GAIN_DB * draws[0][:, None] + tilt) / 10)[:, None]
    count = tf.maximum(tf.reduce_sum(mask, axis=1), 1.0) * bands
    level = tf.reduce_sum(power, axis=[1, 2]) / count
    decibels = (NOISE_DB[0] + NOISE_DB[1] + (NOISE_DB[1] - NOISE_DB[0]) * draws[1]) / 2
    level *= tf.pow(10.0, -decibels / 10) * tf.cast(draws[2] > 0, tf.float32)
    slope = tf.exp(SLOPE * draws[3][:, None] * tf.linspace(-1.0, 1.0, bands))
    slope *= level[:, None] / tf.reduce_mean(slope, axis=1, keepdims=True)
    drawn = -tf.math.log(rows.uniform([frames, bands], seed + 2, 1e-7, 1.0))  # exponential
    other = tf.cast(from_power(power + slope[:, None] * drawn), audio.dtype) * mask[..., None]
    return tf.where(draws[4][:, None, None] > 0, other, audio)


def spans(size: int, most: int, seed: tf.Tensor, rows: Rows, count: int = 2) -> tf.Tensor:
    """Draw ``count`` spans for each clip, narrower than ``most``: true inside, [B, size]."""
    draws = rows.uniform([count, 2], seed)
    widths = tf.floor(draws[..., 0] * most)
    starts = tf.floor(draws[..., 1] * (size - widths))
    places = tf.range(size, dtype=tf.float32)
    inside = (places >= starts[..., None]) & (places < (starts + widths)[..., None])
    return tf.reduce_any(inside, axis=1)


def stretched(
    images: tf.Tensor,
    x_scale: tf.Tensor,
    x_shift: tf.Tensor,
    y_scale: tf.Tensor,
    y_shift: tf.Tensor,
) -> tf.Tensor:
    """Scale and shift along both axes; outside is zero.

    Shapes:
        float32 [N, H, W, C] and four of [N], shifts in pixels -> float32 [N, H, W, C]
    """
    zero = tf.zeros_like(x_scale)
    maps = tf.stack([x_scale, zero, x_shift, zero, y_scale, y_shift, zero, zero], axis=1)
    return moved_by(images, maps, "CONSTANT")


def moved_by(images: tf.Tensor, maps: tf.Tensor, fill_mode: str) -> tf.Tensor:
    """Apply affine maps [N, 8] (from output to input pixels) to [N, H, W, C]."""
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=maps,
        output_shape=images.shape[1:3],
        interpolation="BILINEAR",
        fill_mode=fill_mode,
        fill_value=0.0,
    )


def augmented_faces(faces: tf.Tensor, seed: tf.Tensor, rows: Rows | None = None) -> tf.Tensor:
    """Mirror, rotate, shift, zoom and relight: one draw for all frames of a clip.

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
    """Rotation, zoom, right, down, mirror, then three of light, each in -1 to 1: [8, B]."""
    return tf.transpose(rows.uniform([8], seed, -1.0, 1.0))


def augmented_mesh(
    mesh: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor, rows: Rows | None = None
) -> tf.Tensor:
    """Move points as ``augmented_faces`` moves frames by this seed, about the face; jitter them.

    A mirrored face has the points of left and right swapped too. A clip without points stays zero.

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
    # Frames are read through the map of ``placements``, so points move by its inverse.
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


def hidden_frames(mask: tf.Tensor, seed: tf.Tensor, rows: Rows, share: float = 0.4) -> tf.Tensor:
    """Hide a share of the frames, so that none is memorised; never all of them.

    Shapes:
        [B, F] -> [B, F]
    """
    drawn = mask * tf.cast(rows.uniform(mask.shape[1:], seed) > share, mask.dtype)
    return tf.where(tf.reduce_any(drawn > 0, axis=1, keepdims=True), drawn, mask)

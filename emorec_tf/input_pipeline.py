"""Records to batches: a tf.data stream whose order depends on the seed alone.

Serialised examples are filtered, cached and shuffled; only then are they batched and parsed, and
features are cast inside the model. Resuming at an epoch skips serialised strings, not pictures.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from emorec_tf.clip import Clip, UserError
from emorec_tf.config import FeaturesConfig, TrainConfig
from emorec_tf.records import Records
from emorec_tf.schema import Spec, schema

with warnings.catch_warnings():
    # Beside a TensorFlow newer than it was built for, it says that its file systems are missing;
    # the masks used here are plain TensorFlow.
    warnings.filterwarnings("ignore", message="(unable to load|file system plugins)")
    import tensorflow_io as tfio

Batch = dict[str, tf.Tensor]
Adapt = Callable[[Batch, tf.Tensor], Batch]  # inputs and clip ids to inputs: see enrolment


def class_table(clips: Sequence[Clip], classes: Sequence[str]) -> tf.lookup.StaticHashTable:
    """Clip id to class number, -1 for clips that are not among ``clips``.

    Labels come from the caller, not from the records: classes may have been merged since.
    """
    ids = tf.constant([c.clip_id for c in clips])
    numbers = tf.constant([classes.index(c.emotion) for c in clips], tf.int64)
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(ids, numbers), -1)


def serialised(records: Records, table: tf.lookup.StaticHashTable) -> tf.data.Dataset:
    """Serialised examples of exactly the clips in ``table``, in the order of the shards."""

    def wanted(message: tf.Tensor) -> tf.Tensor:
        spec = {"clip_id": tf.io.FixedLenFeature([], tf.string)}
        return table.lookup(tf.io.parse_single_example(message, spec)["clip_id"]) >= 0

    return tf.data.TFRecordDataset(records.shards).filter(wanted).cache()


def parse(messages: tf.Tensor, features: FeaturesConfig) -> Batch:
    """Parse a batch of serialised examples by the schema.

    Shapes:
        strings [B] -> {name: [B, *shape]}, plus clip_id, speaker, emotion strings [B]
    """
    specs = schema(features)
    text = {n: tf.io.FixedLenFeature([], tf.string) for n in ("clip_id", "speaker", "emotion")}
    numbers = {n: tf.io.FixedLenFeature([], tf.float32) for n in ("activation", "valence")}
    arrays = {n: tf.io.FixedLenFeature([], tf.string) for n in specs}
    parsed = tf.io.parse_example(messages, {**text, **numbers, **arrays})
    for name, spec in specs.items():
        parsed[name] = decoded(parsed[name], spec)
    return parsed


def decoded(raw: tf.Tensor, spec: Spec) -> tf.Tensor:
    """Give raw bytes their type and shape: strings [B] -> [B, *shape]."""
    if 0 in spec.shape:
        return tf.zeros([tf.shape(raw)[0], *spec.shape], spec.dtype)
    return tf.reshape(tf.io.decode_raw(raw, spec.dtype), [-1, *spec.shape])


def model_inputs(parsed: Batch, features: FeaturesConfig) -> Batch:
    """Keep what the model eats; masks become float."""
    inputs = {name: parsed[name] for name in schema(features)}
    for name in inputs:
        if name.endswith("_mask"):
            inputs[name] = tf.cast(inputs[name], tf.float32)
    return inputs


def training(
    records: Records,
    clips: Sequence[Clip],
    classes: Sequence[str],
    train: TrainConfig,
    mean: np.ndarray,
    first_epoch: int,
    adapt: Adapt | None = None,
) -> tf.data.Dataset:
    """Endless stream of (inputs, one-hot labels, weights), beginning at ``first_epoch``.

    The order is that of an undisturbed run: the stream is shuffled epoch by epoch by the seed, and
    the epochs before ``first_epoch`` are skipped unparsed.
    """
    size = train.batch_size
    if size > len(clips):
        raise UserError(f"batch_size {size} is more than the {len(clips)} training clips")
    weights = tf.constant(class_weights(clips, classes) if train.class_weights else 1.0)
    table = class_table(clips, classes)
    stream = (
        serialised(records, table)
        .shuffle(len(clips), seed=train.seed, reshuffle_each_iteration=True)
        .repeat()
        .skip(first_epoch * (len(clips) // size) * size)
        .batch(size, drop_remainder=True)
    )
    seeds = tf.data.Dataset.counter(first_epoch * (len(clips) // size))

    def ready(messages: tf.Tensor, step: tf.Tensor) -> tuple[Batch, tf.Tensor, tf.Tensor]:
        parsed = parse(messages, records.features)
        inputs = model_inputs(parsed, records.features)
        if adapt:
            inputs = adapt(inputs, parsed["clip_id"])
        if train.augment:
            inputs = augmented(inputs, mean, tf.stack([tf.cast(train.seed, tf.int64), step]))
        labels = tf.one_hot(table.lookup(parsed["clip_id"]), len(classes))
        weight = tf.linalg.matvec(labels, weights) if train.class_weights else labels[:, 0] * 0 + 1
        return inputs, labels, weight

    batches = tf.data.Dataset.zip(stream, seeds).map(ready, num_parallel_calls=tf.data.AUTOTUNE)
    return keep(batches.prefetch(2), table)


def evaluation(records: Records, clips: Sequence[Clip], batch_size: int = 32) -> tf.data.Dataset:
    """One pass over these clips: batches of (inputs, clip ids), nothing dropped, nothing random."""
    table = class_table(clips, sorted({c.emotion for c in clips}))

    def ready(messages: tf.Tensor) -> tuple[Batch, tf.Tensor]:
        parsed = parse(messages, records.features)
        return model_inputs(parsed, records.features), parsed["clip_id"]

    return keep(serialised(records, table).batch(batch_size).map(ready).prefetch(2), table)


def keep(dataset: tf.data.Dataset, table: Any) -> tf.data.Dataset:
    """Tie the look-up table's life to the dataset's, and let one process read all shards."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    options.deterministic = True
    dataset = dataset.with_options(options)
    dataset._emorec_table = table
    return dataset


def class_weights(clips: Sequence[Clip], classes: Sequence[str]) -> list[float]:
    """Weights that make classes count the same and average to one over the clips."""
    counts = [sum(c.emotion == name for c in clips) for name in classes]
    return [len(clips) / (len(classes) * count) for count in counts]


def statistics(records: Records, clips: Sequence[Clip]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each band over the real frames of these (training) clips: [M], [M]."""
    bands = records.features.mel_bands
    total, squares, count = np.zeros(bands), np.zeros(bands), 0.0
    for inputs, _ in evaluation(records, clips, 64):
        mask = inputs["audio_mask"].numpy()[..., None].astype(np.float64)
        audio = inputs["audio"].numpy()
        total, squares = total + (audio * mask).sum((0, 1)), squares + (audio**2 * mask).sum((0, 1))
        count += mask.sum()
    if not count:  # no clip has sound
        return np.zeros(bands, np.float32), np.ones(bands, np.float32)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 1e-6))
    return mean.astype(np.float32), deviation.astype(np.float32)


def augmented(inputs: Batch, mean: np.ndarray, seed: tf.Tensor) -> Batch:
    """Vary a training batch: voice in time, pitch, loudness and holes; faces in place and light.

    Every draw but SpecAugment's is made from ``seed`` alone, so that a resumed run repeats it.
    """
    seeds = tf.random.split(seed, 3)
    inputs = dict(inputs)
    inputs.update(varied_voice(inputs["audio"], inputs["audio_mask"], mean, seeds[0]))
    if inputs["faces"].shape[1]:
        inputs["faces"] = varied_faces(inputs["faces"], seeds[1])
        inputs["face_mask"] = fewer_faces(inputs["face_mask"], seeds[2])
    return inputs


def varied_voice(
    audio: tf.Tensor, mask: tf.Tensor, mean: np.ndarray, seed: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Stretch and shift in time, warp the bands, change loudness, then SpecAugment.

    Shapes:
        audio [B, T, M], mask [B, T] -> the same
    Source:
        Park et al. 2019, SpecAugment; Jaitly & Hinton 2013 for the warp of the bands.
    """
    batch, frames, bands = tf.shape(audio)[0], audio.shape[1], audio.shape[2]
    draws = tf.unstack(tf.random.stateless_uniform([5, batch], seed, -1.0, 1.0))
    stretch, shift = 1.0 + 0.15 * draws[0], 0.10 * frames * draws[1]
    warp, lift = 1.0 + 0.08 * draws[2], 0.03 * bands * draws[3]
    level = (audio - mean) * mask[..., None]  # padding is the mean, as in the model
    moved = stretched(level[..., None], warp, lift, stretch, shift)[..., 0]
    real = stretched(mask[..., None, None], tf.ones(batch), tf.zeros(batch), stretch, shift)
    real = tf.cast(real[:, :, 0, 0] > 0.5, tf.float32)
    moved = moved + (0.7 * draws[4])[:, None, None]  # +-3 dB

    def holes(one: tf.Tensor) -> tf.Tensor:
        for _ in range(2):
            one = tfio.audio.freq_mask(one, max(2, bands // 6))
            one = tfio.audio.time_mask(one, max(2, frames // 10))
        return tf.ensure_shape(one, [frames, bands])

    moved = tf.map_fn(holes, moved)
    return {"audio": (moved + mean) * real[..., None], "audio_mask": real}


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


def varied_faces(faces: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mirror, turn, move, zoom, light: one draw for all pictures of a clip.

    Shapes:
        uint8 [B, F, H, W, C] -> uint8 [B, F, H, W, C]
    """
    batch, (count, height, width, channels) = tf.shape(faces)[0], faces.shape[1:]
    draws = tf.random.stateless_uniform([8, batch], seed, -1.0, 1.0)
    draws = tf.unstack(tf.repeat(draws, count, axis=1))  # [B F] each
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


def placements(draws: Sequence[tf.Tensor], side: int) -> tf.Tensor:
    """Affine maps about the middle from draws in -1 to 1.

    Shapes:
        five of [N] (turn, zoom, right, down, mirror) -> [N, 8]
    """
    turn, zoom, right, down, mirror = draws
    angle, scale = 0.2 * turn, 1.0 + 0.12 * zoom  # 11 degrees, an eighth of the size
    flip = tf.where(mirror > 0, -1.0, 1.0)
    cosine, sine = scale * tf.cos(angle), scale * tf.sin(angle)
    a, b, c, d = cosine * flip, -sine, sine * flip, cosine
    middle = (side - 1) / 2
    x = middle - (a + b) * middle + 0.07 * side * right
    y = middle - (c + d) * middle + 0.07 * side * down
    return tf.stack([a, b, x, c, d, y, 0.0 * x, 0.0 * x], axis=1)


def fewer_faces(mask: tf.Tensor, seed: tf.Tensor, share: float = 0.4) -> tf.Tensor:
    """Hide a share of the pictures, so that no single one is learned by heart; never all of them.

    Shapes:
        [B, F] -> [B, F]
    """
    drawn = mask * tf.cast(tf.random.stateless_uniform(tf.shape(mask), seed) > share, mask.dtype)
    return tf.where(tf.reduce_any(drawn > 0, axis=1, keepdims=True), drawn, mask)

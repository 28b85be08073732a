"""Records to batches: a tf.data stream whose order depends on the seed alone.

Serialised examples are filtered, cached and shuffled; only then are they batched and parsed, and
features are cast inside the model. Resuming at an epoch skips serialised strings, not pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from emorec_tf import augmentation
from emorec_tf.augmentation import Batch
from emorec_tf.clip import Clip, UserError
from emorec_tf.config import FeaturesConfig, TrainConfig
from emorec_tf.records import Records
from emorec_tf.schema import Spec, schema

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
    rating: str | None = None,
    uses: Collection[str] = ("audio", "face"),
) -> tf.data.Dataset:
    """Endless stream of (inputs, one-hot labels, weights), beginning at ``first_epoch``.

    With ``rating``, the name of one, labels are the ratings [B, 1], and all clips weigh the same.
    Only the arrays of branches that the model ``uses`` are varied.

    The order is that of an undisturbed run: the stream is shuffled epoch by epoch by the seed, and
    the epochs before ``first_epoch`` are skipped unparsed.
    """
    size = train.batch_size
    if size > len(clips):
        raise UserError(f"batch_size {size} is more than the {len(clips)} training clips")
    weighed = train.class_weights and not rating
    weights = tf.constant(class_weights(clips, classes) if weighed else 1.0)
    table = class_table(clips, classes or sorted({c.emotion for c in clips}))
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
        seed = tf.stack([tf.cast(train.seed, tf.int64), step])
        if train.train_frames:
            inputs = augmentation.some_frames(inputs, train.train_frames, seed + 1)
        if train.augment:
            inputs = augmentation.augmented(
                inputs, mean, seed, records.features.audio_features, uses
            )
        if rating:
            labels = parsed[rating][:, None]
        else:
            labels = tf.one_hot(table.lookup(parsed["clip_id"]), len(classes))
        weight = tf.linalg.matvec(labels, weights) if weighed else labels[:, 0] * 0 + 1
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
    bands = records.features.audio_width
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


def typical_frames(records: Records, clips: Sequence[Clip]) -> int:
    """Mean and one standard deviation of these clips' real frames of sound, rounded down."""
    lengths = [
        count
        for inputs, _ in evaluation(records, clips, 64)
        for count in tf.reduce_sum(inputs["audio_mask"], axis=1).numpy()
    ]
    return max(1, int(np.mean(lengths) + np.std(lengths)))

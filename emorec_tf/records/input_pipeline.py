"""Records to batches: a tf.data stream whose order depends on the seed alone.

Handles of examples are shuffled and batched (see ``example_order``); only then are they parsed, and
features are cast inside the model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from emorec_tf.config.clip import Clip
from emorec_tf.config.config import FeaturesConfig, TrainConfig
from emorec_tf.config.schema import schema
from emorec_tf.errors import UserError
from emorec_tf.records import augmentation, parsing, shuffling
from emorec_tf.records.parsing import Batch
from emorec_tf.records.records_dir import Records

Adapt = Callable[[Batch, tf.Tensor], Batch]  # inputs and clip ids to inputs: see enrolment


@dataclass(frozen=True)
class Part:
    """Which part of each batch is made here: worker's number of all, replicas on each."""

    worker: int = 0
    workers: int = 1
    replicas: int = 1

    def pieces(self, handles: tf.Tensor, step: tf.Tensor) -> tf.data.Dataset:
        """Give one piece for each replica here: its handles, the step, its number among all."""
        own = tf.range(self.replicas) + self.worker * self.replicas
        every = tf.reshape(handles, [self.workers * self.replicas, -1])
        steps = tf.repeat(step, self.replicas)
        return tf.data.Dataset.from_tensor_slices((tf.gather(every, own), steps, own))


def class_table(clips: Sequence[Clip], classes: Sequence[str]) -> tf.lookup.StaticHashTable:
    """Clip id to class number, -1 for clips that are not among ``clips``.

    Labels come from the caller, not from the records: classes may have been merged since.
    """
    ids = tf.constant([c.clip_id for c in clips])
    numbers = tf.constant([classes.index(c.emotion) for c in clips], tf.int64)
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(ids, numbers), -1)


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
    part: Part | None = None,
) -> tf.data.Dataset:
    """Endless stream of (inputs, one-hot labels, weights), beginning at ``first_epoch``.

    With ``rating``, the name of one, labels are the ratings [B, 1], and all clips weigh the same.
    Only the arrays of branches that the model ``uses`` are varied. With a ``part``, the stream
    gives that part of each batch, a piece for each replica.

    The order is that of an undisturbed run, and so are the draws of augmentation.
    """
    size, steps = train.batch_size, len(clips) // train.batch_size
    if size > len(clips):
        raise UserError(f"batch_size {size} is more than the {len(clips)} training clips")
    weighed = train.class_weights and not rating
    weights = tf.constant(class_weights(clips, classes) if weighed else 1.0)
    table = class_table(clips, classes or sorted({c.emotion for c in clips}))
    found = shuffling.source(records, table, train.cache)
    shuffled = min(len(clips), shuffling.shuffle_size(records))
    stream = shuffling.batches(found, size, steps, shuffled, train.seed, first_epoch)
    part = part or Part()
    count = size // (part.workers * part.replicas)
    numbers = tf.data.Dataset.counter(first_epoch * steps)

    def ready(
        handles: tf.Tensor, step: tf.Tensor, piece: tf.Tensor
    ) -> tuple[Batch, tf.Tensor, tf.Tensor]:
        parsed = found.parse(tf.ensure_shape(handles, [count]))
        inputs = model_inputs(parsed, records.features)
        if adapt:
            inputs = adapt(inputs, parsed["clip_id"])
        seed = tf.stack([tf.cast(train.seed, tf.int64), step])
        rows = augmentation.Rows(size, piece * count, count)
        if train.train_frames:
            inputs = augmentation.some_frames(inputs, train.train_frames, seed + 1, rows)
        if train.augment_channel and "audio" in uses:
            voice = inputs["audio"], inputs["audio_mask"]
            inputs["audio"] = augmentation.other_channel(*voice, records.features, seed + 2, rows)
        if train.augment:
            kind = records.features.audio_features
            inputs = augmentation.augmented(inputs, mean, seed, kind, uses, rows)
        if rating:
            labels = parsed[rating][:, None]
        else:
            labels = tf.one_hot(table.lookup(parsed["clip_id"]), len(classes))
        weight = tf.linalg.matvec(labels, weights) if weighed else labels[:, 0] * 0 + 1
        return inputs, labels, weight

    pieces = tf.data.Dataset.zip(stream, numbers).flat_map(part.pieces)
    return keep(pieces.map(ready, num_parallel_calls=tf.data.AUTOTUNE).prefetch(4), table)


def evaluation(records: Records, clips: Sequence[Clip], batch_size: int = 32) -> tf.data.Dataset:
    """One pass over these clips: batches of (inputs, clip ids), nothing dropped, nothing random."""
    table = class_table(clips, sorted({c.emotion for c in clips}))

    def ready(messages: tf.Tensor) -> tuple[Batch, tf.Tensor]:
        parsed = parsing.parse(messages, records.features)
        return model_inputs(parsed, records.features), parsed["clip_id"]

    messages = parsing.wanted(tf.data.TFRecordDataset(records.shards), table)
    return keep(messages.batch(batch_size).map(ready).prefetch(2), table)


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

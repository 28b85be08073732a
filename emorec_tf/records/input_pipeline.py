"""Records to batches: a tf.data stream whose order depends on the seed alone.

Handles of examples are shuffled and batched (see ``shuffling``); only then are they parsed, and
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
from emorec_tf.tasks import balance, tasks

Transform = Callable[[Batch, tf.Tensor], Batch]  # inputs and clip ids [B] to inputs


@dataclass(frozen=True)
class Part:
    """The part of each batch that is made here: by worker number and replicas per worker."""

    worker: int = 0
    workers: int = 1
    replicas: int = 1

    def pieces(self, handles: tf.Tensor, step: tf.Tensor) -> tf.data.Dataset:
        """Give one piece for each replica here: its handles, the step, its number among all."""
        own = tf.range(self.replicas) + self.worker * self.replicas
        every = tf.reshape(handles, [self.workers * self.replicas, -1])
        steps = tf.repeat(step, self.replicas)
        return tf.data.Dataset.from_tensor_slices((tf.gather(every, own), steps, own))


def unchanged(inputs: Batch, _: tf.Tensor) -> Batch:
    """Leave inputs as they are."""
    return inputs


def class_table(clips: Sequence[Clip], classes: Sequence[str]) -> tf.lookup.StaticHashTable:
    """Clip id to class number, -1 for clips that are not among ``clips``.

    Labels come from the caller, not from the records: classes may have been merged since.
    """
    ids = tf.constant([c.clip_id for c in clips])
    numbers = tf.constant([classes.index(c.emotion) for c in clips], tf.int64)
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(ids, numbers), -1)


def model_inputs(parsed: Batch, features: FeaturesConfig) -> Batch:
    """Keep the inputs of models; masks become float."""
    inputs = {name: parsed[name] for name in schema(features)}
    for name in inputs:
        if name.endswith("_mask"):
            inputs[name] = tf.cast(inputs[name], tf.float32)
    return inputs


@dataclass(frozen=True)
class TrainingStream:
    """Endless stream of (inputs, labels, weights) of the training clips.

    Labels are one-hot [B, K], or the ratings [B, 1] where one is estimated; all ratings weigh the
    same. Order and augmentation depend on the seed and the step alone, so a stream that begins
    later is the rest of the undisturbed one.

    Attributes:
        records: hold the clips.
        clips: labelled training clips.
        task: what is learned.
        settings: batch size, seed, cache, augmentation.
        mean: of each audio band over the training clips, [M].
        transform: of inputs before they are augmented.
        uses: "audio", "face" or both: only arrays that the model uses are augmented.
    """

    records: Records
    clips: Sequence[Clip]
    task: tasks.Task
    settings: TrainConfig
    mean: np.ndarray
    transform: Transform = unchanged
    uses: Collection[str] = ("audio", "face")

    def __post_init__(self) -> None:
        """Refuse a batch that is never full."""
        if self.settings.batch_size > len(self.clips):
            raise UserError(
                f"batch_size {self.settings.batch_size} is more than the {len(self.clips)} "
                f"training clips"
            )

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return len(self.clips) // self.settings.batch_size

    def batches(self, first_epoch: int, part: Part | None = None) -> tf.data.Dataset:
        """The stream from an epoch on, counted from 0.

        Args:
            first_epoch: where to begin.
            part: give that part of each batch, a piece for each replica; None: all of it.
        """
        size, part = self.settings.batch_size, part or Part()
        count = size // (part.workers * part.replicas)
        classes = self.task.classes or sorted({c.emotion for c in self.clips})
        table = class_table(self.clips, classes)
        source = shuffling.source(self.records, table, self.settings.cache)
        shuffled = min(len(self.clips), shuffling.shuffle_size(self.records))
        order = shuffling.Order(size, self.steps, shuffled, self.settings.seed)
        handles = shuffling.batches(source, order, first_epoch)
        weights = self._weights(classes)

        def ready(
            handles: tf.Tensor, step: tf.Tensor, piece: tf.Tensor
        ) -> tuple[Batch, tf.Tensor, tf.Tensor]:
            parsed = source.parse(tf.ensure_shape(handles, [count]))
            inputs = self.transform(model_inputs(parsed, self.records.features), parsed["clip_id"])
            inputs = self._augmented(inputs, step, augmentation.Rows(size, piece * count, count))
            labels = self._labels(parsed, table)
            return inputs, labels, weights(parsed["clip_id"], labels)

        numbers = tf.data.Dataset.counter(first_epoch * self.steps)
        pieces = tf.data.Dataset.zip(handles, numbers).flat_map(part.pieces)
        return keep(pieces.map(ready, num_parallel_calls=tf.data.AUTOTUNE).prefetch(4), table)

    def _weights(self, classes: Sequence[str]) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        """Return what gives clip ids [B] and labels [B, K] their weights [B]."""
        if self.task.rating or not (self.settings.class_weights or self.settings.balance != "none"):
            return lambda ids, labels: labels[:, 0] * 0 + 1
        if self.settings.balance == "none":
            by_class = tf.constant(class_weights(self.clips, classes))
            return lambda ids, labels: tf.linalg.matvec(labels, by_class)
        ids = tf.constant([clip.clip_id for clip in self.clips])
        speakers, emotions = zip(*((c.speaker, c.emotion) for c in self.clips), strict=True)
        values = tf.constant(balance.clip_weights(speakers, emotions), tf.float32)
        table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(ids, values), 0.0)
        return lambda ids, labels: table.lookup(ids)

    def _labels(self, parsed: Batch, table: tf.lookup.StaticHashTable) -> tf.Tensor:
        if self.task.rating:
            return parsed[self.task.rating][:, None]
        return tf.one_hot(table.lookup(parsed["clip_id"]), len(self.task.classes))

    def _augmented(self, inputs: Batch, step: tf.Tensor, rows: augmentation.Rows) -> Batch:
        settings, features = self.settings, self.records.features
        seed = tf.stack([tf.cast(settings.seed, tf.int64), step])
        if settings.train_frames:
            inputs = augmentation.some_frames(inputs, settings.train_frames, seed + 1, rows)
        if settings.augment_channel and "audio" in self.uses:
            audio = inputs["audio"], inputs["audio_mask"]
            inputs["audio"] = augmentation.other_channel(*audio, features, seed + 2, rows)
        if settings.augment:
            kind = features.audio_features
            inputs = augmentation.augmented(inputs, self.mean, seed, kind, self.uses, rows)
        return inputs


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
    if not count:  # no clip has audio
        return np.zeros(bands, np.float32), np.ones(bands, np.float32)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 1e-6))
    return mean.astype(np.float32), deviation.astype(np.float32)


def typical_frames(records: Records, clips: Sequence[Clip]) -> int:
    """Mean plus one standard deviation of the real audio frames of these clips, rounded down."""
    lengths = [
        count
        for inputs, _ in evaluation(records, clips, 64)
        for count in tf.reduce_sum(inputs["audio_mask"], axis=1).numpy()
    ]
    return max(1, int(np.mean(lengths) + np.std(lengths)))

"""The source and the order of training examples; seed and epoch alone determine the order.

In each epoch the shards come in a random order; ``TOGETHER`` of them are read in turns, and a
buffer of ``SHUFFLE_BYTES`` is shuffled. So memory does not grow with the records, a resumed run
begins at its epoch at once, and a corpus that is smaller than the buffer is shuffled as a whole.
The order is the same wherever the examples are kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from emorec_tf.errors import UserError
from emorec_tf.records import parsing, shard_cache
from emorec_tf.records.records_dir import Records

TOGETHER = 16  # shards that are read in turns
SHUFFLE_BYTES = 256 * 2**20
LEAST_SHUFFLED = 64  # examples, however large they are
MEMORY_SHARE = 0.5  # of free memory: evaluation and the network need some too
GIB = 2**30


@dataclass(frozen=True)
class Source:
    """Handles of examples by shard, and how a batch of handles becomes arrays."""

    shards: int
    read: Callable[[tf.Tensor], tf.data.Dataset]  # number of a shard to its handles
    parse: Callable[[tf.Tensor], parsing.Batch]  # handles [B] to {name: [B, ...]}


@dataclass(frozen=True)
class Order:
    """How examples are put in order.

    Attributes:
        size: examples of a batch.
        steps: batches of an epoch; the clips left over differ from epoch to epoch.
        shuffled: examples that are shuffled together.
        seed: of the order.
    """

    size: int
    steps: int
    shuffled: int
    seed: int


def source(records: Records, table: tf.lookup.StaticHashTable, cache: str) -> Source:
    """Open the examples of exactly the clips in ``table``.

    Args:
        records: hold the clips.
        table: clip id to a number from 0, or less where a clip is not wanted.
        cache: memory, disk or none.

    Raises:
        UserError: memory or disk is too small.
    """
    if cache == "memory":
        return held(records, table)
    paths = shard_cache.copied(records) if cache == "disk" else records.shards
    names = tf.constant(paths)

    def read(number: tf.Tensor) -> tf.data.Dataset:
        return parsing.wanted(tf.data.TFRecordDataset(names[number]), table)

    return Source(len(paths), read, lambda m: parsing.parse(m, records.features))


def held(records: Records, table: tf.lookup.StaticHashTable) -> Source:
    """Read the wanted examples once, and keep their arrays in memory; a handle is a row.

    Raises:
        UserError: they would take more than ``MEMORY_SHARE`` of what is free.
    """
    count = int(table.size().numpy())
    total = sum(s["count"] for s in records.manifest["shards"])
    size = sum(s["bytes"] for s in records.manifest["shards"]) * count / max(1, total)
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > MEMORY_SHARE * free:
        raise UserError(
            f"cache memory: the training clips of {records.folder} take {size / GIB:.1f} GiB, "
            f"{free / GIB:.1f} are free; give --cache none"
        )
    arrays: dict[str, np.ndarray] = {}
    starts = [0]
    for path in records.shards:
        at = starts[-1]
        messages = parsing.wanted(tf.data.TFRecordDataset(path), table).batch(64)
        for batch in messages.map(lambda m: parsing.parse(m, records.features)):
            for name, value in batch.items():
                part = value.numpy()
                whole = arrays.setdefault(name, np.empty((count, *part.shape[1:]), part.dtype))
                whole[at : at + len(part)] = part
            at += len(batch["clip_id"])
        starts.append(at)
    with tf.device("CPU"):  # where batches are made
        tensors = {name: tf.constant(arrays.pop(name)) for name in list(arrays)}
        bounds = tf.constant(starts, tf.int64)
    return Source(
        len(records.shards),
        lambda number: tf.data.Dataset.range(bounds[number], bounds[number + 1]),
        lambda rows: {name: tf.gather(tensor, rows) for name, tensor in tensors.items()},
    )


def shuffle_size(records: Records) -> int:
    """Examples that are shuffled together."""
    shards = records.manifest["shards"]
    mean_bytes = sum(s["bytes"] for s in shards) / max(1, sum(s["count"] for s in shards))
    return max(LEAST_SHUFFLED, int(SHUFFLE_BYTES / max(1.0, mean_bytes)))


def batches(source: Source, order: Order, first_epoch: int) -> tf.data.Dataset:
    """Endless stream of batches of handles [size].

    Args:
        source: where the examples are.
        order: in which they come.
        first_epoch: number of the first one, from 0.
    """

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        # TensorFlow cannot join a random seed with a global one of 0.
        tf.compat.v1.get_default_graph().seed = 1
        seeds = tf.stack([tf.constant(order.seed, tf.int64), number])
        shards = tf.range(source.shards, dtype=tf.int64)
        shards = tf.random.experimental.stateless_shuffle(shards, seeds)
        draw = tf.random.stateless_uniform([], seeds + 1, 0, 2**31 - 1, tf.int64)
        return (
            tf.data.Dataset.from_tensor_slices(shards)
            .interleave(source.read, cycle_length=min(TOGETHER, source.shards), block_length=1)
            .shuffle(order.shuffled, seed=draw, reshuffle_each_iteration=False)
            .take(order.steps * order.size)
            .batch(order.size, drop_remainder=True)
        )

    return tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max).flat_map(epoch)

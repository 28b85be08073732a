"""shuffling: every example in every epoch, in an order given by seed and epoch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emorec_tf.errors import UserError
from emorec_tf.records import input_pipeline, records_dir, shuffling


def epochs(
    folder: Path, cache: str, shuffled: int = 5, seed: int = 0, first: int = 0, size: int = 6
) -> list[list[bytes]]:
    """Clip ids of two epochs, in training order."""
    records = records_dir.open_records(folder)
    table = input_pipeline.class_table(records.clips, records.emotions)
    found = shuffling.source(records, table, cache)
    steps = len(records.clips) // size
    order = shuffling.Order(size, steps, shuffled, seed)
    stream = shuffling.batches(found, order, first).take(2 * steps)
    ids = [list(found.parse(handles)["clip_id"].numpy()) for handles in stream]
    return [[i for batch in part for i in batch] for part in (ids[:steps], ids[steps:])]


def test_order_is_the_same_wherever_examples_are_kept(demo_records: Path) -> None:
    memory, disk, none = (epochs(demo_records, cache) for cache in ("memory", "disk", "none"))
    assert memory == disk == none


def test_each_epoch_has_every_clip_once_in_another_order(demo_records: Path) -> None:
    every = sorted(c.clip_id.encode() for c in records_dir.open_records(demo_records).clips)
    one, two = epochs(demo_records, "none")
    assert sorted(one) == sorted(two) == every
    assert one != two
    assert epochs(demo_records, "none", seed=1)[0] != one


def test_an_epoch_does_not_depend_on_earlier_ones(demo_records: Path) -> None:
    assert epochs(demo_records, "none", first=1)[0] == epochs(demo_records, "none")[1]


def test_global_random_seeds_have_no_effect(demo_records: Path) -> None:
    import tensorflow as tf

    orders = []
    for seed in (0, 1):
        tf.random.set_seed(seed)
        orders.append(epochs(demo_records, "none"))
    assert orders[0] == orders[1]


def test_shards_are_mixed_with_a_small_buffer(demo_records: Path) -> None:
    """With a buffer of one, interleaving still draws the first five clips from five shards."""
    records = records_dir.open_records(demo_records)
    table = input_pipeline.class_table(records.clips, records.emotions)
    found = shuffling.source(records, table, "none")
    shard = {
        clip: number
        for number in range(found.shards)
        for clip in found.parse(next(iter(found.read(number).batch(9))))["clip_id"].numpy()
    }
    first = epochs(demo_records, "none", shuffled=1)[0][: len(records.shards)]
    assert len({shard[clip] for clip in first}) == len(records.shards)


def test_dropped_clips_differ_between_epochs(demo_records: Path) -> None:
    one, two = epochs(demo_records, "memory", size=7, shuffled=24)
    assert len(one) == len(two) == 21
    assert set(one) != set(two)


def test_arrays_in_memory_are_those_of_the_records(demo_records: Path) -> None:
    records = records_dir.open_records(demo_records)
    table = input_pipeline.class_table(records.clips, records.emotions)
    held = shuffling.source(records, table, "memory")
    read = shuffling.source(records, table, "none")
    for shard in range(held.shards):
        rows = next(iter(held.read(shard).batch(9)))
        messages = next(iter(read.read(shard).batch(9)))
        for name, value in read.parse(messages).items():
            np.testing.assert_array_equal(held.parse(rows)[name].numpy(), value.numpy())


def test_too_little_memory_is_refused(demo_records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shuffling, "MEMORY_SHARE", 1e-9)
    with pytest.raises(UserError, match="give --cache none"):
        epochs(demo_records, "memory")


def test_buffer_is_bounded_in_bytes(demo_records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = records_dir.open_records(demo_records)
    mean_bytes = sum(Path(s).stat().st_size for s in records.shards) / 24
    monkeypatch.setattr(shuffling, "SHUFFLE_BYTES", int(100.5 * mean_bytes))
    assert shuffling.shuffle_size(records) == 100
    monkeypatch.setattr(shuffling, "SHUFFLE_BYTES", 1)
    assert shuffling.shuffle_size(records) == shuffling.LEAST_SHUFFLED

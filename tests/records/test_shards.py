"""Shards: the number of clips in each; damaged ones are regenerated."""

from __future__ import annotations

from pathlib import Path

import pytest

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.config.schema import schema
from emorec_tf.errors import UserError
from emorec_tf.records import shards
from emorec_tf.records.records_dir import framed, serialise


@pytest.mark.parametrize(
    ("count", "clips"), [(24, 64), (1440, 64), (7442, 233), (10_000_000, 27_668)]
)
def test_clips_in_one_shard(count: int, clips: int, features: FeaturesConfig) -> None:
    # 48 frames of 16 floats and a byte, 3 crops of 24 x 24 and a byte: 4,851 bytes
    assert shards.bytes_of_example(features) == 48 * 65 + 3 * 577
    assert 128 * 2**20 // 4851 == 27_668
    assert shards.clips_in_one(features, count, 128, 0) == clips
    assert shards.clips_in_one(features, count, 128, 7) == 7
    assert shards.clips_in_one(features, count, 1e-6, 0) == 1
    with pytest.raises(UserError, match="shard_mib"):
        shards.clips_in_one(features, count, 0, 0)
    with pytest.raises(UserError, match="clips_per_shard"):
        shards.clips_in_one(features, count, 128, -1)


def test_bytes_of_an_example_are_those_in_a_shard(features: FeaturesConfig, inputs) -> None:
    drawn = inputs(features, count=1)
    example = {name: drawn[name][0].astype(spec.dtype) for name, spec in schema(features).items()}
    labels: dict[str, str | float] = {"clip_id": "a", "speaker": "b", "emotion": "sad"}
    written = len(framed(serialise(example, labels)))
    assert 0 < written - shards.bytes_of_example(features) < 300


def test_a_finished_shard_is_verified_by_its_bytes(tmp_path: Path) -> None:
    shards.begin(tmp_path, "plan")
    assert not shards.is_whole(tmp_path, 3)
    shards.write(tmp_path, 3, [(b"abc", {"clip_id": "a"}), (b"", {"clip_id": "b"})])
    shards.begin(tmp_path, "plan")
    assert shards.is_whole(tmp_path, 3)
    (tmp_path / "shard-00003.tfrecord").write_bytes(b"abd")
    assert not shards.is_whole(tmp_path, 3)
    (tmp_path / "shard-00003.tfrecord").write_bytes(b"abc")
    shards.begin(tmp_path, "other plan")
    assert not shards.is_whole(tmp_path, 3)

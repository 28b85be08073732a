"""Records: read bit for bit, refused when damaged, missing or made with other settings."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from emorec_tf.config.clip import Clip
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.config.schema import schema
from emorec_tf.errors import UserError
from emorec_tf.records import records_dir
from emorec_tf.storage.files import file_check, read_csv, rows_to_csv, write_atomically

CLIP = Clip("a/1", "ö", "sad", "v.mp4", None, "s1", 2.5, None, traits={"sex": "female"})
CLIPS = [CLIP, *(dataclasses.replace(CLIP, clip_id=f"a/{number}") for number in (3, 4))]
LABELS: dict[str, str | float] = {
    "clip_id": "a/1",
    "speaker": "ö",
    "emotion": "sad",
    "activation": 2.5,
}


@pytest.fixture
def example(features: FeaturesConfig, inputs) -> dict[str, np.ndarray]:
    drawn = inputs(features, count=1)
    return {name: drawn[name][0].astype(spec.dtype) for name, spec in schema(features).items()}


@pytest.fixture
def folder(tmp_path: Path, features: FeaturesConfig, example) -> Path:
    """A finished folder of two shards with three clips, and one clip that was refused."""
    data = records_dir.framed(records_dir.serialise(example, LABELS))
    shards = [
        records_dir.write_shard(tmp_path / f"shard-{n}.tfrecord", [data] * (n + 1))
        for n in range(2)
    ]
    rows = [*(line(clip, "ok") for clip in CLIPS)]
    rows.insert(1, line(dataclasses.replace(CLIP, clip_id="a/2"), "refused"))
    write_atomically(tmp_path / records_dir.REPORT, rows_to_csv(rows))
    manifest = {
        "format": records_dir.FORMAT,
        "stamp": features.fingerprint(),
        "features": dataclasses.asdict(features),
        "shards": shards,
    }
    write_atomically(tmp_path / records_dir.MANIFEST, json.dumps(manifest))
    return tmp_path


def line(clip: Clip, status: str) -> dict[str, str]:
    values = {name: "" if v is None else str(v) for name, v in vars(clip).items()}
    return {**values, "traits": json.dumps(dict(clip.traits)), "status": status}


def test_arrays_come_back_bit_for_bit(example, features):
    data = records_dir.serialise(example, LABELS)
    message = tf.train.Example.FromString(data)
    for name, spec in schema(features).items():
        raw = message.features.feature[name].bytes_list.value[0]
        back = np.frombuffer(raw, spec.dtype).reshape(spec.shape)
        np.testing.assert_array_equal(back, example[name])
    assert message.features.feature["speaker"].bytes_list.value[0].decode() == "ö"
    assert message.features.feature["activation"].float_list.value[0] == 2.5
    again = records_dir.serialise(dict(reversed(example.items())), LABELS)
    assert again == data  # whatever the order, the bytes are the same


def test_arrays_that_are_not_contiguous(example):
    turned = {**example, "audio": np.asfortranarray(example["audio"])}
    assert records_dir.serialise(turned, LABELS) == records_dir.serialise(example, LABELS)


def test_open_records(folder: Path, features: FeaturesConfig, example):
    records = records_dir.open_records(folder)
    assert records.features == features
    assert records.clips == CLIPS
    assert records.emotions == ("sad",)
    assert [Path(s).name for s in records.shards] == ["shard-0.tfrecord", "shard-1.tfrecord"]
    read = [m.numpy() for m in tf.data.TFRecordDataset(records.shards)]
    assert read == [records_dir.serialise(example, LABELS)] * 3
    for shard, count in zip(records.manifest["shards"], (1, 2), strict=True):
        assert shard["count"] == count
        check = {"bytes": shard["bytes"], "sha256": shard["sha256"]}
        assert file_check(folder / shard["name"]) == check


def refused(folder: Path, **wanted) -> str:
    with pytest.raises(UserError) as error:
        records_dir.open_records(folder, wanted)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_missing_and_unfinished_records_are_refused(folder: Path):
    assert "do not exist" in refused(folder / "elsewhere")
    (folder / records_dir.MANIFEST).unlink()
    assert "are unfinished" in refused(folder)


def test_missing_and_damaged_shards(folder: Path):
    shard = folder / "shard-1.tfrecord"
    whole = shard.read_bytes()
    for data in (whole[:-1], whole + b"\0", b""):
        shard.write_bytes(data)
        assert "shard-1.tfrecord is missing or damaged" in refused(folder)
    shard.unlink()
    assert "shard-1.tfrecord is missing or damaged" in refused(folder)


@pytest.mark.parametrize(
    "damage", [lambda text: text[:50], lambda text: "[]", lambda text: text.replace("hop_", "hip_")]
)
def test_damaged_manifest(folder: Path, damage):
    path = folder / records_dir.MANIFEST
    path.write_text(damage(path.read_text()))
    assert "damaged or of another version" in refused(folder)


@pytest.mark.parametrize(
    ("old", "new"),
    [(f'"format": {records_dir.FORMAT}', '"format": 0'), ('"mel_bands": 16', '"mel_bands": 17')],
)
def test_stale_records_are_refused(folder: Path, old, new):
    path = folder / records_dir.MANIFEST
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert "are stale" in refused(folder)


def test_other_settings_are_named(folder: Path):
    records_dir.open_records(folder, {"mel_bands": 16})
    message = refused(folder, mel_bands=64)
    assert "made with mel_bands=16, not 64" in message
    assert "--mel_bands 64" in message


def test_a_missing_report_is_refused(folder: Path):
    (folder / records_dir.REPORT).unlink()
    assert re.search(r"report\.csv is missing", refused(folder))


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: text.rindex("a/4")],
        lambda text: text[:-20],
        lambda text: text.replace("status", "stat"),
        lambda text: "",
        lambda text: text.replace("2.5", "much"),
    ],
)
def test_a_report_that_is_cut_or_damaged(folder: Path, damage):
    path = folder / records_dir.REPORT
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    assert "report.csv is damaged; run prepare again" in refused(folder)


def test_a_shard_that_cannot_be_written(tmp_path: Path):
    with pytest.raises(UserError, match=r"cannot write .*a\.tfrecord"):
        records_dir.write_shard(tmp_path / "no such folder" / "a.tfrecord", [b"x"])


def test_writing_leaves_the_old_file_when_it_fails(tmp_path: Path, monkeypatch):
    path = tmp_path / "a.txt"
    write_atomically(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_csv_round_trip(tmp_path: Path):
    rows: list[dict[str, str | int]] = [{"a": 'x,"y"\nz', "b": 1}, {"a": "", "b": "ö"}]
    write_atomically(tmp_path / "a.csv", rows_to_csv(rows))
    read = read_csv(tmp_path / "a.csv")
    assert read == [{"a": 'x,"y"\nz', "b": "1"}, {"a": "", "b": "ö"}]

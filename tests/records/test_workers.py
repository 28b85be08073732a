"""Worker processes: results in order, crashing clips refused, report rows."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import fragile_work
import numpy as np
import pytest
import tensorflow as tf

from emorec_tf.config.clip import Clip
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.errors import SetupError, UserError
from emorec_tf.features.examples import Seen
from emorec_tf.records import worker_pool
from emorec_tf.records.records_dir import clip_of_row

CLIP = Clip("a", "1", "sad", "v.mp4", "v.mp4", "s", 2.5, None, traits={"b": "2", "a": "1"})
FOUND = Seen(True, 3, 8, 1.23456, "abc", ("it clips",))


def light_pool(count: int, settings: worker_pool.Settings) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(count, get_context("spawn"))


def test_a_crash_refuses_its_own_clip_only(monkeypatch, features: FeaturesConfig):
    monkeypatch.setattr(worker_pool, "work", fragile_work.work)
    monkeypatch.setattr(worker_pool, "make_pool", light_pool)
    clips = [Clip(name, "1", "sad", f"{name}.mp4") for name in ("a", "crash1", "crash2", "b")]
    results = list(worker_pool.process(clips, 2, (features, None, None, None)))
    for clip, (data, row) in zip(clips, results, strict=True):
        if clip.clip_id.startswith("crash"):
            assert (data, row["status"]) == (b"", "refused")
            assert row["reason"].startswith(f"{clip.clip_id}.mp4: the decoder crashed")
        else:
            assert data == clip.clip_id.encode()


def test_work(monkeypatch, tmp_path: Path):
    made = {"audio": np.arange(3, dtype=np.float32)}
    monkeypatch.setitem(worker_pool.WORKER, "make", lambda clip: (made, FOUND))
    data, row = worker_pool.work(CLIP)
    (path := tmp_path / "one.tfrecord").write_bytes(data)
    (record,) = tf.data.TFRecordDataset(str(path))
    found = tf.train.Example.FromString(record.numpy()).features.feature
    assert np.frombuffer(found["audio"].bytes_list.value[0], np.float32).tolist() == [0, 1, 2]
    assert found["emotion"].bytes_list.value == [b"sad"]
    assert found["activation"].float_list.value == [2.5]
    assert np.isnan(found["valence"].float_list.value[0])
    assert (row["status"], row["reason"], row["seconds"]) == ("ok", "it clips", "1.235")


def test_work_refuses_what_cannot_be_read(monkeypatch):
    def make(clip: Clip):
        raise UserError("v.mp4: no stream")

    monkeypatch.setitem(worker_pool.WORKER, "make", make)
    data, row = worker_pool.work(CLIP)
    assert (data, row["status"], row["reason"]) == (b"", "refused", "v.mp4: no stream")


def test_a_missing_model_file_reaches_the_user(monkeypatch, tmp_path: Path):
    monkeypatch.setitem(worker_pool.WORKER, "make", UserError("no face model"))
    with pytest.raises(UserError, match="no face model"):
        worker_pool.work(CLIP)


def test_a_model_missing_at_the_first_clip_is_a_setup_error(monkeypatch):
    def make(clip: Clip):
        raise SetupError("no such model")

    monkeypatch.setitem(worker_pool.WORKER, "make", make)
    with pytest.raises(SetupError, match="no such model"):
        worker_pool.work(CLIP)


def test_a_report_row_round_trips_to_its_clip():
    row = {key: str(value) for key, value in worker_pool.row_of(CLIP, "", FOUND).items()}
    assert clip_of_row(row) == CLIP
    assert json.loads(row["traits"]) == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (Seen(True, 0, 8, 1.0, "", ()), "no face found"),
        (Seen(False, 2, 8, 1.0, "", ()), "no sound"),
        (Seen(True, 0, 0, 1.0, "", ("truncated",)), "no pictures; truncated"),
    ],
)
def test_missing_modalities_are_reported(found, reason):
    row = worker_pool.row_of(CLIP, "", found)
    assert (row["status"], row["reason"]) == ("ok", reason)

"""input_pipeline: exactly the wanted clips, in an order that a resumed run repeats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emorec_tf.config.config import DataConfig, TrainConfig
from emorec_tf.errors import UserError
from emorec_tf.records import input_pipeline, records_dir
from emorec_tf.tasks import tasks

CLASSES = ("neutral", "happy", "sad")


def stream(folder: Path, first_epoch: int, **settings: Any) -> list[list[np.ndarray]]:
    """Three epochs' batches of the same stream, from ``first_epoch`` on."""
    records = records_dir.open_records(folder)
    train = TrainConfig(batch_size=5, **settings)
    mean = np.zeros(16, np.float32)
    task = tasks.of(DataConfig(), CLASSES)
    dataset = input_pipeline.TrainingStream(records, records.clips, task, train, mean)
    batches = dataset.batches(first_epoch).take((3 - first_epoch) * (24 // 5))
    return [
        [inputs["audio"].numpy(), inputs["faces"].numpy(), labels.numpy(), weights.numpy()]
        for inputs, labels, weights in batches
    ]


def test_evaluation_gives_every_clip_once_with_its_label(demo_records: Path) -> None:
    records = records_dir.open_records(demo_records)
    wanted = [c for c in records.clips if c.speaker != "actor02"]
    ids = [i.decode() for _, b in input_pipeline.evaluation(records, wanted, 7) for i in b.numpy()]
    assert sorted(ids) == sorted(c.clip_id for c in wanted)


def test_epochs_differ_but_runs_do_not(demo_records: Path) -> None:
    once, again = (stream(demo_records, 0, augment=False) for _ in range(2))
    for a, b in zip(once, again, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert not all(np.array_equal(a[0], b[0]) for a, b in zip(once[:4], once[4:8], strict=True))


def test_resumed_stream_continues_the_uninterrupted_one(demo_records: Path) -> None:
    whole, resumed = stream(demo_records, 0), stream(demo_records, 2)
    for a, b in zip(whole[8:], resumed, strict=True):
        assert np.array_equal(a[1], b[1]), "faces are augmented by the step's own seed"
        assert np.array_equal(a[2], b[2])


def test_statistics_equal_numpy(demo_records: Path) -> None:
    records = records_dir.open_records(demo_records)
    rows = []
    for inputs, _ in input_pipeline.evaluation(records, records.clips):
        rows.append(inputs["audio"].numpy()[inputs["audio_mask"].numpy() > 0])
    frames = np.concatenate(rows)
    mean, deviation = input_pipeline.statistics(records, records.clips)
    np.testing.assert_allclose(mean, frames.mean(0), rtol=1e-4)
    np.testing.assert_allclose(deviation, frames.std(0), rtol=1e-4)


def test_class_weights_balance(demo_records: Path) -> None:
    records = records_dir.open_records(demo_records)
    clips = [c for c in records.clips if c.emotion != "sad" or c.speaker == "actor01"]
    weights = input_pipeline.class_weights(clips, CLASSES)
    totals = [w * sum(c.emotion == n for c in clips) for w, n in zip(weights, CLASSES, strict=True)]
    np.testing.assert_allclose(totals, len(clips) / 3)


def test_batch_larger_than_the_data_is_refused(demo_records: Path) -> None:
    records = records_dir.open_records(demo_records)
    with pytest.raises(UserError, match="batch_size 99"):
        input_pipeline.TrainingStream(
            records,
            records.clips,
            tasks.of(DataConfig(), CLASSES),
            TrainConfig(batch_size=99),
            np.zeros(16),
        )


def test_typical_frames_is_mean_plus_one_deviation(demo_records: Path) -> None:
    records = records_dir.open_records(demo_records)
    masks = [i["audio_mask"].numpy() for i, _ in input_pipeline.evaluation(records, records.clips)]
    lengths = np.concatenate(masks).sum(1)
    wanted = int(lengths.mean() + lengths.std())
    assert input_pipeline.typical_frames(records, records.clips) == wanted


def test_training_draws_some_frames_of_each_clip(demo_records: Path) -> None:
    faces = stream(demo_records, 0, augment=False, train_frames=1)[0][1]
    every = stream(demo_records, 0, augment=False)[0][1]
    assert faces.shape == (5, 1, 24, 24, 1)
    for drawn, own in zip(faces[:, 0], every, strict=True):
        assert any((drawn == frame).all() for frame in own)

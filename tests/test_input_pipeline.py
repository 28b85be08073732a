"""input_pipeline: exactly the wanted clips, in an order that a resumed run repeats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emorec_tf import input_pipeline, records
from emorec_tf.clip import UserError
from emorec_tf.config import TrainConfig

CLASSES = ("neutral", "happy", "sad")


def stream(folder: Path, first_epoch: int, **settings: Any) -> list[list[np.ndarray]]:
    """Three epochs' batches of the same stream, from ``first_epoch`` on."""
    opened = records.open_records(folder)
    train = TrainConfig(batch_size=5, **settings)
    mean = np.zeros(16, np.float32)
    dataset = input_pipeline.training(opened, opened.clips, CLASSES, train, mean, first_epoch)
    batches = dataset.take((3 - first_epoch) * (24 // 5))
    return [
        [inputs["audio"].numpy(), inputs["faces"].numpy(), labels.numpy(), weights.numpy()]
        for inputs, labels, weights in batches
    ]


def test_evaluation_gives_every_clip_once_with_its_label(demo_records: Path) -> None:
    opened = records.open_records(demo_records)
    wanted = [c for c in opened.clips if c.speaker != "actor02"]
    ids = [i.decode() for _, b in input_pipeline.evaluation(opened, wanted, 7) for i in b.numpy()]
    assert sorted(ids) == sorted(c.clip_id for c in wanted)


def test_epochs_differ_but_runs_do_not(demo_records: Path) -> None:
    once, again = (stream(demo_records, 0, augment=False) for _ in range(2))
    for a, b in zip(once, again, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert not all(np.array_equal(a[0], b[0]) for a, b in zip(once[:4], once[4:8], strict=True))


def test_resumed_stream_is_the_rest_of_the_undisturbed_one(demo_records: Path) -> None:
    whole, resumed = stream(demo_records, 0), stream(demo_records, 2)
    for a, b in zip(whole[8:], resumed, strict=True):
        assert np.array_equal(a[1], b[1]), "faces are augmented by the step's own seed"
        assert np.array_equal(a[2], b[2])


def test_statistics_are_numpys(demo_records: Path) -> None:
    opened = records.open_records(demo_records)
    rows = []
    for inputs, _ in input_pipeline.evaluation(opened, opened.clips):
        rows.append(inputs["audio"].numpy()[inputs["audio_mask"].numpy() > 0])
    frames = np.concatenate(rows)
    mean, deviation = input_pipeline.statistics(opened, opened.clips)
    np.testing.assert_allclose(mean, frames.mean(0), rtol=1e-4)
    np.testing.assert_allclose(deviation, frames.std(0), rtol=1e-4)


def test_class_weights_balance(demo_records: Path) -> None:
    opened = records.open_records(demo_records)
    clips = [c for c in opened.clips if c.emotion != "sad" or c.speaker == "actor01"]
    weights = input_pipeline.class_weights(clips, CLASSES)
    totals = [w * sum(c.emotion == n for c in clips) for w, n in zip(weights, CLASSES, strict=True)]
    np.testing.assert_allclose(totals, len(clips) / 3)


def test_batch_larger_than_the_data_is_refused(demo_records: Path) -> None:
    opened = records.open_records(demo_records)
    with pytest.raises(UserError, match="batch_size 99"):
        input_pipeline.training(
            opened, opened.clips, CLASSES, TrainConfig(batch_size=99), np.zeros(16), 0
        )


def test_augmentation_keeps_missing_faces_missing() -> None:
    import tensorflow as tf

    faces = np.random.default_rng(0).integers(1, 255, (2, 3, 16, 16, 1), np.uint8)
    faces[0, 1] = 0
    varied = input_pipeline.varied_faces(tf.constant(faces), tf.constant([1, 2], tf.int64)).numpy()
    assert not varied[0, 1].any()
    assert varied[0, 0].any()
    assert not np.array_equal(varied[1], faces[1])


def test_augmented_voice_stays_masked() -> None:
    import tensorflow as tf

    random = np.random.default_rng(0)
    audio = random.normal(size=(3, 40, 16)).astype(np.float32)
    mask = np.ones((3, 40), np.float32)
    mask[:, 30:] = 0
    mask[2] = 0
    mean = np.full(16, -5.0, np.float32)
    seed = tf.constant([3, 4], tf.int64)
    varied = input_pipeline.varied_voice(tf.constant(audio), tf.constant(mask), mean, seed)
    real = varied["audio_mask"].numpy()
    assert not varied["audio"].numpy()[real == 0].any()
    assert not real[2].any(), "a clip without sound stays without sound"
    assert 20 <= real[0].sum() <= 40

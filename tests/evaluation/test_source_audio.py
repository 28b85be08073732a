"""Test clips decoded again: the same audio as in the records, then corrupted as waveforms."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest

from emorec_tf.config.config import Config, DataConfig
from emorec_tf.errors import UserError
from emorec_tf.evaluation import source_audio
from emorec_tf.records import records_dir, waveform_corruptions
from emorec_tf.training.logits import ClipBatches


@pytest.fixture(scope="module")
def opened(demo_records: Path) -> records_dir.Records:
    return records_dir.open_records(demo_records)


@pytest.fixture(scope="module")
def settings(opened: records_dir.Records) -> Config:
    return Config(data=DataConfig(dataset="demo"), features=opened.features)


def test_the_source_gives_the_audio_of_the_records(opened, settings, demo_clips: Path, caplog):
    clips = opened.clips[:3]
    with caplog.at_level(logging.WARNING):
        audio = source_audio.decoded(settings, opened, str(demo_clips), clips)
    assert not caplog.records
    batches = ClipBatches(opened, clips, keep=True)
    same = source_audio.CorruptedBatches(batches, audio, lambda wave, rate_hz: wave)
    quiet = source_audio.CorruptedBatches(batches, audio, lambda wave, rate_hz: wave / 10)
    (wanted, ids), (found, same_ids), (softer, _) = (next(iter(b)) for b in (batches, same, quiet))
    np.testing.assert_array_equal(ids, same_ids)
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, atol=1e-4)
    assert (softer["audio"] < found["audio"] - 1).any()
    np.testing.assert_array_equal(softer["faces"], found["faces"])


def test_rows_and_what_is_refused(opened, settings, demo_clips: Path, tmp_path: Path):
    clips = opened.clips[:2]
    audio = source_audio.decoded(settings, opened, str(demo_clips), clips)
    batches = ClipBatches(opened, clips, keep=True)

    def level(batches: ClipBatches) -> np.ndarray:
        return np.array([inputs["audio"].mean((1, 2)) for inputs, _ in batches])[0]

    rows = source_audio.rows(
        audio, batches, level, np.zeros(2), lambda truth, found: {"level": float(found.mean())}
    )
    assert [row["condition"] for row in rows] == list(waveform_corruptions.CONDITIONS)
    assert {row["n"] for row in rows} == {2}
    assert len({row["level"] for row in rows}) == len(rows)
    other = [dataclasses.replace(clip, clip_id=f"x{clip.clip_id}") for clip in clips]
    with pytest.raises(UserError, match="lacks 2 of 2 test clips, such as x"):
        source_audio.decoded(settings, opened, str(demo_clips), other)


def test_other_audio_than_in_the_records_is_said(opened, settings, demo_clips: Path, caplog):
    clips = opened.clips[:1]
    changed = dataclasses.replace(
        settings, features=dataclasses.replace(settings.features, clip_seconds=0.5)
    )
    with caplog.at_level(logging.WARNING):
        source_audio.decoded(changed, opened, str(demo_clips), clips)
    assert "1 of 1 clips" in caplog.text

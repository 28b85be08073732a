"""Clips with audio, with a face and with both, of several corpora, in one training by masks."""

from __future__ import annotations

import json
from pathlib import Path

import made_records
import numpy as np
import pytest
from conftest import TRAIN_FLAGS

from emorec_tf.config.clip import Clip, corpus_of
from emorec_tf.config.config import DataConfig, FeaturesConfig, TrainConfig
from emorec_tf.records import input_pipeline, records_dir
from emorec_tf.storage.files import read_csv
from emorec_tf.tasks import tasks
from emorec_tf.tasks.balance import clip_weights
from emorec_tf.train import main as train_main
from emorec_tf.training import experiment, run_dir

THREE = ("neutral", "happy", "sad")
SPEAKERS = {
    "heard/1": THREE,
    "heard/2": THREE,
    "videos/1": THREE,
    "videos/2": THREE,
    "videos/3": THREE,
    "images/1": ("neutral", "happy"),
    "images/2": ("neutral", "happy"),
}
LACKS = {"heard": ("face",), "videos": (), "images": ("audio",)}
SPLIT = ["--test_speakers=videos/3", "--validation_speakers=videos/2,heard/2,images/2"]
FLAGS = [*[flag for flag in TRAIN_FLAGS if "speakers" not in flag], "--epochs=1"]


def lacks(clip: Clip) -> tuple[str, ...]:
    return LACKS[corpus_of(clip.speaker)]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, features: FeaturesConfig) -> Path:
    """Records of a corpus of audio, one of videos with audio, and one of images."""
    return made_records.make(
        tmp_path_factory.mktemp("mixed") / "records", features, lacks, SPEAKERS
    )


def weights_of(run: run_dir.Run) -> dict[str, np.ndarray]:
    return {w.path: np.array(w) for w in run_dir.load_model(run.model_file).trainable_weights}


def test_both_branches_learn_from_the_clips_that_have_them(mixed: Path, tmp_path: Path) -> None:
    where = ["--records", str(mixed), "--fusion=concat", *SPLIT]
    run = tmp_path / "run"
    assert train_main([*where, "--run", str(run), *FLAGS, "--balance=corpora"]) == 0
    found = run_dir.load(run)
    assert json.loads((run / "run.json").read_text()).get("unused", []) == []
    assert found.modalities == ("audio", "face")
    assert found.config.train.balance == "corpora"
    fresh = [*where, "--run", str(tmp_path / "slow"), *FLAGS, "--learning_rate=1e-30"]
    assert train_main([*fresh, "--weight_decay=0"]) == 0
    before = weights_of(run_dir.load(tmp_path / "slow"))
    after = weights_of(found)
    for branch in ("audio", "face"):
        changed = [np.abs(after[p] - before[p]).max() for p in after if p.startswith(branch)]
        assert changed
        assert max(changed) > 1e-5, branch
    rows = read_csv(mixed / records_dir.REPORT)
    audio = {corpus_of(row["speaker"]): row["audio_present"] for row in rows}
    assert audio == {"heard": "1", "videos": "1", "images": "0"}


def test_a_branch_is_unused_only_where_no_training_clip_has_it(mixed: Path) -> None:
    def unused(train: str, validation: str) -> tuple[str, ...]:
        settings, records = experiment.resolve(
            {
                "records": str(mixed),
                "train_speakers": train,
                "validation_speakers": validation,
                "test_speakers": "videos/3",
            }
        )
        return experiment.make(settings, records).unused

    assert unused("heard/1,videos/1,images/1", "videos/2") == ()
    assert unused("heard/1,images/1", "videos/2") == (), "one has audio, the other has faces"
    assert unused("heard/1", "videos/2") == ("face",)
    assert unused("images/1", "videos/2") == ("audio",)


def test_audio_is_standardised_over_the_clips_that_have_some(mixed: Path) -> None:
    records = records_dir.open_records(mixed)
    heard = [clip for clip in records.clips if corpus_of(clip.speaker) != "images"]
    whole = input_pipeline.statistics(records, records.clips)
    for found, expected in zip(whole, input_pipeline.statistics(records, heard), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_clips_of_a_batch_have_the_weights_of_their_corpora(mixed: Path) -> None:
    records = records_dir.open_records(mixed)
    task = tasks.of(DataConfig(), THREE)
    settings = TrainConfig(batch_size=len(records.clips), balance="corpora", augment=False)
    mean = np.zeros(records.features.audio_width, np.float32)
    stream = input_pipeline.TrainingStream(records, records.clips, task, settings, mean)
    inputs, labels, weights = next(iter(stream.batches(0)))
    heard, seen = (inputs[f"{kind}_mask"].numpy().any(1) for kind in ("audio", "face"))
    corpora = np.where(heard & seen, "videos", np.where(heard, "heard", "images"))
    clips = records.clips
    every = clip_weights([c.speaker for c in clips], [c.emotion for c in clips])
    for corpus in LACKS:
        for number, emotion in enumerate(THREE):
            chosen = (corpora == corpus) & (labels.numpy().argmax(1) == number)
            own = [(corpus_of(c.speaker), c.emotion) == (corpus, emotion) for c in clips]
            np.testing.assert_allclose(weights.numpy()[chosen], every[own], rtol=1e-6)
    totals = [float(weights.numpy()[corpora == corpus].sum()) for corpus in LACKS]
    np.testing.assert_allclose(totals, len(clips) / 3, rtol=1e-6)

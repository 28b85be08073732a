"""Branches with loaded, fixed weights: a classical head stands on them without any pretraining."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import made_records
import numpy as np
import pytest
from face_nets import branch

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.records import records_dir
from emorec_tf.train import main as train_main
from emorec_tf.training import run_dir

BLOCKS = (16, 24)
PEOPLE = ["--test_speakers=4", "--validation_speakers=3", "--batch_size=4", "--epochs=1"]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory, features: FeaturesConfig) -> Path:
    folder = tmp_path_factory.mktemp("made") / "records"
    return made_records.make(folder, features, lambda clip: ("face",) * clip.clip_id.endswith("1"))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The net of a branch alone, with its layers at the top level as training saves it."""
    keras.utils.clear_session()
    net = branch(f"expression_net(blocks={BLOCKS})", pixels=48)
    net.save(tmp_path / "net.keras")
    return tmp_path / "net.keras"


@pytest.mark.parametrize(
    "more", [["--classifier=lda()"], ["--learning_rate=0.01"]], ids=["lda", "gradient"]
)
def test_a_run_holds_the_weights_itself(
    records: Path, weights: Path, tmp_path: Path, features: FeaturesConfig, more: list[str]
) -> None:
    face = f"expression_net(blocks={BLOCKS}, weights='{weights}', frozen=True, pool='statistics')"
    where = ["--records", str(records), "--run", str(tmp_path / "run"), f"--face={face}"]
    assert train_main([*where, "--fusion=face_only", *PEOPLE, *more]) == 0
    theirs = run_dir.load_model(weights)
    weights.unlink()
    run = run_dir.load(tmp_path / "run")
    model = run_dir.load_model(run.model_file)
    inner = model.get_layer("face_branch")
    assert inner.trainable_weights == []
    kernels = [w for w in inner.weights if np.prod(w.shape) >= 1024]
    before = [w for w in theirs.weights if np.prod(w.shape) >= 1024]
    assert len(kernels) == len(before) > 4
    for found, kept in zip(kernels, before, strict=True):
        np.testing.assert_array_equal(found, np.asarray(kept).astype(np.float16))
    assert dataclasses.replace(run.config.features) == records_dir.open_records(records).features


def test_free_weights_need_training(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--records", str(records), "--run", str(tmp_path / "run"), "--fusion=face_only"]
    assert train_main([*where, f"--face=expression_net(blocks={BLOCKS})", "--classifier=lda()"])
    assert "no config of it trains this run's face_branch" in capsys.readouterr().err

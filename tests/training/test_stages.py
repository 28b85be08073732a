"""Pretraining stages: branches first, then the fusion, in real runs on demo records."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import TRAIN_FLAGS

from emorec_tf.config import config
from emorec_tf.errors import UserError
from emorec_tf.evaluate import main as evaluate_main
from emorec_tf.models import model as models
from emorec_tf.records import input_pipeline
from emorec_tf.records import records_dir as records
from emorec_tf.train import main as train_main
from emorec_tf.training import experiment, run_dir, stages, train_run

pytestmark = pytest.mark.slow

COMMON = [f for f in TRAIN_FLAGS if "learning_rate" not in f]
AUDIO = 'audio: "conv1d(filters=8, blocks=2)"\nfusion: audio_only\nepochs: 2\nbatch_size: 4\n'
FACE = 'face: "alexnet(width=0.1, dense=8)"\nfusion: face_only\nepochs: 2\nbatch_size: 4\n'
FUSED = "pretrain: voice, face\nfreeze_branches: true\naugment: false\nmodality_dropout: 0.0\n"
AVERAGE = f"{FUSED}fusion: weighted_average(audio_weight=0.5)\nepochs: 5\n"


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("configs")
    (folder / "voice.yaml").write_text(AUDIO)
    (folder / "face.yaml").write_text(FACE + "seed: 7\ntest_speakers: actor01\n")
    (folder / "fused.yaml").write_text(FUSED + "fusion: concat(units=4, dropout=0.0)\nepochs: 2\n")
    (folder / "head.yaml").write_text("pretrain: voice,face\nclassifier: logreg(trials=4)\n")
    return folder


def command(records: Path, config: Path, run: Path, *more: str) -> list[str]:
    return ["--config", str(config), "--records", str(records), "--run", str(run), *COMMON, *more]


@pytest.fixture(scope="module")
def fused(configs: Path, demo_records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stages") / "fused"
    assert train_main(command(demo_records, configs / "fused.yaml", folder)) == 0
    return folder


def stage(run: Path, name: str) -> run_dir.Run:
    (found,) = (run.parent / "first").glob(f"{name}-*")
    return run_dir.load(found)


def times(folder: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*.keras")}


def weights(run: run_dir.Run, layer: str) -> list[np.ndarray]:
    return run_dir.load_model(run.model_file).get_layer(layer).get_weights()


def test_stages_are_runs_of_their_own_on_the_same_speakers(fused: Path) -> None:
    whole = run_dir.load(fused)
    assert len(whole.history) == 2
    for name, fusion in (("voice", "audio_only"), ("face", "face_only")):
        first = stage(fused, name)
        assert first.split == whole.split, "no stage may see a test speaker"
        assert first.config.data == whole.config.data
        assert first.config.train.seed == 0
        assert first.config.model.fusion == fusion
        assert first.temperature is not None
        noted = whole.steps[first.folder.name]
        assert noted["config"].endswith(f"{name}.yaml")
        assert noted["val_uar"] == max(float(r["val_uar"]) for r in first.history)


def test_frozen_branches_are_those_of_the_stages(fused: Path) -> None:
    whole = run_dir.load(fused)
    for name, branch in (("voice", "audio_branch"), ("face", "face_branch")):
        for ours, theirs in zip(
            weights(whole, branch), weights(stage(fused, name), branch), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    model = run_dir.load_model(whole.model_file, for_training=True)
    assert model.trainable_weights
    assert not model.get_layer("audio_branch").trainable_weights
    assert int(model.optimizer.iterations.numpy()) == 2 * (12 // 4)


def test_a_finished_run_no_longer_needs_its_stages(
    fused: Path, configs: Path, demo_records: Path, tmp_path: Path, capsys
) -> None:
    copy = tmp_path / "alone"
    shutil.copytree(fused, copy)
    assert train_main(command(demo_records, configs / "fused.yaml", copy)) == 0
    assert "is finished" in capsys.readouterr().out
    assert evaluate_main(["--run", str(copy)]) == 0
    assert not (tmp_path / "first").exists()


def test_neighbouring_runs_share_stages(
    fused: Path, configs: Path, demo_records: Path, capsys
) -> None:
    before = times(fused.parent / "first")
    beside = fused.parent / "head"
    assert train_main(command(demo_records, configs / "head.yaml", beside)) == 0
    assert times(fused.parent / "first") == before
    said = capsys.readouterr().out
    assert said.count("trained already") == 2
    assert "best of 4 trials" in said
    run = run_dir.load(beside)
    assert run.is_finished()
    assert [r["epoch"] for r in run.history] == ["1"]
    assert run.temperature is not None
    assert type(run_dir.load_model(run.model_file).layers[-1]).__name__ == "Dense"
    assert evaluate_main(["--run", str(beside)]) == 0
    assert train_main(command(demo_records, configs / "head.yaml", beside)) == 0
    assert "head is finished (1 epochs)" in capsys.readouterr().out
    files = [p for p in fused.parent.rglob("*") if p.is_file()]
    assert not [
        p for p in files if p.suffix in (".pickle", ".pkl") or p.read_bytes()[:1] == b"\x80"
    ]


def test_a_run_without_trainable_weights_takes_one_epoch(
    fused: Path, configs: Path, demo_records: Path, capsys
) -> None:
    """A fixed average of frozen branches with their own heads has nothing to train."""
    (configs / "average.yaml").write_text(AVERAGE)
    folder = fused.parent / "average"
    arguments = command(demo_records, configs / "average.yaml", folder)
    before = {p: p.stat().st_mtime_ns for p in (fused.parent / "first").rglob("*.keras")}
    for more in ([], ["--overwrite"]):
        assert train_main([*arguments, *more]) == 0
        assert {
            p: p.stat().st_mtime_ns for p in (fused.parent / "first").rglob("*.keras")
        } == before
    run = run_dir.load(folder)
    assert not run_dir.load_model(run.model_file).trainable_weights
    assert len(run.history) == 1
    assert train_main(arguments) == 0
    assert "average is finished (1 epochs)" in capsys.readouterr().out


def test_a_changed_stage_is_refused(
    fused: Path, configs: Path, demo_records: Path, tmp_path: Path, capsys
) -> None:
    shutil.copytree(configs, tmp_path / "configs")
    config, audio = (tmp_path / "configs" / f"{name}.yaml" for name in ("fused", "voice"))
    audio.write_text(AUDIO + "dropout_that_is_none: 1\n")
    assert train_main(command(demo_records, config, fused)) == 1
    assert "dropout_that_is_none" in capsys.readouterr().err
    audio.write_text(AUDIO.replace("epochs: 2", "epochs: 3"))
    assert train_main(command(demo_records, config, fused, f"--pretrain={audio}")) == 1
    assert "pretrain was" in capsys.readouterr().err
    kept = (configs / "voice.yaml").read_text()
    (configs / "voice.yaml").write_text(audio.read_text())
    assert train_main(command(demo_records, configs / "fused.yaml", fused)) == 1
    (configs / "voice.yaml").write_text(kept)
    assert "a config or run of pretrain has changed" in capsys.readouterr().err


def test_frozen_branches_stay_in_inference_mode(fused: Path, demo_records: Path) -> None:
    """Dropout and batch norm are inactive even while the surrounding model is trained."""
    model = run_dir.load_model(fused / "best.keras")
    opened_records = records.open_records(demo_records)
    batch, _ = next(iter(input_pipeline.evaluation(opened_records, opened_records.clips)))
    below, above = models.above_branches(model)
    at_rest, trained = below(batch, training=False), below(batch, training=True)
    for name, values in at_rest.items():
        np.testing.assert_array_equal(values, trained[name])
    np.testing.assert_allclose(above(at_rest), model(batch), atol=1e-6)
    free = run_dir.load_model(stage(fused, "face").model_file).get_layer("face_branch")
    faces = {name: batch[name] for name in ("faces", "face_mask")}
    same = np.array_equal(free(faces, training=True)[0], free(faces, training=False)[0])
    assert not same, "the branch has dropout, so the test above says something"


def test_a_run_killed_in_a_stage_resumes_there(
    configs: Path, demo_records: Path, tmp_path: Path, capsys
) -> None:
    (configs / "long.yaml").write_text(AUDIO.replace("epochs: 2", "epochs: 30"))
    (configs / "after.yaml").write_text(
        "pretrain: long\nfusion: audio_only\nfreeze_branches: true\n"
    )
    arguments = command(demo_records, configs / "after.yaml", tmp_path / "run")
    process = subprocess.Popen(
        [sys.executable, "-m", "emorec_tf.train", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not list(tmp_path.glob("first/long-*/history.csv")) and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = stage(tmp_path / "run", "long").history
    assert 1 <= len(before) < 30, "killed too late to test anything"
    assert not (tmp_path / "run" / "last.keras").exists()
    assert train_main(arguments) == 0
    capsys.readouterr()
    history = stage(tmp_path / "run", "long").history
    assert [r["epoch"] for r in history] == [str(e) for e in range(1, 31)]
    assert history[: len(before) - 1] == before[:-1], "finished epochs are not trained again"
    assert run_dir.load(tmp_path / "run").is_finished()


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        ("pretrain: voise\n", [], "voise; did you mean 'voice'"),
        ("pretrain: head\n", [], "has stages of its own"),
        ("classifier: svm\n", [], "--pretrain"),
        ("pretrain: voice\nclassifier: svm\nfusion: weighted_average\n", [], "concat"),
        ("pretrain: voice\nclassifier: svm(kernel='cubic')\n", [], "linear, poly, rbf or any"),
        ("pretrain: voice\nclassifier: svn\n", [], "unknown classifier 'svn'"),
        ("freeze_branches: true\n", [], "pretrain"),
    ],
)
def test_wrong_stages_are_refused_in_one_line(
    text: str, more: list[str], said: str, configs: Path, demo_records: Path, tmp_path: Path, capsys
) -> None:
    (configs / "wrong.yaml").write_text(text)
    arguments = command(demo_records, configs / "wrong.yaml", tmp_path / "run", *more)
    assert train_main(arguments) == 1
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir()), "a refused run leaves nothing behind"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "pretrain: voice\nfreeze_branches: true\n",
            "no config of it trains this run's face_branch",
        ),
        ("pretrain: face\nfusion: audio_only\n", "fits this run's model"),
        ("pretrain: voice\nfusion: audio_only\nstandardise: scalar\n", "standardise"),
    ],
)
def test_stages_that_do_not_fit_are_refused_in_one_line(
    text: str, said: str, configs: Path, demo_records: Path, tmp_path: Path, capsys
) -> None:
    (configs / "unfit.yaml").write_text(text)
    folder = tmp_path / "unfit"
    assert train_main(command(demo_records, configs / "unfit.yaml", folder)) == 1
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir()), "neither the run nor a stage was started"


def test_a_stage_is_not_trained_again_as_a_run(
    fused: Path, demo_records: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "emorec_tf")
    done = stage(fused, "voice")
    opened_records = records.open_records(demo_records)
    first = fused.parent / "first"
    own = experiment.make(done.config, opened_records, done.split)
    run = train_run.train(own, tmp_path / "run", shared_stages=first)
    assert "trained already, as a stage" in caplog.text
    assert run.history == done.history
    for name in ("audio_branch", "audio_head"):
        for kept, trained in zip(weights(run, name), weights(done, name), strict=True):
            np.testing.assert_array_equal(kept, trained)


def test_a_stage_config_keeps_the_types_of_its_fields(tmp_path):
    file = tmp_path / "net.yaml"
    file.write_text("learning_rate: 3e-3\nprecision: mixed_bfloat16\n")
    settings = config.build({"ensemble": str(file), "precision": "float32", "seed": 4})
    own = stages.of_file(file, settings)
    assert own.train.learning_rate == 0.003, "which YAML 1.1 takes for a word"
    assert own.train.seed == 4
    assert own.train.precision == "mixed_bfloat16", "a network of its own"
    first = config.build({"pretrain": str(file)})
    assert stages.of_file(file, first).train.precision == "float32", "a part of the network"
    for line, said in (
        ("epochs: many", "epochs is 'many'; it must be a whole number"),
        ("learning_rate: fast", "fast"),
    ):
        file.write_text(line)
        with pytest.raises(UserError, match=rf"net\.yaml: .*{said}"):
            stages.of_file(file, settings)


def test_a_rename_changes_no_fingerprint():
    settings = config.build({"pretrain": "voice.yaml", "freeze_branches": True})
    names = stages.first_named(config.flat(settings))
    assert names["train_first"] == "voice.yaml"
    assert names["frozen"] is True
    assert not {"pretrain", "freeze_branches"} & set(names)
    assert list(names.values()) == list(config.flat(settings).values())
    old = {"classifier": "lda(shrinkage=0.3, offsets=0.6)", "modality": "01"}
    new = {"classifier": "lda(shrinkage=0.3, speaker_shrinkage=0.6)", "modality": "audio_visual"}
    for values in (old, new):
        first = stages.first_named(config.flat(config.build(values)))
        assert {name: first[name] for name in old} == old

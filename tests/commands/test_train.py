"""train: a run can be killed and resumed, and keeps to its split."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import TRAIN_FLAGS

from emorec_tf.errors import UserError
from emorec_tf.train import main as train_main
from emorec_tf.training import run_dir


def command(folder: Path, run: Path, *more: str) -> list[str]:
    return ["--records", str(folder), "--run", str(run), *TRAIN_FLAGS, *more]


def test_run_directory_holds_what_later_commands_need(demo_run: Path) -> None:
    loaded = run_dir.load(demo_run)
    assert loaded.classes == ("neutral", "happy", "sad")
    assert loaded.split.test == ("actor04",)
    assert not set(loaded.split.train) & {"actor03", "actor04"}
    assert [r["epoch"] for r in loaded.history] == ["1", "2", "3"]
    assert yaml.safe_load((demo_run / "config.yaml").read_text())["mel_bands"] == 16
    assert list((demo_run / "logs").rglob("events*"))
    model = run_dir.load_model(loaded.model_file)
    assert {"audio_branch", "face_branch"} <= {layer.name for layer in model.layers}


def test_statistics_come_from_training_speakers_alone(demo_run: Path, demo_records: Path) -> None:
    from emorec_tf.records import input_pipeline, records_dir
    from emorec_tf.splits import splits

    loaded = run_dir.load(demo_run)
    records = records_dir.open_records(demo_records)
    clips = splits.clips_of(records.clips, loaded.split.train)
    mean, _ = input_pipeline.statistics(records, clips)
    layer = run_dir.load_model(loaded.model_file).get_layer("standardise")
    assert layer.mean.shape[-1] == 16
    assert abs(layer.mean.numpy().ravel() - mean).max() < 1e-4


def test_finished_run_is_left_alone(
    demo_run: Path, demo_records: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (demo_run / "best.keras").read_bytes()
    assert train_main(command(demo_records, demo_run, "--epochs=3")) == 0
    assert "is finished" in capsys.readouterr().out
    assert (demo_run / "best.keras").read_bytes() == before


def test_other_settings_need_another_run(
    demo_run: Path, demo_records: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_main(command(demo_records, demo_run, "--epochs=4")) == 1
    assert "epochs was 3, is 4" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_run_resumes_from_the_last_epoch(
    demo_records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    arguments = command(demo_records, folder, "--epochs=40", "--fusion=audio_only")
    process = subprocess.Popen(
        [sys.executable, "-m", "emorec_tf.train", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not (folder / "history.csv").exists() and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = run_dir.load(folder).history
    assert 1 <= len(before) < 40, "killed too late to test anything"
    assert train_main(arguments) == 0
    said = capsys.readouterr().out
    history = run_dir.load(folder).history
    assert [r["epoch"] for r in history] == [str(e) for e in range(1, 41)]
    whole = [b for b in before if f"going on after epoch {b['epoch']}\n" in said]
    assert whole or f"going on after epoch {len(before) - 1}" in said or len(before) == 1
    assert history[: len(before) - 1] == before[:-1], "finished epochs are not trained again"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--test_speakers=actor99"], "actor99"),
        (["--train_speakers=actor01,actor04"], "actor04 are in both train and test"),
        (["--validation_speakers=actor04"], "actor04 are in both validation and test"),
        (["--mel_bands=20"], "mel_bands=16, not 20"),
        (["--fusion=concatt"], "concat"),
        (["--audio=lstm(unist=3)"], "units"),
        (["--batch_size=500"], "batch_size 500"),
        (["--records=nowhere"], "nowhere"),
        (["--classes=7"], "classes"),
        (["--enrol=6"], "leaves none to score"),
        (["--enrol=0"], "a number of clips from 1, or self"),
    ],
)
def test_wrong_inputs_are_refused_in_one_line(
    more: list[str],
    said: str,
    demo_records: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train_main([*command(demo_records, tmp_path / "run"), *more]) == 1
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists(), "a refused run leaves nothing behind"


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("--face=landmark_distances", "prepare with --face_mesh"),
        ("--audio=conv1d(filters=8, blocks=12)", "blocks is 12"),
    ],
)
def test_a_network_that_cannot_be_built_leaves_nothing_behind(
    network: str,
    said: str,
    demo_records: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = command(demo_records, tmp_path / "run", "--epochs=1")
    assert train_main([*arguments, network]) == 1
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_patience_ends_a_run() -> None:
    uars = [0.2, 0.5, 0.5, 0.4]
    assert run_dir.best_epoch(uars) == 3
    assert run_dir.best_epoch([0.9, 0.1]) == 1


def test_damaged_model_is_named(demo_run: Path, tmp_path: Path) -> None:
    data = bytearray((demo_run / "best.keras").read_bytes())
    for position in range(len(data) // 2, len(data) // 2 + 64):
        data[position] ^= 0xFF
    (tmp_path / "best.keras").write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        run_dir.load_model(tmp_path / "best.keras")

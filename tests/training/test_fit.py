"""fit: two processes train a run as one would, even when one of them is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import TRAIN_FLAGS
from machines_here import free_ports, team_config

from emorec_tf.train import main as train_main
from emorec_tf.training import run_dir
from emorec_tf.training.distributed import cluster

# random draws inside the network differ between machines; augmentation does not
UNDRAWN = [
    *TRAIN_FLAGS,
    "--audio=conv1d(filters=8, blocks=2, dropout=0.0)",
    "--face=alexnet(width=0.1, dense=8, dropout=0.0)",
    "--fusion=concat(dropout=0.0)",
    "--modality_dropout=0",
    "--learning_rate=0.001",
    "--epochs=12",
]


def started(arguments: Sequence[str], index: int, ports: list[int]) -> subprocess.Popen[str]:
    variables = {"TF_CONFIG": team_config(ports, index), "EMOREC_MEET_SECONDS": "200"}
    return subprocess.Popen(
        [sys.executable, "-m", "emorec_tf.train", *arguments],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def pair(arguments: Sequence[str]) -> list[subprocess.Popen[str]]:
    ports = free_ports(2)
    return [started(arguments, index, ports) for index in (0, 1)]


def epochs(folder: Path, column: str = "loss") -> np.ndarray:
    return np.array([float(row[column]) for row in run_dir.load(folder).history])


def killed(arguments: Sequence[str], folder: Path, victim: int, rows: int) -> str:
    """Kill one of two processes after some epochs; return the output of the other."""
    both = pair(arguments)
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline and all(process.poll() is None for process in both):
        if (folder / "history.csv").exists() and len(epochs(folder)) >= rows:
            break
        time.sleep(0.05)
    os.killpg(both[victim].pid, signal.SIGKILL)
    said = [process.communicate(timeout=200)[0] for process in both]
    assert both[victim].returncode == -signal.SIGKILL, said
    assert both[1 - victim].returncode == 1, said
    return said[1 - victim]


@pytest.mark.slow
def test_two_killed_and_restarted_processes_train_as_one_uninterrupted(
    demo_records: Path, tmp_path: Path
) -> None:
    common, folder = ["--records", str(demo_records), *UNDRAWN], tmp_path / "two"
    assert train_main([*common, "--run", str(tmp_path / "one")]) == 0
    arguments = [*common, "--run", str(folder)]
    for victim, rows in ((1, 1), (0, 3)):
        said = killed(arguments, folder, victim, rows)
        assert "another machine was lost, or ended" in said
        assert "Traceback" not in said
    both = pair(arguments)
    outputs = [process.communicate(timeout=400)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert "going on after epoch" in outputs[0]
    for column in ("loss", "val_loss"):
        one, two = epochs(tmp_path / "one", column), epochs(folder, column)
        np.testing.assert_allclose(two, one, rtol=0, atol=1e-3, err_msg=column)
    written = {path.name for path in folder.iterdir()}
    assert {"best.keras", "last.keras", "temperature.json", "logs"} <= written
    assert len(list((folder / "logs" / "train").glob("events*"))) <= 3, "the chief alone writes"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--batch_size=5"], "does not divide by 2 replicas; the nearest that do: 4 or 6"),
        (["--classifier=lda()"], "classifier is the work of one process; unset TF_CONFIG"),
    ],
)
def test_settings_that_several_machines_cannot_run_are_refused_first(
    more: list[str],
    said: str,
    demo_records: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cluster, "team", lambda: cluster.Team(("here:1", "there:1"), 0))
    arguments = ["--records", str(demo_records), "--run", str(tmp_path / "run"), *TRAIN_FLAGS]
    if "lda" in more[0]:
        more = [*more, "--audio=functionals", "--fusion=audio_only"]
    assert train_main([*arguments, *more]) == 1
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()

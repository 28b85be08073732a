"""replicas: devices and machines that share a batch train as a single device would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest
import replica_worker
from machines_here import free_ports, team_config
from places import ROOT

from emorec_tf.training.distributed import replicas

WORKER = str(ROOT / "tests" / "replica_worker.py")
PRECISIONS = ("float32", "mixed_bfloat16")


def started(devices: int, precisions: tuple[str, ...], config: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, WORKER, str(devices), *precisions],
        env={**os.environ, "TF_CONFIG": config},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def results_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said[-3000:]
    line = next(text for text in said.splitlines() if text.startswith("RESULT "))
    return dict(json.loads(line.removeprefix("RESULT ")))


@pytest.fixture(scope="module")
def one() -> dict[str, Any]:
    return {precision: replica_worker.trained(precision) for precision in PRECISIONS}


@pytest.mark.slow
def test_two_devices_train_as_one(one: dict[str, Any]) -> None:
    """Gradients (by the resulting weights), weighted metrics, batch normalisation."""
    two = results_of(started(2, PRECISIONS))
    for precision, limit in (("float32", 1e-5), ("mixed_bfloat16", 2e-2)):
        own, theirs = one[precision], two[precision]
        assert (own["replicas"], theirs["replicas"]) == (1, 2)
        for name in ("loss", "war", "weights"):
            np.testing.assert_allclose(theirs[name], own[name], rtol=0, atol=limit, err_msg=name)
        assert theirs["answers"] == [3, 3], "each clip is answered once"


@pytest.mark.slow
def test_two_processes_train_as_one(one: dict[str, Any]) -> None:
    ports = free_ports(2)
    pair = [started(1, ("float32",), team_config(ports, index)) for index in (1, 0)]
    for process in pair:
        theirs = results_of(process)["float32"]
        assert theirs["replicas"] == 2
        for name in ("loss", "war", "weights"):
            own = one["float32"][name]
            np.testing.assert_allclose(theirs[name], own, rtol=0, atol=1e-5, err_msg=name)


def test_only_known_keras_versions_are_repaired(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "emorec_tf")
    assert replicas.needs_repair("3.15.1")
    assert not replicas.needs_repair("3.99.0")
    assert not replicas.needs_repair("4.0.0")
    assert replicas.class_for(several_machines=False) is replicas.Replicated
    assert not caplog.messages
    monkeypatch.setattr(keras, "__version__", "3.99.0")
    assert replicas.class_for(several_machines=True) is replicas.Replicated
    assert "Keras 3.99.0 is not known to need the repair" in caplog.text


def test_saved_layers_keep_no_trace_of_replicas() -> None:
    whole = replica_worker.network()
    with replicas.over_all_replicas(whole):
        assert [layer.synchronized for layer in replicas.batch_norms(whole)] == [True]
    assert [layer.synchronized for layer in replicas.batch_norms(whole)] == [False]

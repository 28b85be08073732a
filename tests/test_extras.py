"""What setup.py leaves to extras: where it is missing, one line says which extra has it."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from typing import Any

import pytest
import setuptools
from places import ROOT

from emorec_tf.errors import SetupError
from emorec_tf.storage import object_store
from emorec_tf.tuning import search_run

NAMED = re.compile(r"emorec-tf\[(\w+)\]")


@pytest.fixture(scope="module")
def packaging() -> dict[str, Any]:
    """What setup.py gives to setuptools."""
    given: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", lambda **facts: given.update(facts))
        runpy.run_path(str(ROOT / "setup.py"))
    return given


def test_every_extra_that_a_message_names_exists(packaging: dict[str, Any]) -> None:
    files = (ROOT / "emorec_tf").rglob("*.py")
    named = {name for file in files for name in NAMED.findall(file.read_text(encoding="utf-8"))}
    assert {"s3", "tune", "mediapipe", "onnx"} <= named <= set(packaging["extras_require"])


def test_all_has_every_extra_of_one_machine(packaging: dict[str, Any]) -> None:
    extras = packaging["extras_require"]
    for name in set(extras) - {"all", "test", "beam", "gpu"}:
        assert set(extras[name]) <= set(extras["all"]), name
    assert set(extras["all"]) <= set(extras["test"])


def test_the_lock_has_all_that_is_needed(packaging: dict[str, Any]) -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = {line.split("==")[0] for line in lock.splitlines()}
    wanted = packaging["install_requires"] + packaging["extras_require"]["all"]
    names = {re.split(r"[<>=;\[]", line)[0].strip().lower() for line in wanted} - {"tensorflow"}
    assert names <= locked
    assert "tensorflow-cpu" in locked
    assert sum("opencv" in name for name in locked) == 1


def test_buckets_without_tensorflow_io(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)
    object_store.file_system.cache_clear()
    with pytest.raises(SetupError, match=r"pip install 'emorec-tf\[s3\]'$"):
        object_store.file_system("s3")


def test_a_search_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(SetupError, match=r"pip install 'emorec-tf\[tune\]'$"):
        search_run.tune(None)


def test_saved_models_open_without_the_extras() -> None:
    """Opening a model imports every module that may hold one of its layers."""
    missing = ("pandas", "tensorflow_io", "dlib", "mediapipe", "onnx", "onnxruntime", "fastapi")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({missing}))\n"
        "from emorec_tf.training import saved_layers\n"
        "saved_layers.register()\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr

"""What setup.py leaves to extras: where it is missing, one line says which extra has it."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import setuptools
from places import ROOT

from emorec_tf.errors import SetupError
from emorec_tf.models.classical import head_search
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


@pytest.mark.parametrize("package", ["keras_tuner", "pandas"])
def test_a_search_without_its_packages(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SetupError, match=r"pip install 'emorec-tf\[tune\]'$"):
        search_run.tune(None)  # type: ignore[arg-type]


def test_a_search_of_heads_without_keras_tuner(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "keras_tuner", None)
    with pytest.raises(SetupError, match=r"pip install 'emorec-tf\[tune\]'$"):
        head_search._oracle(None, tmp_path, 0)  # type: ignore[arg-type]

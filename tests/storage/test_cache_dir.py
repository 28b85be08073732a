"""cache_folder: one place for everything that can be regenerated."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from emorec_tf.storage.cache_dir import CACHE_VARIABLE, cache_folder


def test_emorec_cache_variable_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, "/elsewhere")
    assert cache_folder() == Path("/elsewhere")
    assert cache_folder("models", "a.onnx") == Path("/elsewhere/models/a.onnx")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for unset in ("", None):
        if unset is None:
            monkeypatch.delenv(CACHE_VARIABLE)
        else:
            monkeypatch.setenv(CACHE_VARIABLE, unset)
        assert cache_folder("decoded") == Path.home() / ".cache" / "emorec_tf" / "decoded"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other places")
def test_xdg_cache_home_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/scratch/cache")
    assert cache_folder("models") == Path("/scratch/cache/emorec_tf/models")

"""cache_folder: one place for all that can be made again."""

from __future__ import annotations

from pathlib import Path

import pytest

from emorec_tf.storage.cache_dir import CACHE_VARIABLE, cache_folder


def test_the_variable_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, "/elsewhere")
    assert cache_folder() == Path("/elsewhere")
    assert cache_folder("models", "a.onnx") == Path("/elsewhere/models/a.onnx")
    for unset in ("", None):
        if unset is None:
            monkeypatch.delenv(CACHE_VARIABLE)
        else:
            monkeypatch.setenv(CACHE_VARIABLE, unset)
        assert cache_folder("decoded") == Path.home() / ".cache" / "emorec_tf" / "decoded"

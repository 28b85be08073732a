"""Shared by the tests of datasets: files on disk, and the line that a source is refused with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from emorec_tf.datasets.corpora import clips
from emorec_tf.errors import UserError


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Mapping[str, str]], str]:
    """Return a function that makes files {path: text} below a folder and returns the folder."""

    def files(texts: Mapping[str, str]) -> str:
        for path, text in texts.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text, encoding="utf-8")
        return str(tmp_path)

    return files


@pytest.fixture
def make(write: Callable[[Mapping[str, str]], str]) -> Callable[..., str]:
    """Return a function that makes empty files, or files of one text, and returns the folder."""

    def files(*paths: str, text: str = "") -> str:
        return write(dict.fromkeys(paths, text))

    return files


@pytest.fixture
def refused() -> Callable[..., str]:
    """Return a function that reads clips and returns the one line they are refused with."""

    def message_of(*args: Any, **kwargs: Any) -> str:
        with pytest.raises(UserError) as error:
            clips(*args, **kwargs)
        message = str(error.value)
        assert "\n" not in message
        return message

    return message_of

"""Files and folders are replaced atomically; the old version is removed last."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emorec_tf.features import decode_cache
from emorec_tf.storage import paths
from emorec_tf.storage.files import put_in_place, remove, write_atomically


def filled(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "a").write_text(text)
    return folder


def test_a_folder_replaces_an_older_one(tmp_path: Path) -> None:
    target = filled(tmp_path / "model", "old")
    put_in_place(filled(tmp_path / ".draft", "new"), target)
    assert (target / "a").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_the_older_folder_is_restored_when_replacing_fails(tmp_path: Path) -> None:
    target = filled(tmp_path / "model", "old")
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "no such draft", target)
    assert (target / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_copy_left_by_a_kill_is_kept_until_the_new_one_is_in_place(tmp_path: Path) -> None:
    """A process that was killed between the two renames left only the old one."""
    old = filled(tmp_path / ".model.old", "old")
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "no such draft", tmp_path / "model")
    assert (tmp_path / "model" / "a").read_text() == "old"
    put_in_place(filled(tmp_path / ".draft", "new"), tmp_path / "model")
    assert (tmp_path / "model" / "a").read_text() == "new"
    assert not old.exists()


def test_removing_a_link_keeps_its_target(tmp_path: Path) -> None:
    target = filled(tmp_path / "elsewhere", "kept")
    link = tmp_path / "link"
    link.symlink_to(target, target_is_directory=True)
    remove(link)
    remove(link)
    assert not link.is_symlink()
    assert (target / "a").read_text() == "kept"


def full_disk(*arguments: Any, **_: Any) -> None:
    """Write a part, as far as a path is among the arguments, then fail."""
    for path in [a for a in arguments if isinstance(a, Path)][-1:]:
        with path.open("wb") as file:
            file.write(b"half")
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


def drafted(target: Path) -> None:
    with paths.local_draft(target, "a.tmp.keras") as draft:
        draft.write_text("half")
        raise RuntimeError("what Keras may raise")


def copied(target: Path) -> None:
    paths.copy(target.with_name("source"), target)


def cached(target: Path) -> None:
    decode_cache.write(decode_cache.Cache(target.parent, 100), "key", ({}, {}))


@pytest.mark.parametrize(
    ("write", "owner", "name", "broken"),
    [
        (lambda target: write_atomically(target, "new"), os, "fsync", full_disk),
        (lambda target: write_atomically(target, "new"), os, "fsync", interrupted),
        (copied, shutil, "copyfile", full_disk),
        (copied, shutil, "copyfile", interrupted),
        (cached, Path, "write_bytes", full_disk),
        (cached, Path, "write_bytes", interrupted),
        (drafted, os, "fsync", full_disk),
    ],
)
def test_a_writer_that_fails_leaves_the_old_file_alone(
    write: Callable[[Path], None],
    owner: Any,
    name: str,
    broken: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "source").write_text("new")
    (tmp_path / "target").write_text("old")
    monkeypatch.setattr(owner, name, broken)
    raised: BaseException | None = None
    try:
        write(tmp_path / "target")
    except (OSError, RuntimeError, KeyboardInterrupt) as error:
        raised = error
    monkeypatch.undo()
    assert raised or write is cached, "the cache goes on without an entry"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["source", "target"]
    assert (tmp_path / "target").read_text() == "old"

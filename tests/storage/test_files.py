"""Files and folders are replaced atomically; the old version is removed last."""

from __future__ import annotations

from pathlib import Path

import pytest

from emorec_tf.storage.files import put_in_place, remove


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

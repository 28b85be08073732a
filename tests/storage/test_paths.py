"""URLs behave like paths, and whole commands run on a local S3 server."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from conftest import FEATURE_FLAGS, TRAIN_FLAGS

from emorec_tf.config.clip import Clip
from emorec_tf.errors import SetupError, UserError
from emorec_tf.evaluate import main as evaluate_main
from emorec_tf.prepare import main as prepare_main
from emorec_tf.records.worker_pool import localised
from emorec_tf.storage import paths
from emorec_tf.storage.paths import Remote, copy, local_copy, local_draft, place, remove_tree
from emorec_tf.train import main as train_main
from emorec_tf.training import run_dir


def test_local_paths_are_unchanged(tmp_path: Path) -> None:
    assert type(place("a/b")) is type(Path("a/b"))
    assert place(tmp_path) == tmp_path
    (tmp_path / "a").write_text("whole")
    with local_copy(tmp_path / "a") as here:
        assert here == tmp_path / "a"


@pytest.mark.parametrize(
    "path",
    [
        Remote("s3://b/x/y"),
        place("s3://b") / "x" / "y",
        place("s3://b/x/z").with_name("y"),
        place("s3://b/x/y/z.txt").parent,
        place("s3://b/other/../x/./y/"),
        place(Remote("s3://b/x/y")),
        pickle.loads(pickle.dumps(Remote("s3://b/x/y"))),
        Remote("s3://b/x/y").resolve(),
    ],
)
def test_urls_keep_their_form(path: Path) -> None:
    assert isinstance(path, Remote)
    assert (str(path), os.fspath(path), f"{path}") == ("s3://b/x/y",) * 3
    assert path.name == "y"


def test_object_storage_answers_like_local_paths(s3: str, tmp_path: Path) -> None:
    folder = place(f"{s3}/objects")
    assert not folder.exists()
    (folder / "a" / "é.txt").write_text("größe\n")
    (folder / "b.bin").write_bytes(bytes(range(256)))
    assert folder.is_dir()
    assert not folder.is_file()
    assert place(s3).is_dir()
    assert [p.name for p in folder.iterdir()] == ["a", "b.bin"]
    assert [str(p) for p in folder.glob("*/é.txt")] == [f"{s3}/objects/a/é.txt"]
    assert (folder / "a" / "é.txt").read_text() == "größe\n"
    assert paths.size_of(folder / "b.bin") == 256
    copy(folder / "b.bin", tmp_path / "b.bin")
    copy(tmp_path / "b.bin", folder / "c.bin")
    copy(folder / "c.bin", folder / "d.bin")
    assert (folder / "d.bin").read_bytes() == bytes(range(256))
    with local_copy(folder / "d.bin") as here:
        assert (here.name, here.read_bytes()) == ("d.bin", bytes(range(256)))
    assert not here.exists()
    (folder / "d.bin").unlink()
    (folder / "d.bin").unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError, match=r"d\.bin"):
        (folder / "d.bin").read_bytes()
    remove_tree(folder)
    remove_tree(folder)
    assert not folder.exists()


def write_half(target: Path) -> None:
    with local_draft(target, "tmp.keras") as draft:
        draft.write_text("half")
        raise OSError("disk full")


def test_a_failed_draft_leaves_no_file(s3: str, tmp_path: Path) -> None:
    for folder in (place(f"{s3}/drafts"), tmp_path):
        target = folder / "model.keras"
        with pytest.raises(OSError, match="full"):
            write_half(target)
        assert not target.exists()
        with local_draft(target, "tmp.keras") as draft:
            draft.write_text("whole")
        assert target.read_text() == "whole"
    assert [p.name for p in tmp_path.iterdir()] == ["model.keras"]


def test_transient_errors_are_retried(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "PAUSES_SECONDS", (0.0, 0.0))
    troubles = [tf.errors.UnavailableError(None, None, "busy")] * 2

    def question(files: object, url: str) -> str:
        if troubles:
            raise troubles.pop()
        return url

    remote: Any = place(f"{s3}/x")
    assert remote._ask(question) == f"{s3}/x"
    troubles += [tf.errors.UnavailableError(None, None, "busy")] * 3
    with pytest.raises(SetupError, match="busy; repeat the command"):
        remote._ask(question)


def test_errors_name_a_fetched_clip_by_its_url(s3: str) -> None:
    place(f"{s3}/clips/a.wav").write_bytes(b"abc")
    clip = Clip("a", "1", "sad", None, f"{s3}/clips/a.wav")
    fetched = []

    def read(clip: Clip) -> None:
        with localised(clip) as here:
            fetched.append(Path(str(here.audio)))
            assert fetched[0].read_bytes() == b"abc"
            raise UserError(f"{here.audio}: no sound")

    with pytest.raises(UserError, match=f"^{s3}/clips/a.wav: no sound$"):
        read(clip)
    assert not fetched[0].exists()


@pytest.mark.slow
def test_prepare_train_and_evaluate_on_s3(
    s3: str,
    demo_clips: Path,
    demo_records: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in demo_clips.rglob("*.*"):
        copy(file, place(f"{s3}/demo") / str(file.relative_to(demo_clips)))
    where = ["--source", f"{s3}/demo", "--records", f"{s3}/records"]
    flags = ["--dataset=demo", "--workers=1", "--clips_per_shard=5", *FEATURE_FLAGS]
    assert prepare_main([*where, *flags]) == 0
    for shard in demo_records.glob("*.tfrecord"):
        assert (place(f"{s3}/records") / shard.name).read_bytes() == shard.read_bytes()
    assert not place(f"{s3}/records/.partial").exists()
    assert prepare_main([*where, *flags]) == 0
    assert "nothing to do" in capsys.readouterr().out

    run = ["--run", f"{s3}/runs/demo"]
    assert train_main(["--records", f"{s3}/records", *run, "--epochs=1", *TRAIN_FLAGS]) == 0
    assert train_main(["--records", f"{s3}/records", *run, "--epochs=1", *TRAIN_FLAGS]) == 0
    assert "is finished" in capsys.readouterr().out
    assert evaluate_main(run) == 0
    loaded = run_dir.load(f"{s3}/runs/demo")
    assert len(loaded.history) == 1
    metrics = json.loads((loaded.folder / "metrics.json").read_text())
    assert metrics["coverage"]["clips"] == 6
    assert list((loaded.folder / "logs" / "train").iterdir())  # for TensorBoard
    assert list(tmp_path.iterdir()) == []

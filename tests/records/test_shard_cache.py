"""shard_cache: complete copies that are reused and never overfill the disk."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from emorec_tf.errors import UserError
from emorec_tf.records import records_dir, shard_cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EMOREC_CACHE", str(tmp_path))
    monkeypatch.setattr(shard_cache, "READING", [])  # locks end with the test
    return tmp_path / "shards"


def test_copies_are_complete_and_reused(
    demo_records: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "emorec_tf")
    records = records_dir.open_records(demo_records)
    paths = shard_cache.copied(records)
    for own, copy in zip(records.shards, paths, strict=True):
        assert Path(own).read_bytes() == Path(copy).read_bytes()
    assert "5 of 5 new" in caplog.text
    Path(paths[1]).write_bytes(b"cut")
    assert shard_cache.copied(records) == paths
    assert "1 of 5 new" in caplog.text
    assert Path(paths[1]).read_bytes() == Path(records.shards[1]).read_bytes()


def test_damaged_shards_are_not_kept(demo_records: Path, cache: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(demo_records, tmp_path / "damaged")
    records = records_dir.open_records(folder)
    shard = Path(records.shards[0])
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(UserError, match=f"{shard.name} is damaged"):
        shard_cache.copied(records)
    assert not list(cache.glob("*.shard"))
    assert not list(cache.glob("*.tmp"))


def test_a_full_disk_is_reported_before_copying(
    demo_records: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_cache, "LEFT_FREE", 1.0)
    with pytest.raises(UserError, match="give --cache none, or set EMOREC_CACHE"):
        shard_cache.copied(records_dir.open_records(demo_records))
    assert not list(cache.glob("*.shard"))


def test_copies_of_other_records_are_removed_first(
    demo_records: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir()
    old, killed = cache / f"old{shard_cache.SUFFIX}", cache / "half.1.tmp"
    old.write_bytes(b"x" * 10)
    killed.write_bytes(b"x")
    records = records_dir.open_records(demo_records)
    needed = sum(Path(s).stat().st_size for s in records.shards)
    monkeypatch.setattr(shard_cache, "room", lambda _: 0 if old.exists() else needed)
    shard_cache.read_here(cache)  # a run that is reading here
    with pytest.raises(UserError, match="give --cache none"):
        shard_cache.copied(records)
    assert old.exists()
    shard_cache.READING.pop().release()
    shard_cache.copied(records)
    assert not old.exists()
    assert not killed.exists()


def test_copies_stay_while_another_process_reads(cache: Path, tmp_path: Path) -> None:
    """Several may read at once; their locks go with them, even when they are killed."""
    cache.mkdir()
    old = cache / f"old{shard_cache.SUFFIX}"
    old.write_bytes(b"x")
    code = (
        "import sys, time; from pathlib import Path; from emorec_tf.records import shard_cache\n"
        "shard_cache.read_here(Path(sys.argv[1])); print('reads', flush=True); time.sleep(60)"
    )
    with ExitStack() as stack:
        command = [sys.executable, "-c", code, str(cache)]
        readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        for reader in readers:
            stack.enter_context(reader)
            stack.callback(reader.kill)
            assert reader.stdout is not None
            assert reader.stdout.readline() == "reads\n"
        for reader in readers:
            with pytest.raises(UserError, match="cache disk"):
                shard_cache.make_room(cache, 1 << 60, [])
            assert old.exists()
            reader.kill()
            reader.wait()
        with pytest.raises(UserError, match="cache disk"):
            shard_cache.make_room(cache, 1 << 60, [])
        assert not old.exists()

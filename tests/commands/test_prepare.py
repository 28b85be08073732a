"""prepare: complete, repeatable, resumable; refused clips are reported."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import FEATURE_FLAGS

from emorec_tf.features import decode_cache
from emorec_tf.prepare import main as prepare_main
from emorec_tf.records import records_dir
from emorec_tf.storage.files import file_check, read_csv


def command(source: Path, folder: Path, *more: str) -> list[str]:
    where = ["--dataset=demo", "--source", str(source), "--records", str(folder)]
    return [*where, "--workers=1", "--clips_per_shard=5", *FEATURE_FLAGS, *more]


def shards(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.glob("*.tfrecord"))}


def test_manifest_report_and_shards_agree(demo_records: Path) -> None:
    records = records_dir.open_records(demo_records)
    assert len(records.clips) == 24
    assert [s["count"] for s in records.manifest["shards"]] == [5, 5, 5, 5, 4]
    for shard in records.manifest["shards"]:
        check = file_check(demo_records / shard["name"])
        assert check == {"bytes": shard["bytes"], "sha256": shard["sha256"]}
    rows = read_csv(demo_records / "report.csv")
    assert {r["status"] for r in rows} == {"ok"}
    assert all(r["audio_present"] == "1" and int(r["faces_found"]) >= 1 for r in rows)
    assert all(1 <= float(r["valence"]) <= 5 for r in rows)


def test_second_run_does_nothing(
    demo_clips: Path, demo_records: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p: p.stat().st_mtime_ns for p in demo_records.iterdir()}
    assert prepare_main(command(demo_clips, demo_records)) == 0
    assert "nothing to do" in capsys.readouterr().out
    after = {p: p.stat().st_mtime_ns for p in demo_records.iterdir() if p.name != ".lock"}
    assert after == {p: t for p, t in before.items() if p.name != ".lock"}


def test_workers_end_without_a_traceback(demo_clips: Path, tmp_path: Path) -> None:
    """They hold functions of TensorFlow, which fail where they outlive its modules."""
    arguments = command(demo_clips, tmp_path / "records")
    run = [sys.executable, "-m", "emorec_tf.prepare", *arguments]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bytes(
    demo_clips: Path, demo_records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "records"
    arguments = command(demo_clips, folder, "--cache_gib=0")  # slow enough to be killed
    process = subprocess.Popen(
        [sys.executable, "-m", "emorec_tf.prepare", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not list(folder.glob(".partial/shard-*.json")) and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / records_dir.MANIFEST).exists(), "killed too late to test anything"
    assert prepare_main(arguments) == 0
    assert "going on after" in capsys.readouterr().out
    assert shards(folder) == shards(demo_records)
    assert not (folder / ".partial").exists()


def test_other_settings_do_not_overwrite(
    demo_clips: Path, demo_records: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = shards(demo_records)
    assert prepare_main([*command(demo_clips, demo_records), "--mel_bands=17"]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert shards(demo_records) == before


def test_a_warm_cache_gives_the_same_bytes(
    demo_clips: Path, demo_records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_cache = tmp_path / "cache"
    monkeypatch.setenv("EMOREC_CACHE", str(own_cache))
    assert prepare_main(command(demo_clips, tmp_path / "cold")) == 0
    entries = set((own_cache / "decoded").iterdir())
    assert len(entries) == 48  # audio and video of 24 clips
    for entry in entries:
        os.utime(entry, (0, 0))
    assert prepare_main(command(demo_clips, tmp_path / "again")) == 0
    assert shards(tmp_path / "again") == shards(demo_records)
    assert set((own_cache / "decoded").iterdir()) == entries
    assert sum(entry.stat().st_mtime > 0 for entry in entries) == 48


def test_the_cache_is_emptied_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EMOREC_CACHE", str(tmp_path))
    cache = decode_cache.bounded(1.0)
    decode_cache.write(cache, "a", ({}, {"a": np.zeros(2**20)}))
    (tmp_path / "decoded" / "letter.txt").write_text("not ours")
    assert prepare_main(["--clear_cache"]) == 0
    said = capsys.readouterr().out
    assert "freed 0.008 GiB" in said
    assert str(tmp_path / "decoded") in said
    assert [path.name for path in (tmp_path / "decoded").iterdir()] == ["letter.txt"]


def broken(kind: str, whole: bytes) -> bytes:
    """Bytes of a video that is damaged in one way."""
    return {"text": b"this is a text\n" * 50, "zero": b"", "cut": whole[: len(whole) // 2]}[kind]


def test_broken_clips_are_refused_and_the_rest_prepared(
    demo_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, folder = tmp_path / "corpus", tmp_path / "records"
    videos = sorted((demo_clips / "clips").glob("actor01_*.mp4"))
    lines = ["path,emotion,speaker"]
    source.mkdir()
    for video in videos[:2]:
        shutil.copy(video, source)
        lines.append(f"{video.name},happy,a")
    for kind in ("text", "zero", "cut"):
        (source / f"{kind}.mp4").write_bytes(broken(kind, videos[0].read_bytes()))
        lines.append(f"{kind}.mp4,sad,b")
    (source / "labels.csv").write_text("\n".join(lines))
    arguments = ["--dataset=folder", *command(source, folder)[1:]]
    assert prepare_main(arguments) == 1
    error = capsys.readouterr().err
    for kind in ("text", "zero", "cut"):
        assert sum(f"{kind}.mp4" in line for line in error.splitlines()) == 1
    assert "3 of 5 clips refused" in error
    rows = {r["clip_id"]: r for r in read_csv(folder / "report.csv")}
    assert [r["status"] for r in rows.values()].count("ok") == 2
    assert all(rows[kind]["reason"] for kind in ("text", "zero", "cut"))
    assert prepare_main([*arguments, "--allow_refused"]) == 0


def test_missing_files_and_pointers_can_be_refused_clips(
    demo_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, folder = tmp_path / "corpus", tmp_path / "records"
    source.mkdir()
    shutil.copy(next((demo_clips / "clips").glob("actor01_*.mp4")), source / "a.mp4")
    (source / "lfs.mp4").write_text("version https://git-lfs.github.com/spec/v1\n")
    rows = ["path,emotion,speaker", "a.mp4,happy,a", "gone.mp4,sad,b", "lfs.mp4,sad,b"]
    (source / "labels.csv").write_text("\n".join(rows))
    arguments = ["--dataset=folder", *command(source, folder)[1:]]
    assert prepare_main(arguments) == 1
    assert "1 of 3 rows name no file, the first in row 3: gone.mp4" in capsys.readouterr().err
    assert prepare_main([*arguments, "--allow_refused"]) == 0
    reasons = {row["clip_id"]: row["reason"] for row in read_csv(folder / "report.csv")}
    assert "gone.mp4: no such file" in reasons["gone"]
    assert "lfs.mp4: cannot be read" in reasons["lfs"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--source=nowhere", "--records=r"], "nowhere"),
        (["--source=.", "--records=r", "--dataset=ravdes"], "ravdess"),
        (["--source=empty", "--records=r"], "empty"),
        (["--records=r", "--dataset=ravdess"], "--source"),
        (["--source=corpus", "--records=r", "--cache_gib=-1"], "cache_gib"),
        (["--config=c.yaml", "--source=.", "--records=r"], "face_pixels"),
    ],
)
def test_wrong_inputs_are_refused_in_one_line(
    arguments: list[str],
    said: str,
    demo_clips: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    shutil.copytree(demo_clips, tmp_path / "corpus")
    (tmp_path / "c.yaml").write_text("face_pixel: 32\n")
    assert prepare_main(arguments) == 1
    error = capsys.readouterr().err.strip()
    assert said in error
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1


def test_manifest_names_the_settings(demo_records: Path) -> None:
    manifest = json.loads((demo_records / records_dir.MANIFEST).read_text())
    assert manifest["features"]["mel_bands"] == 16
    assert manifest["dataset"] == "demo"
    assert "demo" in manifest["label_meaning"]

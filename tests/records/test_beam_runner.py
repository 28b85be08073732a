"""Apache Beam writes the same files as local processes, even with damaged clips."""

from __future__ import annotations

import importlib.util
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import fragile_work
import pytest
from conftest import FEATURE_FLAGS

from emorec_tf.config.clip import Clip
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.errors import UserError
from emorec_tf.prepare import main as prepare_main
from emorec_tf.records import local_runner, prepare_records, shards, worker_pool

if TYPE_CHECKING:
    from types import ModuleType

THREADS = "--runner=DirectRunner --direct_num_workers=2 --direct_running_mode=multi_threading"
DAMAGE = {"cut": lambda whole: whole[: len(whole) // 2], "empty": lambda whole: b""}


@pytest.fixture
def beam_runner() -> ModuleType:
    pytest.importorskip("apache_beam", reason="Apache Beam is an extra")
    return prepare_records._beam_runner()


def light_pool(count: int, settings: worker_pool.Settings) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(count, get_context("spawn"))


@pytest.fixture
def light_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "work", fragile_work.work)
    monkeypatch.setattr(worker_pool, "make_pool", light_pool)


def job_in(folder: Path) -> shards.Job:
    shards.begin(folder, "plan")
    return shards.Job(str(folder), (FeaturesConfig(), None, None, None))


def files(folder: Path) -> dict[str, bytes]:
    there = [p for p in folder.rglob("*") if p.is_file() and p.name != ".lock"]
    return {p.name: p.read_bytes() for p in there if not p.name.startswith("clips-")}


@pytest.mark.slow
def test_a_corpus_with_damaged_clips(
    beam_runner: ModuleType, demo_clips: Path, tmp_path: Path
) -> None:
    videos = sorted((demo_clips / "clips").glob("*.mp4"))[:4]
    lines = ["path,emotion,speaker"]
    (tmp_path / "corpus").mkdir()
    for video in videos:
        shutil.copy(video, tmp_path / "corpus")
        lines.append(f"{video.name},happy,a")
    for name, damage in DAMAGE.items():
        (tmp_path / "corpus" / f"{name}.mp4").write_bytes(damage(videos[0].read_bytes()))
        lines.append(f"{name}.mp4,sad,b")
    (tmp_path / "corpus" / "labels.csv").write_text("\n".join(lines))
    where = ["--dataset=folder", "--source", str(tmp_path / "corpus"), "--clips_per_shard=4"]
    where += ["--workers=1", "--allow_refused", *FEATURE_FLAGS]
    assert prepare_main([*where, "--records", str(tmp_path / "local")]) == 0
    beam = ["--runner", "beam", "--beam_options", THREADS]
    assert prepare_main([*where, "--records", str(tmp_path / "beam"), *beam]) == 0
    found = files(tmp_path / "beam")
    assert found == files(tmp_path / "local")
    assert sorted(found) == ["records.json", "report.csv"] + [
        f"shard-0000{n}.tfrecord" for n in (0, 1)
    ]
    assert found["report.csv"].count(b"refused") == 2


def test_a_clip_that_crashes_its_process_is_refused(
    beam_runner: ModuleType, light_work: None, tmp_path: Path
) -> None:
    names = [["a", "crash1"], ["b"], ["crash2", "c"]]
    parts = {n: [Clip(name, "1", "sad", f"{name}.mp4") for name in p] for n, p in enumerate(names)}
    local_runner.make_all(job_in(tmp_path / "local"), parts, workers=2)
    beam_runner.make_all(job_in(tmp_path / "beam"), parts, given="")
    assert files(tmp_path / "beam") == files(tmp_path / "local")
    assert all(shards.is_whole(tmp_path / "beam", number) for number in parts)


def test_a_setup_error_stops_the_job_in_one_line(
    beam_runner: ModuleType, light_work: None, tmp_path: Path
) -> None:
    parts = {n: [Clip(name, "1", "sad", "v.mp4")] for n, name in enumerate(("a", "setup"))}
    job = job_in(tmp_path)
    with pytest.raises(UserError) as stopped:
        beam_runner.make_all(job, parts, given="")
    said = "no face model here; fetch it (on Apache Beam; repeat the command)"
    assert str(stopped.value) == said
    assert not shards.is_whole(tmp_path, 1)


def test_lists_of_clips_round_trip(beam_runner: ModuleType, tmp_path: Path) -> None:
    clip = Clip("a", "1", "sad", "v.mp4", None, "s", 2.5, None, 0.5, 1.5, {"sex": "female"})
    path = beam_runner.clips_file(tmp_path, 7)
    path.parent.mkdir()
    beam_runner.write_clips(path, [clip])
    assert beam_runner.read_clips(path) == [clip]
    with pytest.raises(UserError, match="where all workers reach them"):
        beam_runner.read_clips(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--beam_options", "--direct_num_workers=two"], "invalid int value: 'two'"),
        (["--beam_options", "--direct_num_workers='2"], "No closing quotation"),
    ],
)
def test_options_that_beam_refuses(
    options: list[str],
    said: str,
    beam_runner: ModuleType,
    demo_clips: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    where = ["--source", str(demo_clips), "--records", str(tmp_path / "r"), "--runner=beam"]
    assert prepare_main([*where, *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --beam_options")
    assert said in line


def test_without_beam(
    demo_clips: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    where = ["--source", str(demo_clips), "--records", str(tmp_path / "r")]
    assert prepare_main([*where, "--runner=beam"]) == 1
    assert prepare_main([*where, "--beam_options=--streaming"]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == "error: --runner beam needs Apache Beam; pip install 'emorec-tf[beam]'"
    assert "--beam_options are for --runner beam" in second

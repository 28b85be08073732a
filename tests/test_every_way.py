"""One video through every interface: all give the probabilities of evaluation.

All share the decoder and the face detector; a SavedModel, a LiteRT and an ONNX file get the
samples and crops and compute everything else in their own runtimes.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import DETECTOR
from places import DATA

from emorec_tf import export
from emorec_tf.api import load
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.evaluate import main as evaluate_main
from emorec_tf.exporting import parity
from emorec_tf.exporting.export_graph import serving
from emorec_tf.inference import predictor
from emorec_tf.predict import main as predict_main
from emorec_tf.prepare import main as prepare_main
from emorec_tf.records import records_dir
from emorec_tf.training import logits as answers
from emorec_tf.training import run_dir

pytest.importorskip("ai_edge_litert", reason="needs the extra [export]")
pytest.importorskip("tf2onnx", reason="needs the extra [export]")
pytest.importorskip("fastapi", reason="needs the extra [serve]")

from over_http import reached
from untrained_runs import on_disk

from emorec_tf.serving import app

pytestmark = pytest.mark.slow

REAL = DATA / "ravdess"
TOLERANCE = 1e-4
EXACT = ("saved_model", "litert", "onnx")
Shares = dict[str, float]


def exported(run: Path, out: Path) -> Path:
    import keras

    keras.utils.clear_session()  # operation names start again, as in a separate process
    assert export.main(["--run", str(run), "--out", str(out), f"--format={','.join(EXACT)}"]) == 0
    return out


def by_predict(run: Path, video: Path, capsys: pytest.CaptureFixture[str]) -> Shares:
    capsys.readouterr()
    assert predict_main([str(video), "--run", str(run), "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out)["probabilities"])


def by_http(run: Path, video: Path) -> Shares:
    with reached(app.app(predictor.load(str(run)))) as client:
        answer = client.post("/predict", files={"clip": (video.name, video.read_bytes())})
    assert answer.status_code == 200
    return dict(answer.json()["probabilities"])


def by_runtime(exported: Path, run: Path, video: Path, name: str) -> Shares:
    loaded = run_dir.load(run)
    served = serving(loaded, run_dir.load_model(loaded.model_file))
    (case,) = parity.clip_cases(served, [str(video)], None, None)
    made = export.FORMATS[name]
    found = made.read(exported / made.place)(case.raw)["probabilities"][0]
    return dict(zip(loaded.classes, map(float, found), strict=True))


def all_equal(
    run: Path, exported: Path, video: Path, wanted: Shares, capsys: pytest.CaptureFixture[str]
) -> None:
    ways: dict[str, Callable[[], Shares]] = {
        "predict": lambda: by_predict(run, video, capsys),
        "python": lambda: load(run).predict_clip(video)["probabilities"],
        "http": lambda: by_http(run, video),
    }
    for name in EXACT:
        ways[name] = lambda name=name: by_runtime(exported, run, video, name)  # type: ignore[misc]
    assert sum(wanted.values()) == pytest.approx(1, abs=1e-4)
    assert (
        max(wanted.values()) - min(wanted.values()) > 0.01
    )  # otherwise equality would mean little
    for name, ask in ways.items():
        assert ask() == pytest.approx(wanted, abs=TOLERANCE), name


def test_a_demo_video(
    demo_run: Path, demo_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = min((demo_clips / "clips").glob("actor04_*.mp4"))
    assert evaluate_main(["--run", str(demo_run)]) == 0
    with (demo_run / "predictions.csv").open(encoding="utf-8") as file:
        (row,) = (r for r in csv.DictReader(file) if Path(r["clip_id"]).name == video.stem)
    wanted = {name: float(row[name]) for name in run_dir.load(demo_run).classes}
    all_equal(demo_run, exported(demo_run, tmp_path / "exported"), video, wanted, capsys)


@pytest.mark.data("ravdess/clips", "ravdess/native")
def test_real_videos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    videos = [REAL / "clips/Actor_12/01-01-05-02-02-01-12.mp4"]
    videos += [REAL / "native/Actor_01/01-01-08-01-01-02-01.mp4"]
    features = FeaturesConfig(face_detector=DETECTOR, face_frames=4)  # type: ignore[arg-type]
    folder = on_disk(tmp_path / "run", features)
    source = tmp_path / "source"
    source.mkdir()
    for video in videos:
        shutil.copy(video, source)
    where = ["--dataset=ravdess", f"--source={source}", f"--records={tmp_path / 'records'}"]
    flags = [f"--face_detector={DETECTOR}", "--face_frames=4", "--workers=1"]
    assert prepare_main([*where, *flags]) == 0
    run, there = run_dir.load(folder), records_dir.open_records(tmp_path / "records")
    logits, clips = answers.logits_of(
        run_dir.load_model(run.model_file), answers.ClipBatches(there, there.clips)
    )
    of_video = {Path(str(c.video)).name: row for c, row in zip(clips, logits, strict=True)}
    out = exported(folder, tmp_path / "exported")
    for video in videos:
        shares = np.ravel(run.task.predictions(of_video[video.name][None], run.temperature))
        wanted = dict(zip(run.classes, map(float, shares), strict=True))
        all_equal(folder, out, video, wanted, capsys)

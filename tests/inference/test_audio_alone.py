"""A model that uses audio alone never looks for faces: neither detector nor mesh is loaded."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from conftest import DETECTOR
from untrained_runs import on_disk

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.features import face_detection
from emorec_tf.inference import predictor
from emorec_tf.inference.live_stream import Stream
from emorec_tf.inference.long_media import Settings
from emorec_tf.inference.media_answer import answer_media
from emorec_tf.inference.model import Model
from emorec_tf.predict import main as predict_main
from emorec_tf.prepare import main as prepare_main

FEATURES = FeaturesConfig(
    face_detector=DETECTOR,  # type: ignore[arg-type]
    face_align="mesh",
    face_mesh=True,
    face_sampling="adaptive",  # refuses clips with too few faces, where faces matter
    sample_rate_hz=8000,
    clip_seconds=1.5,
    mel_bands=16,
    mel_max_hz=4000.0,
    face_frames=2,
    face_pixels=24,
)


def refused(*_: object) -> None:
    raise AssertionError("a face model was loaded")


@pytest.fixture
def faceless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that finds faces can be loaded, in worker processes neither."""
    (tmp_path / "mediapipe.py").write_text("raise ImportError('a face model was loaded')")
    path = [str(tmp_path), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    for package in ("mediapipe", "dlib", "ai_edge_litert", "tensorflow.lite.python.interpreter"):
        monkeypatch.setitem(sys.modules, package, None)
    for name in face_detection.FACE_DETECTORS:
        monkeypatch.setitem(face_detection.FACE_DETECTORS, name, refused)
    monkeypatch.setattr(face_detection, "face_mesh", refused)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return on_disk(tmp_path_factory.mktemp("runs") / "audio", FEATURES, fusion="audio_only")


@pytest.fixture(scope="module")
def video(demo_clips: Path) -> str:
    return str(min((demo_clips / "clips").glob("actor03*.mp4")))


@pytest.mark.usefixtures("faceless")
@pytest.mark.parametrize("windows", ["off", "on"])
def test_a_video_is_answered_by_its_audio(run: Path, video: str, windows: str) -> None:
    answer = answer_media(predictor.load(str(run)), video, Settings(windows=windows)).answer
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert answer["audio_present"]
    assert not answer["face_present"]
    assert answer["face_coverage"] == 0


def test_the_answer_is_the_one_with_faces(
    run: Path, video: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = predictor.load(str(run))
    both.reader.with_faces = both.assembler.with_faces = True
    seen = answer_media(both, video, Settings(windows="off")).answer
    assert seen["face_present"]
    request.getfixturevalue("faceless")
    unseen = answer_media(predictor.load(str(run)), video, Settings(windows="off")).answer
    assert unseen["probabilities"] == seen["probabilities"]


@pytest.mark.usefixtures("faceless")
def test_arrays_inputs_and_a_live_stream(run: Path, video: str) -> None:
    model = Model(predictor.load(str(run)))
    assert not model.inputs([video])["face_mask"].any()
    stream = Stream(video, model)
    assert any(probabilities for _, probabilities in stream)


@pytest.mark.usefixtures("faceless")
def test_the_commands(
    run: Path, video: str, demo_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict_main(["--run", str(run), "--json", video]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert json.loads(next(line for line in lines if line.startswith("{")))["emotion"]
    where = ["--source", str(demo_clips), "--records", str(tmp_path / "records"), "--workers=1"]
    flags = ["--face_frames=0", "--sample_rate_hz=8000", "--clip_seconds=1.5", "--mel_bands=16"]
    assert prepare_main(["--dataset=demo", *where, *flags, "--mel_max_hz=4000"]) == 0

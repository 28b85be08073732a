"""Reimplemented baselines: a config says what defines each, and runs end to end when shrunk."""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from places import ROOT

from emorec_tf import export
from emorec_tf.config import choices, config
from emorec_tf.config.config import Config
from emorec_tf.evaluate import main as evaluate_main
from emorec_tf.predict import main as predict_main
from emorec_tf.prepare import main as prepare_main
from emorec_tf.train import main as train_main

CONFIGS = ROOT / "configs"
BASELINES = (
    "speech_fbank_conv",
    "face_frames_as_channels",
    "face_landmark_distances",
    "audio_visual_concat",
    "alexnet_visual",
    "mfcc_alexnet_cnn",
    "mfcc_lstm",
    "concat_8192",
    "single_frame_weighted_cnn",
    "single_frame_weighted_lstm",
    "multi_frame_weighted_cnn",
    "multi_frame_weighted_lstm",
    "logmel_image_cnn",
    "face_lrcn",
    "late_fusion_nn",
    "late_fusion_logreg",
    "late_fusion_logreg_pca",
    "late_fusion_svm",
)
CLASSES = ("neutral", "happy", "sad", "angry", "fearful", "disgust", "surprised", "boredom")
MESH = {"face_landmark_distances"}


def settings_of(name: str) -> Config:
    return config.build(config.read_yaml(CONFIGS / f"{name}.yaml"))


def built(name: str, classes: int, frames: int | None = None) -> Any:
    from emorec_tf.models import model

    settings = settings_of(name)
    width = settings.features.audio_width
    statistics = np.zeros(width, np.float32), np.ones(width, np.float32)
    return model.build_model(settings, CLASSES[:classes], *statistics, frames)


def trainable(model: Any) -> int:
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


def test_there_are_eighteen_baselines() -> None:
    assert len(BASELINES) == 18
    assert all((CONFIGS / f"{name}.yaml").is_file() for name in BASELINES)


@pytest.mark.parametrize("name", BASELINES)
def test_header_names_the_baseline(name: str) -> None:
    lines = (CONFIGS / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    header = [line for line in lines if line.startswith("#")]
    assert header[0].startswith("# Baseline 00")
    assert len(header) >= 3


@pytest.mark.parametrize(
    ("name", "frames", "count"),
    [
        # 691 and 692 frames: mean plus deviation of the original corpus
        ("speech_fbank_conv", 691, 767_492),
        ("face_frames_as_channels", None, 887_156),
        ("face_landmark_distances", None, 23_300),
        ("audio_visual_concat", 692, 1_670_516),
    ],
)
def test_parameters_are_the_published_ones(name: str, frames: int | None, count: int) -> None:
    assert trainable(built(name, 4, frames)) == count


def shapes(name: str) -> dict[str, tuple[int, ...]]:
    model = built(name, 7)
    return {
        part: tuple(model.get_layer(f"{part}_branch").output[0].shape[1:])
        for part in ("audio", "face")
        if any(layer.name == f"{part}_branch" for layer in model.layers)
    }


def test_features_that_the_fusions_join() -> None:
    assert shapes("concat_8192") == {"audio": (1, 4096), "face": (9, 4096)}
    assert shapes("single_frame_weighted_lstm")["audio"] == (1, 128)
    assert shapes("late_fusion_nn") == {"audio": (1, 1000), "face": (1, 400)}


def test_weighted_fusions_learn_three_numbers() -> None:
    for name in ("single_frame_weighted_cnn", "multi_frame_weighted_lstm"):
        model = built(name, 7)
        layer = next(x for x in model.layers if type(x).__name__ == "SharedWeights")
        assert trainable(layer) == 3
        assert settings_of(name).train.freeze_branches


def test_audio_is_cut_into_the_published_frames() -> None:
    features = settings_of("mfcc_lstm").features
    assert (features.audio_frames, features.audio_width) == (282, 20)
    assert features.sample_rate_hz == 48000
    features = settings_of("logmel_image_cnn").features
    assert (features.clip_seconds, features.audio_width) == (3.0, 128)
    features = settings_of("speech_fbank_conv").features
    assert (features.sample_rate_hz, features.audio_width, features.hop_samples) == (16000, 23, 160)


def test_frames_are_the_published_ones() -> None:
    crops = settings_of("face_frames_as_channels").features
    assert (crops.face_frames, crops.face_pixels, crops.face_sampling) == (8, 100, "adaptive")
    assert settings_of("alexnet_visual").features.face_pixels == 224
    assert settings_of("alexnet_visual").train.train_frames == 1
    faces = settings_of("face_lrcn").features
    assert (faces.face_frames, faces.face_pixels, faces.face_channels) == (20, 48, 1)


# -- end to end with small networks ---------------------------------------------------------------

SMALL_ARGUMENTS = {
    "width": 0.05,
    "dense": 8,
    "units": 8,
    "filters": 4,
    "hidden": (8, 8),
    "features": 8,
    "pixels": 32,
    "pca": 4,
    "trials": 2,
}


def shrunk(choice: str, kind: str) -> str:
    """The same choice with smaller arguments."""
    name, arguments = choices.check(kind, choice)
    there = choices.entries(kind)[name].arguments
    small = {k: v for k, v in SMALL_ARGUMENTS.items() if there.get(k)}
    arguments |= {k: v for k, v in small.items() if k in arguments or k != "pca"}
    inside = ", ".join(f"{k}={v!r}" for k, v in arguments.items())
    return f"{name}({inside})" if inside else name


@pytest.fixture(scope="module")
def small_configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every config with narrow nets, small face crops and two epochs."""
    folder = tmp_path_factory.mktemp("configs")
    for name in BASELINES:
        values = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
        values.pop("classes", None)
        for kind in ("audio", "face", "fusion", "classifier"):
            if kind in values:
                values[kind] = shrunk(values[kind], kind)
        small = {"dataset": "demo", "clip_seconds": 2.0, "epochs": 2, "batch_size": 4}
        pixels = 32 if values.get("face_pixels", 48) > 48 else values.get("face_pixels", 48)
        small |= {"face_pixels": pixels} if values.get("face_frames") else {}
        values |= small | {"test_speakers": "actor04", "validation_speakers": "actor03"}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def records_of(demo_clips: Path, small_configs: Path, tmp_path_factory: Any) -> Any:
    """Return a function that prepares a config's records, once for each set of features."""
    folder = tmp_path_factory.mktemp("baseline-records")

    def prepared(name: str) -> Path:
        path = small_configs / f"{name}.yaml"
        fingerprint = config.build(config.read_yaml(path)).features.fingerprint()
        where = ["--source", str(demo_clips), "--records", str(folder / fingerprint), "--workers=2"]
        if not (folder / fingerprint / "records.json").exists():
            assert prepare_main(["--config", str(path), *where, "--allow_refused"]) == 0
        return folder / fingerprint

    return prepared


@pytest.mark.slow
@pytest.mark.parametrize("name", BASELINES)
def test_runs_end_to_end(
    name: str,
    small_configs: Path,
    records_of: partial[Path],
    demo_clips: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs = tmp_path_factory.getbasetemp() / "baseline-runs"
    run = str(runs / name)
    where = ["--config", str(small_configs / f"{name}.yaml"), "--records", str(records_of(name))]
    assert train_main([*where, "--run", run]) == 0
    assert evaluate_main(["--run", run]) == 0
    found = json.loads(Path(run, "metrics.json").read_text(encoding="utf-8"))
    assert found["test_speakers"] == ["actor04"]
    assert 0 <= found["uar"] <= 1
    clip = sorted(demo_clips.rglob("actor04*.mp4"))[0]
    capsys.readouterr()
    assert predict_main([str(clip), "--run", run, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert abs(sum(answer["probabilities"].values()) - 1) < 1e-4
    out = str(runs / f"{name}-exported")
    assert export.main(["--run", run, "--format", "saved_model", "--out", out]) == 0


def test_every_config_can_be_read() -> None:
    for path in sorted(CONFIGS.glob("*.yaml")):
        settings = config.build(config.read_yaml(path))
        for kind, choice in vars(settings.model).items():
            if kind in choices.TABLES:
                choices.check(kind, choice)
        assert dataclasses.asdict(settings)

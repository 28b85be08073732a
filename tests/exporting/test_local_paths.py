"""A packaged config names no path of the machine that the model was made on."""

from __future__ import annotations

import dataclasses

import pytest
from untrained_runs import untrained

from emorec_tf.config import choices
from emorec_tf.config.config import Config, build, flat, to_yaml
from emorec_tf.exporting import package_model
from emorec_tf.exporting.local_paths import shortened, without_local_paths
from emorec_tf.training import run_dir


@pytest.mark.parametrize(
    ("setting", "given", "packaged"),
    [
        ("audio", "whisper(weights='/home/x/model.bin')", "whisper(weights='download')"),
        ("audio", "whisper(size='tiny.en', weights='a/model.bin', trainable=1)",
         "whisper(size='tiny.en', weights='download', trainable=1)"),
        ("face", "expression_net(weights='/home/x/net.keras')",
         "expression_net(weights='net.keras')"),
        ("face", "alexnet(weights='imagenet', pixels=224)",
         "alexnet(weights='imagenet', pixels=224)"),
        ("face", r"backbone(weights='C:\\\\nets\\\\b.h5')", "backbone(weights='b.h5')"),
        ("face", "faceres( weights = 'faceres.json' )", "faceres( weights = 'faceres.json' )"),
        ("ensemble", "/home/x/voice.yaml, configs/face.yaml", "voice.yaml,face.yaml"),
        ("pretrain", "runs/first.yaml", "first.yaml"),
        ("records", "/data/records", None),
    ],
)  # fmt: skip
def test_paths_of_the_machine_go(setting, given, packaged):
    settings = build({setting: given})
    cleaned = without_local_paths(settings)
    assert flat(cleaned)[setting] == packaged
    rest = flat(settings) | {"records": None, setting: packaged}
    assert flat(cleaned) == rest, "all other settings stay"
    assert "/" not in str(flat(cleaned)[setting])
    assert flat(settings)[setting] == given


def test_the_defaults_hold_no_path():
    assert without_local_paths(Config()) == Config()
    downloads = [
        (kind, name)
        for kind in choices.NETWORK
        for name, entry in choices.entries(kind).items()
        if "weights" in entry.arguments
    ]
    assert ("audio", "whisper") in downloads
    for kind, name in downloads:
        cleaned = without_local_paths(build({kind: f"{name}(weights='/home/x/model.bin')"}))
        assert "home" not in to_yaml(cleaned)


def test_a_package_holds_the_config_without_paths(features, tmp_path):
    face = "expression_net(weights='/home/x/net.keras', blocks=(8, 8))"
    folder, out = tmp_path / "run", tmp_path / "packaged"
    folder.mkdir()
    out.mkdir()
    run, network = untrained(
        folder, features, fusion="face_only", face="expression_net(blocks=(8, 8))"
    )
    model = dataclasses.replace(run.config.model, face=face)
    run = dataclasses.replace(run, config=dataclasses.replace(run.config, model=model))
    run_dir.save_model(network, run.model_file)
    run_dir.write_history(run, [{"epoch": 1}])
    (folder / "temperature.json").write_text('{"temperature": 1.0, "epochs": 1}')
    package_model.fill(out, "packaged", run, None, None)
    assert "expression_net(weights='net.keras', blocks=(8, 8))" in (out / "config.yaml").read_text()
    assert "/home/x" not in (out / "config.yaml").read_text()
    assert run_dir.load(out).config.model.face.startswith("expression_net(weights='net.keras'")


@pytest.mark.parametrize(
    ("text", "packaged"),
    [
        ("--run /home/x/runs/one --records /data/a,/data/b", "--run one --records a,b"),
        ("audio: whisper(weights='/home/x/model.bin')", "audio: whisper(weights='model.bin')"),
        (r"--source C:\\films\\RAVDESS", "--source RAVDESS"),
        ("configs/a.yaml, ravdess/contiguous6, 1/2", "configs/a.yaml, ravdess/contiguous6, 1/2"),
        ("https://zenodo.org/records/1188976", "https://zenodo.org/records/1188976"),
        ("[zoo](../docs/zoo.md), UAR and/or WAR", "[zoo](../docs/zoo.md), UAR and/or WAR"),
    ],
)
def test_cards_hold_names_of_files_only(text, packaged):
    assert shortened(text.replace("\\\\", "\\")) == packaged

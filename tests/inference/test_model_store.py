"""Models by name: which one a command loads, and the error of a damaged one."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest
from untrained_runs import on_disk

from emorec_tf import export, serve
from emorec_tf.config import choices
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.errors import UserError
from emorec_tf.inference import predictor, zoo_contents
from emorec_tf.predict import main as predict_main
from emorec_tf.training import model_store


def test_without_a_run_the_default_model_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(model_store, "PLACES", (tmp_path,))
    for main in (predict_main, serve.main, export.main):
        assert main([]) == 1
        assert "needs --run FOLDER" in capsys.readouterr().err
    for name in reversed(model_store.DEFAULTS):  # each goes before those that are there already
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}")
        assert model_store.chosen(None, "predict") == name
    assert model_store.DEFAULTS == ("general-av", "ravdess-av")
    assert model_store.DEFAULT_TEXT == "general-av where it is found, else ravdess-av"
    assert model_store.chosen("other", "predict") == "other"
    assert model_store.folder_of("ravdess-av") == tmp_path / "ravdess-av"
    monkeypatch.chdir(tmp_path.parent)
    (tmp_path.parent / "ravdess-av").mkdir()  # not a run, so not a candidate
    assert model_store.folder_of("ravdess-av") == tmp_path / "ravdess-av"
    with pytest.raises(UserError, match="did you mean 'ravdess-av'"):
        model_store.folder_of("ravdes-av")


def test_a_flipped_byte_is_detected(tmp_path: Path, features: FeaturesConfig) -> None:
    folder = on_disk(tmp_path / "model", features)
    names = sorted(f.name for f in folder.iterdir())
    written = subprocess.run(
        ["sha256sum", *names], cwd=folder, check=True, capture_output=True, text=True
    )
    (folder / model_store.SUMS).write_text(written.stdout)
    assert predictor.load(str(folder)).run.classes == ("a", "b", "c")
    weights = folder / "best.keras"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    with pytest.raises(UserError, match=r"best\.keras is missing or damaged"):
        predictor.load(str(folder))
    weights.unlink()
    with pytest.raises(UserError, match=r"best\.keras is missing or damaged"):
        predictor.load(str(folder))


def test_the_listing_reads_modalities_from_the_entries(
    tmp_path: Path, features: FeaturesConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fusion, uses in (("audio_only", "audio"), ("face_only", "face"), ("gated", "audio, face")):
        folder = on_disk(tmp_path / fusion, features, fusion=fusion)
        assert zoo_contents.model(fusion, folder)[1] == uses
    entries = dict(choices.entries("fusion"))
    facts = dataclasses.replace(entries["gated"].facts, uses=("face",))
    entries["gated"] = dataclasses.replace(entries["gated"], facts=facts)
    monkeypatch.setattr(choices, "entries", lambda kind: entries)
    assert zoo_contents.model("gated", tmp_path / "gated")[1] == "face"
    del entries["gated"]  # of a newer version
    assert zoo_contents.model("gated", tmp_path / "gated")[1] == "audio, face"

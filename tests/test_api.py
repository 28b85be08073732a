"""The zoo from Python: found, asked, cut at its tokens, trained further; and the docs' scripts."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_films import PICTURES_HZ, SOUND_HZ, taken_apart, write
from places import ROOT
from untrained_runs import on_disk

import emorec_tf
from emorec_tf import api, predict
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.errors import UserError
from emorec_tf.inference import model_store

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def model(demo_run: Path) -> api.Model:
    return emorec_tf.load(demo_run)


@pytest.fixture(scope="module")
def clip(demo_clips: Path) -> Path:
    return min((demo_clips / "clips").glob("actor04*.mp4"))


def test_import_is_light() -> None:
    code = "import emorec_tf, sys; assert 'load' in dir(emorec_tf); print(len(sys.modules))"
    code += "; assert not {'numpy', 'yaml', 'emorec_tf.api'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = emorec_tf.lode


def test_models_are_found_by_name(
    tmp_path: Path, features: FeaturesConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = tmp_path / "package"
    monkeypatch.setattr(model_store, "PLACES", (shipped, Path("runs")))
    with pytest.raises(UserError, match="train one first"):
        emorec_tf.load("ravdess-av")
    on_disk(shipped / "tiny-shipped", features)
    on_disk(tmp_path / "runs" / "tiny-own", features)
    assert emorec_tf.list_models() == ["tiny-own", "tiny-shipped"]
    for name in emorec_tf.list_models():
        assert emorec_tf.load(name).classes == ("a", "b", "c")
    with pytest.raises(UserError, match="did you mean 'tiny-shipped'"):
        emorec_tf.load("tiny-shiped")


def test_the_answer_is_the_command_s(model: api.Model, demo_run: Path, clip: Path) -> None:
    assert model.predict_clip(clip) == predict.film_answer(str(demo_run), str(clip))
    assert "windows" in model.predict_clip(clip, windows="on")
    assert model.classes == ("neutral", "happy", "sad")
    assert "Limits of use" in model.card
    with pytest.raises(UserError, match="windows is"):
        model.predict_clip(clip, windows="maybe")  # type: ignore[arg-type]


def test_arrays_are_answered_as_the_film_they_make(
    model: api.Model, clip: Path, tmp_path: Path
) -> None:
    pictures, wave = taken_apart(clip)
    told = model.predict_clip(write(tmp_path / "film.mov", pictures, wave, lossless=True))
    got = model.predict_arrays(wave, SOUND_HZ, pictures, PICTURES_HZ)
    assert set(got) == set(told) - {"clip"}
    assert list(got["probabilities"].values()) == pytest.approx(
        list(told["probabilities"].values()), abs=0.01
    )
    assert got["emotion"] == told["emotion"]
    heard = model.predict_arrays(wave, SOUND_HZ)
    assert (heard["face_present"], heard["audio_present"]) == (False, True)
    seen = model.predict_arrays(pictures=np.stack(pictures), pictures_hz=PICTURES_HZ)
    assert (seen["face_present"], seen["audio_present"]) == (True, False)
    for wrong, said in (
        ({}, "waveform"),
        ({"waveform": wave}, "sample_rate_hz"),
        ({"waveform": np.stack([wave, wave]), "sample_rate_hz": 8000}, "not empty"),
        ({"waveform": wave.astype(np.int16), "sample_rate_hz": 8000}, "float"),
        ({"pictures": [p.astype(float) for p in pictures], "pictures_hz": 10}, "uint8"),
        ({"pictures": pictures}, "pictures_hz"),
    ):
        with pytest.raises(UserError, match=said):
            model.predict_arrays(**wrong)


def test_embedding_is_what_the_fusion_sees(model: api.Model, clip: Path) -> None:
    import keras

    inputs = model.inputs([clip, clip])
    assert {array.shape[0] for array in inputs.values()} == {2}
    found = model.embedding(clip)
    tokens = keras.Model(model.network.input, model.network.get_layer("face_tokens").output)
    faces = np.asarray(tokens.predict_on_batch(inputs))[0]
    assert found.dtype == np.float32
    assert found[-faces.shape[1] :] == pytest.approx(faces.mean(0), abs=1e-5)
    assert np.array_equal(found, model.embedding(clip))


def test_a_fresh_model_takes_over_what_fits(model: api.Model, demo_run: Path) -> None:
    old = model.network
    same = emorec_tf.build_model(model.classes, weights=demo_run)
    for mine, theirs in zip(same.get_weights(), old.get_weights(), strict=True):
        assert np.array_equal(mine, theirs)
    other = emorec_tf.build_model(["x", "y"], weights=demo_run)
    assert other.output_shape == (None, 2)
    for name in ("audio_branch", "face_branch"):
        pair = zip(other.get_layer(name).weights, old.get_layer(name).weights, strict=True)
        assert all(np.array_equal(mine, theirs) for mine, theirs in pair)
    fresh = emorec_tf.build_model(["x", "y", "z"], fusion="audio_only", audio="lstm(units=8)")
    assert fresh.output_shape == (None, 3)
    for wrong, said in (({"fushion": "concat"}, "fusion"), ({"fusion": "conct"}, "concat")):
        with pytest.raises(UserError, match=said):
            emorec_tf.build_model(["x", "y"], **wrong)
    with pytest.raises(UserError, match="classes"):
        emorec_tf.build_model(["x"])


@pytest.mark.slow
def test_the_scripts_of_the_docs_run(
    demo_clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(demo_clips, tmp_path / "clips")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    scripts = {
        "own_dataset.py": ["--source=clips", "--out=own"],
        "fine_tuning.py": ["--model=own/run", "--source=clips"],
        "embeddings.py": ["--model=own/run", "--source=clips"],
    }
    for name, arguments in scripts.items():
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(DOCS / name), run_name="__main__")
    told = capsys.readouterr().out
    assert "24 clips of 4 speakers" in told
    assert "on a speaker never met" in told
    assert "24 vectors of" in told
    assert json.loads((tmp_path / "own" / "run" / "metrics.json").read_text())["n"] == 6
    assert np.load(tmp_path / "embeddings.npz")["vectors"].shape[0] == 24
    assert (tmp_path / "smiling.keras").exists()

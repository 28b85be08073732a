"""The Python API: prepare, train, evaluate, predict, train on; and the scripts in the docs."""

from __future__ import annotations

import contextlib
import doctest
import itertools
import json
import logging
import os
import runpy
import shutil
import subprocess
import sys
import typing
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import two_corpora
from made_videos import AUDIO_HZ, FRAMES_HZ, taken_apart, write
from places import ROOT
from untrained_runs import on_disk

import emorec_tf
from emorec_tf import api
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.errors import UserError
from emorec_tf.evaluation import crossvalidation
from emorec_tf.inference import media_answer
from emorec_tf.prepare import main as prepare_main
from emorec_tf.records import local_runner
from emorec_tf.storage.quiet import QUIET_START
from emorec_tf.training import model_store

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


def test_names_are_those_of_the_api_whatever_is_imported() -> None:
    code = "import importlib, emorec_tf\n"
    code += "from emorec_tf.train import main\n"
    code += "for verb in ('train', 'prepare', 'predict', 'evaluate', 'crossval', 'crosscorpus'):\n"
    code += "    module = importlib.import_module(f'emorec_tf.{verb}')\n"
    code += "    assert module.main and callable(getattr(emorec_tf, verb)), verb\n"
    code += "assert emorec_tf.UserError is importlib.import_module('emorec_tf.errors').UserError\n"
    code += "print(dir(emorec_tf))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    public = "Model Records Run UserError __version__ build_model crosscorpus crossval evaluate "
    public += "finetune list_models load predict prepare train"
    assert done.stdout == f"{public.split()}\n"
    assert emorec_tf.__all__ == public.split()


def test_annotations_of_the_api_can_be_read() -> None:
    import keras

    for name in emorec_tf.__all__:
        thing = getattr(emorec_tf, name)
        if not isinstance(thing, str):
            typing.get_type_hints(thing)
    assert typing.get_type_hints(emorec_tf.build_model)["return"] is keras.Model
    for name in ("predict_clip", "predict_arrays", "inputs", "embedding"):
        assert "return" in typing.get_type_hints(getattr(emorec_tf.Model, name))
    network = vars(emorec_tf.Model)["network"].func
    assert typing.get_type_hints(network)["return"] is keras.Model
    assert (emorec_tf.Model, emorec_tf.Run) == (api.Model, api.Run)
    assert emorec_tf.Records is api.Records


@pytest.mark.parametrize("level", [None, "0"])
def test_tensorflow_starts_without_notes(level: str | None) -> None:
    code = "import os, sys, emorec_tf\nemorec_tf.list_models()\n"
    code += "assert 'keras' not in sys.modules\nprint(os.environ['TF_CPP_MIN_LOG_LEVEL'])\n"
    code += "if os.environ['TF_CPP_MIN_LOG_LEVEL'] == '2':\n"
    code += "    emorec_tf.build_model(['a', 'b'], fusion='audio_only', audio='lstm(units=4)')\n"
    given = {k: v for k, v in os.environ.items() if k not in QUIET_START}
    given |= {"TF_CPP_MIN_LOG_LEVEL": level} if level else {}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=given)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{level or 2}\n", "")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second of a tone for two speakers and two emotions: <speaker>/<emotion>/1.wav."""
    folder = tmp_path_factory.mktemp("recordings")
    tones = np.sin(np.arange(4000) / np.arange(3, 7)[:, None])
    for tone, (speaker, emotion) in zip(
        tones, itertools.product("ab", ("happy", "sad")), strict=True
    ):
        path = folder / speaker / emotion / "1.wav"
        path.parent.mkdir(parents=True)
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes((tone * 2**14).astype("<i2").tobytes())
    return folder


SMALL = {"sample_rate_hz": 8000, "mel_max_hz": 4000, "clip_seconds": 0.5, "face_frames": 0}


def test_prepare_writes_where_its_config_says_and_draws_nothing(
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    shown: list[int] = []

    @contextlib.contextmanager
    def bar(total: int) -> Iterator[Any]:
        shown.append(total)
        yield lambda result: result

    monkeypatch.setattr(local_runner, "progress_bar", bar)
    monkeypatch.chdir(tmp_path)
    settings = {**SMALL, "records": str(tmp_path / "mine"), "mel_bands": 8, "epochs": 3}
    made = emorec_tf.prepare(recordings, config=settings, workers=1)
    assert (made.folder, len(made.clips), shown) == (tmp_path / "mine", 4, [])
    assert capfd.readouterr() == ("", "")
    assert emorec_tf.prepare(recordings, "other", config=settings, workers=1).folder == Path(
        "other"
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "other"]
    flags = [f"--{name}={value}" for name, value in SMALL.items()]
    where = ["--dataset=folder", f"--source={recordings}", f"--records={tmp_path / 'third'}"]
    assert prepare_main([*where, *flags, "--workers=1"]) == 0
    assert shown == [4]


def test_settings_that_a_function_would_ignore_are_refused() -> None:
    with pytest.raises(UserError, match="prepare does not use epochs; "):
        emorec_tf.prepare("clips", epochs=3)
    with pytest.raises(UserError, match="unknown setting 'face_frame'; did you mean 'face_frames'"):
        emorec_tf.prepare("clips", face_frame=3)
    for given in ({"seed": 1}, {"test_speakers": "actor01"}):
        single: dict[str, Any] = dict(given)
        with pytest.raises(UserError, match=f"crossval takes no {min(given)}: .*; leave it out"):
            emorec_tf.crossval(protocol="loso", records="records", **single)
    with pytest.raises(UserError, match="unknown setting 'seedz'; did you mean 'seed'"):
        emorec_tf.crossval(protocol="loso", records="records", seedz=1)


def test_crossval_says_what_of_its_config_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "emorec_tf"):
        left = crossvalidation.without_decided({"seed": 3, "epochs": 2}, {"epochs": 2})
    assert left == {"epochs": 2}
    assert caplog.messages == ["note: seed of config is not used; protocol and random seeds decide"]


@pytest.mark.slow
def test_training_logs_a_line_an_epoch(
    demo_records: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "emorec_tf"):
        emorec_tf.train(
            {"fusion": "audio_only", "audio": "conv1d(filters=4, blocks=1)", "epochs": 2},
            records=demo_records,
            run=tmp_path / "run",
            batch_size=4,
        )
    assert [m.split("  ")[0] for m in caplog.messages if m.startswith("epoch ")] == [
        "epoch 1/2",
        "epoch 2/2",
    ]


def test_a_library_does_not_print(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("emorec_tf.some.module").warning("for whoever configures logging")
    assert capsys.readouterr() == ("", "")


@pytest.fixture(scope="module")
def workplace(
    demo_clips: Path,
    demo_records: Path,
    demo_run: Path,
    features: FeaturesConfig,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The working directory that the docstring examples expect."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "clips").symlink_to(demo_clips)
    (folder / "records").symlink_to(demo_records)
    two_corpora.make(folder, features)
    shutil.copytree(demo_run, folder / "runs" / "demo-concat")
    shutil.copy(min((demo_clips / "clips").glob("actor04*.mp4")), folder / "clip.mp4")
    return folder


QUICK = (api.list_models, api.load, api.predict, api.evaluate, api.build_model, api.Model)
TRAINING = (api.prepare, api.train, api.crossval, api.crosscorpus, api.finetune)
SLOW = [pytest.param(f, marks=pytest.mark.slow) for f in TRAINING]


@pytest.mark.parametrize("documented", [*QUICK, *SLOW], ids=lambda documented: documented.__name__)
def test_examples_of_the_docstrings(
    documented: object, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    finder = doctest.DocTestFinder(recurse=False)
    (example,) = finder.find(documented, globs={"emorec_tf": emorec_tf})
    assert example.examples
    output: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    assert not runner.run(example, out=output.append).failed, "".join(output)


def test_training_equals_the_train_command(
    demo_records: Path, demo_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings in every form resume the run that the command made and change nothing in it."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(demo_run, tmp_path / "run")
    before = (tmp_path / "run" / "best.keras").read_bytes()
    made = api.run_dir.load("run")
    settings = {"epochs": 3, "test_speakers": ["actor04"], "validation_speakers": ["actor03"]}
    more = {"audio": made.config.model.audio, "face": made.config.model.face}
    for config in (made.config, {**settings, **more, "batch_size": 4, "learning_rate": 1e-2}):
        again = emorec_tf.train(config, records=demo_records, run=tmp_path / "run")
        assert again.config == made.config
    assert (tmp_path / "run" / "best.keras").read_bytes() == before
    assert "\n" not in repr(again)
    with pytest.raises(UserError, match="epochs was 3, is 4"):
        emorec_tf.train(made.config, records=demo_records, run=tmp_path / "run", epochs=4)
    with pytest.raises(UserError, match="unknown setting 'epocs'; did you mean 'epochs'"):
        emorec_tf.train(epocs=4)
    with pytest.raises(UserError, match="epochs is 'many'; it must be a whole number"):
        emorec_tf.train({"epochs": "many"})


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


def test_predict_clip_equals_the_predict_command(
    model: api.Model, demo_run: Path, clip: Path
) -> None:
    assert model.predict_clip(clip) == media_answer.load(str(demo_run))(str(clip)).answer
    named = f"Model('{demo_run.name}', classes neutral, happy, sad, from audio and face)"
    assert repr(model) == named
    assert "windows" in model.predict_clip(clip, windows="on")
    assert model.classes == ("neutral", "happy", "sad")
    assert "Limits of use" in model.card
    with pytest.raises(UserError, match="windows is"):
        model.predict_clip(clip, windows="maybe")  # type: ignore[arg-type]


def test_arrays_give_the_same_answer_as_the_video_made_of_them(
    model: api.Model, clip: Path, tmp_path: Path
) -> None:
    images, wave = taken_apart(clip)
    by_file = model.predict_clip(write(tmp_path / "video.mov", images, wave, lossless=True))
    got = model.predict_arrays(wave, AUDIO_HZ, images, FRAMES_HZ)
    assert set(got) == set(by_file) - {"clip"}
    assert list(got["probabilities"].values()) == pytest.approx(
        list(by_file["probabilities"].values()), abs=0.01
    )
    assert got["emotion"] == by_file["emotion"]
    audio_only = model.predict_arrays(wave, AUDIO_HZ)
    assert (audio_only["face_present"], audio_only["audio_present"]) == (False, True)
    face_only = model.predict_arrays(frames=np.stack(images), frame_rate_hz=FRAMES_HZ)
    assert (face_only["face_present"], face_only["audio_present"]) == (True, False)
    for wrong, said in (
        ({}, "waveform"),
        ({"waveform": wave}, "sample_rate_hz"),
        ({"waveform": np.stack([wave, wave]), "sample_rate_hz": 8000}, "not empty"),
        ({"waveform": wave.astype(np.int16), "sample_rate_hz": 8000}, "float"),
        ({"frames": [p.astype(float) for p in images], "frame_rate_hz": 10}, "uint8"),
        ({"frames": images}, "frame_rate_hz"),
    ):
        with pytest.raises(UserError, match=said):
            model.predict_arrays(**wrong)


def test_a_model_says_what_it_is() -> None:
    for name, modalities in (("ravdess-av", "audio and face"), ("ravdess-audio", "audio")):
        said = repr(emorec_tf.load(name))
        assert said.startswith(f"Model({name!r}, classes neutral, calm, happy, ")
        assert said.endswith(f" from {modalities})")


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory, features: FeaturesConfig) -> api.Model:
    return emorec_tf.load(on_disk(tmp_path_factory.mktemp("untrained") / "run", features))


def tone(hertz: float) -> np.ndarray:
    return np.sin(np.arange(8000) * 2 * np.pi * hertz / 8000) / 2


def test_the_network_is_a_copy(
    untrained: api.Model, features: FeaturesConfig, inputs: Callable[..., dict[str, np.ndarray]]
) -> None:
    before, drawn = untrained.predict_arrays(tone(440), 8000), inputs(features)
    network = untrained.network
    assert network is untrained.network
    wanted = untrained.predictor.model.predict_on_batch(drawn)
    np.testing.assert_array_equal(network.predict_on_batch(drawn), wanted)
    network.set_weights([np.zeros_like(weight) for weight in network.get_weights()])
    assert not np.asarray(network.predict_on_batch(drawn)).any()
    assert untrained.predict_arrays(tone(440), 8000) == before
    np.testing.assert_array_equal(untrained.predictor.model.predict_on_batch(drawn), wanted)


def test_threads_share_a_model(untrained: api.Model) -> None:
    waves = [tone(110 * 2**step) for step in range(4)]
    alone = [untrained.predict_arrays(wave, 8000) for wave in waves]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda wave: untrained.predict_arrays(wave, 8000), waves * 8))
    assert answers == alone * 8
    assert len({str(answer["probabilities"]) for answer in answers}) == 4


def test_threads_share_detectors_and_decoders(model: api.Model, clip: Path) -> None:
    alone = model.predict_clip(clip)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(model.predict_clip, [clip] * 8))
    assert answers == [alone] * 8


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


@pytest.mark.slow
@pytest.mark.parametrize(("name", "members"), [("ravdess-face", 1), ("ravdess-av", 2)])
def test_packaged_models_have_embeddings_too(name: str, members: int, clip: Path) -> None:
    """They are what the classical heads are given; of an ensemble one after the other."""
    import keras

    packaged = emorec_tf.load(name)
    network, inputs = packaged.network, packaged.inputs([clip])
    experts = [n for n in network.layers if n.name.startswith("expert_")] or [network]
    assert len(experts) == members
    parts = []
    for expert in experts:
        below = keras.Model(expert.input, expert.get_layer("features").output)
        given = {key: inputs[key] for key in expert.input}
        parts.append(np.asarray(below.predict_on_batch(given))[0])
    found = packaged.embedding(clip)
    assert found.shape == (packaged.embedding_width,)
    np.testing.assert_allclose(found, np.concatenate(parts), rtol=1e-4, atol=1e-4)


def test_a_fresh_model_loads_the_weights_that_match(model: api.Model, demo_run: Path) -> None:
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
def test_scripts_in_the_docs_run(
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
    output = capsys.readouterr().out
    assert "24 clips of 4 speakers" in output
    assert "Records('own/records', folder: 24 clips, 4 speakers, 3 emotions)" in output
    assert "on a new speaker" in output
    assert "24 embeddings of" in output
    assert json.loads((tmp_path / "own" / "run" / "metrics.json").read_text())["n"] == 6
    assert np.load(tmp_path / "embeddings.npz")["vectors"].shape[0] == 24
    assert emorec_tf.load(tmp_path / "smiling").classes == ("neutral", "happy")

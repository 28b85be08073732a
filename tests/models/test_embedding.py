"""The branch on an ONNX encoder answers as ONNX Runtime does, and needs no file afterwards."""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnx_made
import pytest
import soundfile
from untrained_runs import untrained

from emorec_tf.config import choices
from emorec_tf.config.clip import Clip
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.errors import UserError
from emorec_tf.exporting import export_run
from emorec_tf.features import examples
from emorec_tf.features.audio_features import fit_length, layer_of
from emorec_tf.models.audio.embedding import OnnxEncoder
from emorec_tf.models.layers import Tokens
from emorec_tf.models.model import build_model, compile_model
from emorec_tf.models.pretrained import onnx_encoders
from emorec_tf.training import run_dir

pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")

FEATURES = FeaturesConfig(audio_features="waveform", clip_seconds=1.0, face_frames=0)
RATE = FEATURES.sample_rate_hz


def branch(path: Path, arguments: str = "", features: FeaturesConfig = FEATURES) -> keras.Model:
    tensors = {
        "audio": keras.Input((features.audio_frames, features.audio_width), name="audio"),
        "audio_mask": keras.Input((features.audio_frames,), name="audio_mask"),
    }
    choice = f"embedding(model='{path}', pool='none'{arguments})"
    return keras.Model(tensors, list(choices.resolve("audio", choice)(tensors)))


def clip(seconds: float, loudness: float = 0.1) -> np.ndarray:
    samples = round(seconds * RATE)
    tone = np.sin(np.cumsum(np.linspace(0.02, 0.6, max(samples, 1))))[:samples]
    noise = np.random.default_rng(samples).normal(size=samples)
    return (loudness * (tone + noise) + 0.01).astype(np.float32)


def inputs(
    waveforms: list[np.ndarray], features: FeaturesConfig = FEATURES
) -> dict[str, np.ndarray]:
    fitted = [fit_length(waveform, features) for waveform in waveforms]
    mask = np.stack([real for _, real in fitted]).astype(np.float32)
    blocks = np.asarray(layer_of(features)(np.stack([padded for padded, _ in fitted])))
    return {"audio": blocks, "audio_mask": mask}


def answered(model: keras.Model, given: dict[str, np.ndarray]) -> Tokens:
    return Tokens(*(np.asarray(output) for output in model.predict_on_batch(given)))


def normalised(waveform: np.ndarray) -> np.ndarray:
    """As Hugging Face's Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm."""
    wide = waveform.astype(np.float64)
    return (wide - wide.mean()) / np.sqrt(wide.var() + 1e-7)


def whole_blocks(waveform: np.ndarray) -> np.ndarray:
    return waveform[: len(waveform) // 160 * 160]


LENGTHS = (1.0, 0.7031, 0.31, 0.025)
KINDS: list[dict[str, Any]] = [
    {},
    {"mask": "attention_mask"},
    {"shape": (1, "samples"), "name": "wav"},
    {"shape": (None, None), "mask": "padding_mask"},
]


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("settings", KINDS)
def test_each_clip_is_encoded_as_onnx_runtime_does_alone(
    settings: dict[str, Any], normalise: bool, tmp_path: Path
) -> None:
    path = onnx_made.written(tmp_path / "encoder.onnx", **settings)
    plain = onnx_made.written(tmp_path / "plain.onnx")  # the same without a mask
    waveforms = [clip(seconds) for seconds in LENGTHS]
    values, mask = answered(branch(path, f", normalise={normalise}"), inputs(waveforms))
    assert values.shape == (4, 49, onnx_made.WIDTH)
    for row, waveform in enumerate(map(whole_blocks, waveforms)):
        if row == 3:  # shorter than the encoder's window
            waveform = np.pad(normalised(waveform) if normalise else waveform, (0, 80))
            wanted = onnx_made.asked(plain, waveform)
        else:
            wanted = onnx_made.asked(plain, normalised(waveform) if normalise else waveform)
        assert len(wanted) == 1 + max(0, len(waveform) - 400) // 320
        assert mask[row].sum() == len(wanted)
        assert wanted.std() > 0.01
        np.testing.assert_allclose(values[row, : len(wanted)], wanted, atol=2e-5)
        assert not values[row, len(wanted) :].any()


@pytest.mark.parametrize("mask", ["", "attention_mask", "padding_mask"])
def test_padding_changes_nothing(mask: str, tmp_path: Path) -> None:
    path = onnx_made.written(tmp_path / "encoder.onnx", mask=mask)
    longer = dataclasses.replace(FEATURES, clip_seconds=2.0)
    waveform = clip(0.6)
    found = answered(branch(path), inputs([waveform]))
    padded = answered(branch(path, features=longer), inputs([waveform, clip(2.0)], longer))
    real = int(found.mask.sum())
    assert padded.mask[0].sum() == real == 29
    np.testing.assert_array_equal(padded.values[0, :real], found.values[0, :real])


def test_level_does_not_matter_where_clips_are_normalised(tmp_path: Path) -> None:
    model = branch(onnx_made.written(tmp_path / "encoder.onnx"))
    quiet, loud = (answered(model, inputs([clip(0.5, loudness)])).values for loudness in (0.01, 1))
    assert np.abs(quiet - loud).max() < 0.05 * np.abs(loud).max()  # but for a fixed offset of 0.01
    silence = answered(model, inputs([np.zeros(RATE, np.float32)]))
    assert silence.mask.all()
    assert not silence.values.any()


@pytest.mark.parametrize("mask", ["", "attention_mask", "padding_mask"])
def test_an_encoder_of_a_fixed_length_gets_zeros_behind_the_clip(mask: str, tmp_path: Path) -> None:
    path = onnx_made.written(tmp_path / "encoder.onnx", shape=(1, RATE), mask=mask)
    plain = onnx_made.written(tmp_path / "plain.onnx")
    waveform = clip(0.5)
    values, real = answered(branch(path), inputs([waveform, clip(1.0)]))
    wanted = onnx_made.asked(plain, np.pad(normalised(waveform), (0, RATE - len(waveform))))
    assert real.sum(axis=1).tolist() == [24, 49]  # half of 49, and all
    np.testing.assert_allclose(values[0, :24], wanted[:24], atol=2e-5)
    shorter = dataclasses.replace(FEATURES, clip_seconds=0.5)
    assert branch(path, features=shorter).outputs[0].shape == (None, 24, onnx_made.WIDTH)


@pytest.mark.parametrize(("arguments", "first"), [(", output='mean'", True), ("", False)])
def test_an_output_without_tokens_is_one_token(arguments: str, first: bool, tmp_path: Path) -> None:
    path = onnx_made.written(tmp_path / "encoder.onnx", token_axis=first)
    values, mask = answered(branch(path, arguments), inputs([clip(0.5), clip(1.0)]))
    assert values.shape == (2, 1, onnx_made.WIDTH)
    assert mask.all()
    wanted = onnx_made.asked(path, normalised(clip(0.5)), "last_hidden_state").mean(axis=0)
    np.testing.assert_allclose(values[0, 0], wanted, atol=2e-5)


def test_decoded_files_reach_the_encoder_unchanged(tmp_path: Path) -> None:
    """From a file through records' arrays and the whole network, standardised and back."""
    path = onnx_made.written(tmp_path / "encoder.onnx")
    samples = np.round(clip(0.8) * 32768).astype(np.int16)
    soundfile.write(tmp_path / "clip.wav", samples, RATE)
    given = Clip("a", "1", "happy", audio=str(tmp_path / "clip.wav"))
    example, seen = examples.maker(FEATURES)(given)
    assert seen.audio_present
    audio = f"embedding(model='{path}')"
    run, _ = untrained(tmp_path, FEATURES, audio=audio, fusion="audio_only")
    random = np.random.default_rng(0)
    scale = random.normal(0, 0.001, 160).astype("f"), random.uniform(0.05, 0.1, 160).astype("f")
    network = build_model(run.config, run.classes, *scale)
    inner = keras.Model(network.input, network.get_layer("audio_tokens").output)
    batch = {name: np.asarray(array)[None] for name, array in example.items()}
    batch = {n: a.astype(np.float32) if "mask" in n else a for n, a in batch.items()}
    found = np.asarray(inner.predict_on_batch(batch))[0, 0]
    decoded = samples.astype(np.float32) / 32768
    wanted = onnx_made.asked(path, normalised(whole_blocks(decoded)))
    np.testing.assert_allclose(found[:6], wanted.mean(axis=0), atol=5e-5)
    np.testing.assert_allclose(found[6:], np.sqrt(wanted.var(axis=0) + 1e-5), atol=5e-5)


def test_a_saved_model_needs_no_file(tmp_path: Path, reloaded: Any) -> None:
    path = onnx_made.written(tmp_path / "encoder.onnx", mask="attention_mask")
    data, model, given = path.read_bytes(), branch(path), inputs([clip(0.5), clip(1.0)])
    (layer,) = [x for x in model._flatten_layers() if isinstance(x, OnnxEncoder)]
    path.unlink()
    run_dir.save_model(model, tmp_path / "model.keras")
    wanted = answered(model, given)
    again = answered(reloaded(model), given)
    np.testing.assert_array_equal(again.values, wanted.values)
    np.testing.assert_array_equal(again.mask, wanted.mask)
    assert (tmp_path / "model.keras").stat().st_size > len(data)
    assert model.weights == []
    assert layer.get_config()["sha256"] == hashlib.sha256(data).hexdigest()
    copied = type(model).from_config(model.get_config())  # as Model.network makes it
    np.testing.assert_array_equal(answered(copied, given).values, wanted.values)


def test_a_file_with_another_encoder_inside_is_damaged(tmp_path: Path) -> None:
    model = branch(onnx_made.written(tmp_path / "encoder.onnx"))
    (layer,) = [x for x in model._flatten_layers() if isinstance(x, OnnxEncoder)]
    layer.sha256 = "0" * 64
    model.save(tmp_path / "model.keras")
    with pytest.raises(UserError, match=r"model\.keras: its ONNX encoder has not the") as error:
        run_dir.load_model(tmp_path / "model.keras")
    assert "\n" not in str(error.value)


def test_it_is_never_compiled_by_xla(tmp_path: Path) -> None:
    audio = f"embedding(model='{onnx_made.written(tmp_path / 'encoder.onnx')}')"
    settings = {"jit": "on", "augment": False}
    run, network = untrained(tmp_path, FEATURES, settings, audio=audio, fusion="audio_only")
    compile_model(network, run.config.train, 10, run.task)
    assert not network.jit_compile
    _, other = untrained(tmp_path, FEATURES, settings, fusion="audio_only")
    compile_model(other, run.config.train, 10, run.task)
    assert other.jit_compile


def test_exports_refuse_it_before_anything_is_written(tmp_path: Path) -> None:
    audio = f"embedding(model='{onnx_made.written(tmp_path / 'encoder.onnx')}')"
    run, network = untrained(tmp_path, FEATURES, audio=audio, fusion="audio_only")
    run_dir.save_model(network, run.model_file)
    for name in ("saved_model", "onnx"):
        with pytest.raises(UserError, match="runs in ONNX Runtime; use predict, serve or") as error:
            export_run.export(run, [name], tmp_path / "out")
        assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def externally(path: Path) -> Path:
    model = onnx_made.encoder()
    onnx.save_model(model, path, save_as_external_data=True, location="weights.bin")
    return path


def channels(path: Path) -> Path:
    value = onnx.helper.make_tensor_value_info("wav", 1, ("batch", 1, "samples"))
    same = onnx.helper.make_node("Identity", ["wav"], ["out"])
    out = onnx.helper.make_tensor_value_info("out", 1, None)
    graph = onnx.helper.make_graph([same], "channels", [value], [out])
    onnx.save_model(onnx.helper.make_model(graph, ir_version=8), path)
    return path


def text(path: Path) -> Path:
    path.write_text("no network")
    return path


REFUSED: list[tuple[Any, str, str]] = [
    (channels, "", r"has the inputs wav tensor\(float\) \['batch', 1, 'samples'\]; an encoder has"),
    ({"further": ("batch", "samples")}, "", "an encoder has one waveform of floats"),
    ({"further": ("batch", 80, "frames")}, "", "further tensor.*an encoder has one waveform"),
    ({"shape": (4, "samples")}, "", "takes batches of 4 clips; export it for one, or for any"),
    ({"shape": (1, 8000)}, "", "takes 8000 samples, but clips have 16000; prepare with shorter"),
    ({"domain": "my.ops"}, "", "has operations of its own .*Relu.*; export it with those of ONNX"),
    ({}, ", output='men'", "has no output 'men'; did you mean 'mean'"),
    ({}, ", output='sizes'", r"output 'sizes' holds tensor\(int64\), not floats; name another"),
    ({"name": "x"}, ", output='kernel'", "has no output 'kernel'; known are channel, found, last"),
    (text, "", "cannot be loaded as an ONNX model .*protobuf.*; give an ONNX file of an audio"),
    (externally, "", "has its weights in further files; give an ONNX file that holds them"),
    (lambda path: path, "", r"encoder\.onnx: no such file; embedding\(model=...\) needs an ONNX"),
    (lambda path: path.parent, "", "no such file"),
]


@pytest.mark.parametrize(("make", "arguments", "said"), REFUSED)
def test_what_is_no_encoder_is_refused_in_one_line(
    make: Any, arguments: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # weights in further files would be found here
    path = tmp_path / "encoder.onnx"
    path = make(path) if callable(make) else onnx_made.written(path, **make)
    with pytest.raises(UserError, match=said) as error:
        branch(path, arguments)
    assert "\n" not in str(error.value)
    assert path.name in str(error.value)


def test_the_way_out_of_further_files_works(tmp_path: Path) -> None:
    path = externally(tmp_path / "encoder.onnx")
    onnx.save_model(onnx.load(path), tmp_path / "whole.onnx")
    given = inputs([clip(0.5)])
    found = answered(branch(tmp_path / "whole.onnx"), given)
    wanted = answered(branch(onnx_made.written(tmp_path / "plain.onnx")), given)
    np.testing.assert_array_equal(found.values, wanted.values)


def test_other_features_and_pools_are_refused(tmp_path: Path) -> None:
    audio = f"embedding(model='{onnx_made.written(tmp_path / 'encoder.onnx')}'"
    for features, said in (
        (dataclasses.replace(FEATURES, audio_features="log_mel"), "--audio_features waveform"),
        (dataclasses.replace(FEATURES, sample_rate_hz=22050), "--sample_rate_hz 16000"),
    ):
        with pytest.raises(UserError, match=f"prepare them with {said}$"):
            untrained(tmp_path, features, audio=f"{audio})", fusion="audio_only")
    with pytest.raises(UserError, match="pool is 'max'; it must be attention, mean_std or none"):
        untrained(tmp_path, FEATURES, audio=f"{audio}, pool='max')", fusion="audio_only")


def test_without_onnx_runtime_one_line_has_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = onnx_made.written(tmp_path / "encoder.onnx", name="of_this_test_alone")
    branch(path).save(tmp_path / "model.keras")
    gc.collect()  # an encoder that is open already would be used
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # marks a missing module
    for act in (lambda: branch(path), lambda: run_dir.load_model(tmp_path / "model.keras")):
        with pytest.raises(UserError, match=r"pip install 'emorec-tf\[onnx\]'$") as error:
            act()
        assert "\n" not in str(error.value)


def test_each_copy_is_named_in_its_own_message(tmp_path: Path) -> None:
    path = onnx_made.written(tmp_path / "encoder.onnx")
    (tmp_path / "copy.onnx").write_bytes(path.read_bytes())
    kept = onnx_encoders.of_file(os.fspath(path))
    with pytest.raises(UserError, match=r"copy\.onnx has no output 'men'"):
        onnx_encoders.of_file(os.fspath(tmp_path / "copy.onnx")).layout("men", 4000)
    with pytest.raises(UserError, match=r"encoder\.onnx has no output 'men'"):
        kept.layout("men", 4000)


def test_copies_of_an_encoder_share_its_memory(tmp_path: Path) -> None:
    path = onnx_made.written(tmp_path / "encoder.onnx")
    (tmp_path / "copy.onnx").write_bytes(path.read_bytes())
    first, second = (onnx_encoders.of_file(os.fspath(p)) for p in (path, tmp_path / "copy.onnx"))
    assert first._session is second._session
    assert first.layout("", 4000) is second.layout("", 4000)
    assert first.layout("", 4000).least_samples == onnx_made.WINDOW

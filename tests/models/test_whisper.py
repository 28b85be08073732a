"""Whisper's encoder equals CTranslate2's; its branch keeps the frozen weights in half precision.

The numbers in data/whisper_ctranslate2.txt come from ctranslate2 4.8.5: a model of the weights in
``whisper_made`` (and any decoder), given ``spectrum``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import whisper_made
from audio_nets import batch
from places import DATA, ROOT

from emorec_tf.config import choices
from emorec_tf.config.config import Config, FeaturesConfig, ModelConfig
from emorec_tf.errors import UserError
from emorec_tf.features.audio_features import fit_length, layer_of
from emorec_tf.models.audio.whisper import whisper_encoder
from emorec_tf.models.audio.whisper_layers import gelu
from emorec_tf.models.model import build_model
from emorec_tf.models.pretrained import whisper_files
from emorec_tf.training import band_scale, speaker_adaptation

GOLDEN = ROOT / "tests" / "data" / "whisper_ctranslate2.txt"
MODEL = "EMOREC_WHISPER"  # a folder with a model of CTranslate2, tiny.en
FEATURES = FeaturesConfig(
    clip_seconds=1.0, audio_features="mel_db", mel_bands=80, mel_min_hz=0.0, face_frames=0
)


def spectrum() -> np.ndarray:
    """A spectrum in the scale of Whisper, [T, M]."""
    t, b = np.mgrid[:50, :80]
    return (0.6 * np.sin(0.3 * t + 0.1 * b) + 0.3 * np.cos(0.07 * t * b)).astype(np.float32)


def decibels() -> np.ndarray:
    return 10.0 * (4.0 * spectrum() - 4.0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    return whisper_made.ctranslate2(whisper_made.encoder(), folder / "model.bin")


def built(arguments: str, frames: int = 50, bands: int = 80) -> keras.Model:
    keras.utils.set_random_seed(0)
    tensors = {
        "audio": keras.Input((frames, bands), name="audio"),
        "audio_mask": keras.Input((frames,), name="audio_mask"),
    }
    choice = f"whisper(size='test', {arguments})"
    return keras.Model(tensors, list(choices.resolve("audio", choice)(tensors)))


def answered(model: keras.Model, audio: np.ndarray) -> np.ndarray:
    """Values of one clip without padding."""
    mask = np.ones((1, len(audio)), np.float32)
    return np.asarray(model({"audio": audio[None], "audio_mask": mask})[0])[0]


@pytest.mark.parametrize("kind", whisper_made.WRITERS)
def test_the_encoder_equals_ctranslate2(kind, tmp_path):
    path = whisper_made.WRITERS[kind](whisper_made.encoder(), tmp_path / "weights")
    found = answered(whisper_encoder("test", str(path)), decibels())
    assert found.shape == (25, 3, 8)
    np.testing.assert_allclose(found[:, -1], np.loadtxt(GOLDEN), atol=2e-5)


@pytest.mark.data("emodb/flac")
def test_tiny_en_equals_ctranslate2_on_speech():
    """The installed ctranslate2 and published weights, on the features of real clips."""
    ctranslate2 = pytest.importorskip("ctranslate2")
    soundfile = pytest.importorskip("soundfile")
    if MODEL not in os.environ:
        pytest.skip(f"set {MODEL} to a folder with CTranslate2's model of Whisper tiny.en")
    folder = Path(os.environ[MODEL])
    theirs = ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="float32")
    ours = whisper_encoder("tiny.en", str(folder / "model.bin"))
    for path in sorted((DATA / "emodb" / "flac").glob("*.flac"))[:5]:
        waveform, rate = soundfile.read(path, dtype="float32")
        assert rate == 16000
        mel = np.asarray(layer_of(FEATURES)(waveform[None, : len(waveform) // 320 * 320]))[0, :-1]
        given = np.ascontiguousarray((np.maximum(mel, mel.max() - 80) / 10 + 4)[None] / 4)
        given = np.ascontiguousarray(given.transpose(0, 2, 1))
        wanted = np.array(theirs.encode(ctranslate2.StorageView.from_array(given)))[0]
        found = answered(ours, mel)[:, -1]
        np.testing.assert_allclose(found, wanted, atol=0.01)
        assert np.abs(found - wanted).mean() < 1e-3


def test_gelu_is_the_exact_one():
    from scipy.special import erf

    x = np.linspace(-9, 9, 10001)
    found = np.asarray(gelu(x.astype(np.float32)))
    np.testing.assert_allclose(found, x * 0.5 * (1 + erf(x / np.sqrt(2))), atol=6e-7)


def test_half_precision_equals_single(weights):
    frozen = built(f"pool='none', weights='{weights}'")
    trained = built(f"pool='none', trainable=2, weights='{weights}'")
    np.testing.assert_allclose(
        answered(frozen, decibels()), answered(trained, decibels()), atol=1e-5
    )
    assert frozen.trainable_weights == []
    names = {w.path.split("/")[0] for w in trained.trainable_weights}
    assert names == {"whisper_block_0", "whisper_block_1", "whisper_norm"}
    last = built(f"trainable=1, weights='{weights}'")
    names = {w.path.split("/")[0] for w in last.trainable_weights}
    assert names == {"whisper_block_1", "whisper_norm"}
    frozen.trainable = True  # as a fine-tuning script may ask of all layers
    assert frozen.trainable_weights == []


def test_layers(weights):
    encoder = answered(whisper_encoder("test", str(weights)), decibels())  # [S, 3, 8]
    for layers, wanted in (("last", encoder[:, 2]), ("0", encoder[:, 0]), ("2", encoder[:, 2])):
        found = answered(built(f"pool='none', layers='{layers}', weights='{weights}'"), decibels())
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    model = built(f"pool='none', layers='all', weights='{weights}'")
    np.testing.assert_allclose(answered(model, decibels()), encoder.mean(1), atol=1e-5)
    (scores,) = model.trainable_weights
    scores.assign([-50.0, 50.0, -50.0])
    np.testing.assert_allclose(answered(model, decibels()), encoder[:, 1], atol=1e-5)
    found = answered(built(f"layers='concat', weights='{weights}'"), decibels())[0]
    joined = encoder.reshape(25, 24)
    wanted = np.concatenate([joined.mean(0), np.sqrt(joined.var(0) + 1e-5)])
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_padding_is_the_silence_of_whisper(weights):
    """A padded clip equals one whose end is 80 dB below its loudest moment, up to there."""
    model = whisper_encoder("test", str(weights))
    audio, mask = np.stack([decibels()] * 2), np.ones((2, 50), np.float32)
    mask[:, 30:] = 0
    audio[0, 30:] = 99.0
    audio[1, 30:] = audio[1, :30].max() - 80.0
    padded, silent = (np.asarray(x) for x in model({"audio": audio, "audio_mask": mask})[0])
    np.testing.assert_allclose(padded, silent, atol=1e-5)
    # the last real token's convolutions end one frame later, which alone is silence or nothing
    short = answered(whisper_encoder("test", str(weights)), audio[0, :30])
    np.testing.assert_allclose(padded[:13, 0], short[:13, 0], atol=1e-5)


def test_thirty_seconds_and_no_more(weights):
    model = built(f"pool='none', weights='{weights}'", frames=3001)
    assert model.outputs[0].shape == (None, 1500, 8)
    with pytest.raises(UserError, match="at most 30 s of audio, not 3002 frames"):
        built(f"weights='{weights}'", frames=3002)


def test_a_saved_model_needs_no_file(tmp_path, reloaded, weights):
    own = whisper_made.ctranslate2(whisper_made.encoder(), tmp_path / "model.bin")
    model = built(f"weights='{own}', layers='all', pool='attention'")
    own.unlink()
    inputs = {"audio": decibels()[None], "audio_mask": np.ones((1, 50), np.float32)}
    wanted = [np.asarray(output) for output in model(inputs)]
    again = reloaded(model)
    for mine, theirs in zip(wanted, again(inputs), strict=True):
        np.testing.assert_array_equal(theirs, mine)


def stored_types(model: keras.Model, path: Path) -> set[str]:
    """Types of the numbers in a saved model."""
    found = set()
    model.save(path)
    with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as raw:
        stored = h5py.File(io.BytesIO(raw.read()))
        stored.visititems(lambda _, x: found.add(str(getattr(x, "dtype", ""))))
    return found - {""}


def test_frozen_weights_are_saved_in_half_precision(tmp_path, weights, reloaded):
    assert stored_types(built(f"weights='{weights}'"), tmp_path / "a.keras") == {"float16"}
    last = built(f"weights='{weights}', trainable=1")
    assert stored_types(last, tmp_path / "a.keras") == {"float16", "float32"}
    arrays = {n: 1.2345678 * array for n, array in whisper_made.encoder().items()}  # not half's own
    path = whisper_made.safetensors(arrays, tmp_path / "weights")
    model = built(f"weights='{path}'")
    inputs = {"audio": decibels()[None], "audio_mask": np.ones((1, 50), np.float32)}
    wanted = np.asarray(model(inputs)[0])
    np.testing.assert_array_equal(reloaded(model)(inputs)[0], wanted)
    single = built(f"weights='{path}', trainable=2")
    np.testing.assert_allclose(np.asarray(single(inputs)[0]), wanted, atol=2e-3)


def test_the_download_is_checked_and_made_once(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOREC_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "published"
    folder.mkdir()
    whisper_made.openai(whisper_made.encoder(), folder / "test.pt")
    sha256 = hashlib.sha256((folder / "test.pt").read_bytes()).hexdigest()
    (tmp_path / "origin").mkdir()
    folder.rename(tmp_path / "origin" / sha256)
    monkeypatch.setattr(whisper_files, "ORIGIN", (tmp_path / "origin").as_uri())
    monkeypatch.setitem(whisper_files.SHA256, "test", sha256)
    found = answered(built("pool='none', weights='download'"), decibels())
    np.testing.assert_allclose(found, np.loadtxt(GOLDEN), atol=2e-5)
    (tmp_path / "origin" / sha256 / "test.pt").unlink()
    built("pool='none', weights='download'")
    monkeypatch.setitem(whisper_files.SHA256, "test", "0" * 64)
    with pytest.raises(UserError, match=r"download it elsewhere and pass whisper\(weights="):
        built("weights='download'")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("size='huge'", "size is 'huge'; it must be tiny.en, tiny"),
        ("layers='3'", "layers is '3'; it must be last, all, concat or a number up to 2"),
        ("trainable=3", "trainable is 3; it must be at most 2, the blocks of test"),
        ("trainable=1, weights='none'", "trainable is 1; it must be 0 where weights is 'none'"),
        ("pool='max', weights='none'", "pool is 'max'; it must be attention, mean_std or none"),
        ("weights='nowhere.bin'", r"nowhere.bin: no such file; whisper\(weights=...\) needs"),
        ("weights='download'", "weights is 'download'; it must be a file for size test"),
    ],
)
def test_wrong_arguments(arguments, message):
    size = "" if "size" in arguments else "size='test', "
    inputs = {n: keras.Input(s) for n, s in (("audio", (50, 80)), ("audio_mask", (50,)))}
    with pytest.raises(UserError, match=message):
        choices.resolve("audio", f"whisper({size}{arguments})")(inputs)


def test_files_of_another_size_are_refused(weights, tmp_path):
    inputs = {n: keras.Input(s) for n, s in (("audio", (50, 80)), ("audio_mask", (50,)))}
    with pytest.raises(UserError, match="has 2 blocks, tiny has 4; name its size"):
        choices.resolve("audio", f"whisper(size='tiny', weights='{weights}')")(inputs)
    path = whisper_made.safetensors(whisper_made.encoder(bands=40), tmp_path / "weights")
    with pytest.raises(UserError, match=r"conv1.weight is \(8, 40, 3\), test needs \(8, 80, 3\)"):
        built(f"weights='{path}'")
    arrays = whisper_made.encoder()
    del arrays["layers.1.fc2.bias"]
    path = whisper_made.safetensors(arrays, tmp_path / "weights")
    with pytest.raises(UserError, match=r"layers.1.fc2.bias is missing"):
        built(f"weights='{path}'")


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        ("", False),
        ("layers='concat'", False),
        ("layers='2', pool='none'", False),
        ("layers='all'", True),
        ("trainable=1", True),
        ("pool='attention'", True),
        ("weights='none'", True),
    ],
)
def test_which_arguments_need_training(arguments, needed):
    assert choices.needs_training("audio", f"whisper({arguments})") == needed


def network(weights: Path, features: FeaturesConfig = FEATURES) -> keras.Model:
    keras.utils.set_random_seed(0)
    audio = f"whisper(size='test', weights='{weights}')"
    config = Config(features=features, model=ModelConfig(audio=audio, fusion="audio_only"))
    mean = np.linspace(-40, -30, 80, dtype=np.float32)
    return build_model(config, ("a", "b"), mean, np.linspace(5, 9, 80, dtype=np.float32))


def clips(gain: float = 1.0) -> dict[str, np.ndarray]:
    """Two clips of noise bursts, one of them short."""
    random = np.random.default_rng(0)
    audio, masks = [], []
    for samples in (16000, 9000):
        bursts = np.sin(np.arange(samples) / 900) ** 2 * random.normal(0, 0.1, samples)
        padded, mask = fit_length((gain * bursts).astype(np.float32), FEATURES)
        audio.append(np.asarray(layer_of(FEATURES)(padded[None]))[0])
        masks.append(mask)
    no_faces = {"faces": np.zeros((2, 0, 48, 48, 1), np.uint8), "face_mask": np.zeros((2, 0))}
    mask = np.stack(masks).astype(np.float32)
    return {"audio": np.stack(audio), "audio_mask": mask, **no_faces}


def test_the_branch_gets_features_as_they_are(weights):
    model, inputs = network(weights), clips()
    below = keras.Model(model.input, model.get_layer("audio_tokens").output)
    values = below.predict_on_batch(inputs)
    alone = built(f"weights='{weights}'", frames=101)
    inputs = {name: inputs[name] for name in ("audio", "audio_mask")}
    np.testing.assert_allclose(values, np.asarray(alone(inputs)[0]), atol=1e-4)


def test_speaker_adaptation_takes_the_level_out(weights):
    """The scale of a speaker becomes that of training, still in decibels; padding stays silent."""
    model = network(weights)
    mean, deviation = band_scale.standard_of(model)
    np.testing.assert_allclose(mean, np.linspace(-40, -30, 80), atol=1e-4)
    np.testing.assert_allclose(deviation, np.linspace(5, 9, 80), atol=1e-4)
    found = []
    for gain in (1.0, 4.0):
        adapter = speaker_adaptation.SpeakerAdapter.for_model(model, 2)
        own = clips(gain)
        parts = [{n: a[i : i + 1] for n, a in own.items()} for i in range(2)]
        adapted = adapter.fit_speaker(parts, model)(own)
        found.append(model.predict_on_batch({n: np.asarray(a) for n, a in adapted.items()}))
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)
    plain = model.predict_on_batch(clips(4.0))
    assert np.abs(plain - found[1]).max() > 0.01


def test_other_features_are_refused(weights):
    other = dataclasses.replace(FEATURES, mel_bands=64, audio_features="log_mel")
    message = "prepare them with --audio_features mel_db --mel_bands 80$"
    with pytest.raises(UserError, match=message):
        network(weights, other)


def test_random_weights_take_any_bands():
    model = built("weights='none'", frames=48, bands=16)
    assert np.isfinite(model.predict_on_batch(batch())[0]).all()

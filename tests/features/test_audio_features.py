"""All audio features against librosa, Kaldi and closed forms."""

from __future__ import annotations

import dataclasses
from typing import Any

import kaldi_native_fbank
import keras
import librosa
import numpy as np
import pytest
import scipy.signal
import soundfile
from places import DATA

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.datasets.demo import synthetic_voices
from emorec_tf.features import filterbanks
from emorec_tf.features.audio_features import AUDIO_FEATURES, POWER_FLOOR, fit_length, layer_of

EMODB = "emodb/flac"
FEATURES = FeaturesConfig(clip_seconds=1.0)
KALDI = FeaturesConfig(audio_features="fbank", mel_bands=23, mel_min_hz=20.0, clip_seconds=3.0)
MEL_DB = FeaturesConfig(
    audio_features="mel_db",
    sample_rate_hz=48000,
    clip_seconds=3.0,
    window_seconds=0.0426667,
    hop_seconds=0.0106667,
    mel_bands=128,
    mel_min_hz=0.0,
)
MFCC = dataclasses.replace(MEL_DB, audio_features="mfcc")
TIME = np.arange(16000, dtype=np.float64) / 16000


def oracle(waveform: np.ndarray, features: FeaturesConfig) -> np.ndarray:
    """Librosa's mel power of whole windows, through the logarithm: [T, M]."""
    fft_length = 1 << (features.window_samples - 1).bit_length()
    margin = (fft_length - features.window_samples) // 2
    power = librosa.feature.melspectrogram(
        y=np.pad(waveform.astype(np.float64), margin),  # it centres the window in the FFT
        sr=features.sample_rate_hz,
        n_fft=fft_length,
        win_length=features.window_samples,
        hop_length=features.hop_samples,
        center=False,
        n_mels=features.mel_bands,
        fmin=features.mel_min_hz,
        fmax=features.mel_max_hz,
        htk=True,
        norm=None,
    )
    return np.log(power.T + POWER_FLOOR)


def features_of(waveform: np.ndarray, features: FeaturesConfig) -> np.ndarray:
    return np.asarray(layer_of(features)(waveform[None].astype(np.float32)))[0]


def log_mel(waveform: np.ndarray, features: FeaturesConfig = FEATURES) -> np.ndarray:
    return features_of(waveform, features)


def voice() -> np.ndarray:
    """Harmonics of a gliding pitch under a formant, with pauses: the levels of speech."""
    pitch_hz = 120 + 40 * np.sin(2 * np.pi * 1.5 * TIME)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / 16000
    tones = sum(np.exp(-(((n * 120 - 700) / 500) ** 2)) * np.sin(n * phase) for n in range(1, 40))
    return 0.1 * np.asarray(tones) * np.clip(np.sin(2 * np.pi * 3 * TIME), 0, 1)


@pytest.mark.parametrize(
    "waveform",
    [np.random.default_rng(0).normal(0, 0.1, 16000), voice(), 1e-3 * voice()],
    ids=["noise", "voice", "quiet voice"],
)
def test_log_mel_equals_librosa(waveform):
    np.testing.assert_allclose(log_mel(waveform), oracle(waveform, FEATURES), atol=1e-3)


def test_other_settings_equal_librosa(features):
    waveform = np.random.default_rng(1).normal(0, 0.1, features.clip_samples)
    ours = log_mel(waveform, features)
    assert ours.shape == (features.audio_frames, features.audio_width)
    np.testing.assert_allclose(ours, oracle(waveform, features), atol=1e-3)


@pytest.mark.parametrize("hz", [440.0, 1000.0, 3000.0])
def test_a_sine_peaks_in_its_band(hz):
    def mel(f):
        return 2595 * np.log10(1 + f / 700)

    low, high, bands = mel(50), mel(8000), FEATURES.mel_bands
    band = round((mel(hz) - low) / (high - low) * (bands + 1)) - 1  # the nearest centre
    found = log_mel(0.5 * np.sin(2 * np.pi * hz * TIME)).argmax(axis=1)
    assert set(found) == {band}


def test_silence_is_the_floor():
    np.testing.assert_allclose(log_mel(np.zeros(16000)), np.log(POWER_FLOOR), rtol=1e-6)


def kaldi(waveform: np.ndarray, features: FeaturesConfig) -> np.ndarray:
    """Kaldi's filter banks, by the package that ports its C++: [T, M]."""
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0.0
    options.frame_opts.samp_freq = features.sample_rate_hz
    options.frame_opts.frame_length_ms = 1000 * features.window_seconds
    options.frame_opts.frame_shift_ms = 1000 * features.hop_seconds
    options.mel_opts.num_bins = features.mel_bands
    options.mel_opts.low_freq = features.mel_min_hz
    options.mel_opts.high_freq = features.mel_max_hz
    stream = kaldi_native_fbank.OnlineFbank(options)
    stream.accept_waveform(features.sample_rate_hz, waveform.astype(np.float32).tolist())
    stream.input_finished()
    return np.array([stream.get_frame(t) for t in range(stream.num_frames_ready)])


def waveform_of(kind: str, rate: int) -> np.ndarray:
    """Up to three seconds of noise, of a synthetic voice, or of EMO-DB."""
    if kind == "noise":
        return np.random.default_rng(0).normal(0, 0.1, 3 * rate).astype(np.float32)
    if kind == "demo voice":
        manner = synthetic_voices.Prosody(0, 1.5, -2, 4.2, 1600, 0.0, 0, 0.0)
        speaker = synthetic_voices.Voice(120.0, 1.0, 0.05, 0.01, 1.0)
        random = np.random.default_rng(0)
        wave, own = synthetic_voices.speak(speaker, manner, 2.0, random), 24000
    else:
        wave, own = soundfile.read(DATA / EMODB / kind, dtype="float32")
    wave = scipy.signal.resample_poly(wave, rate // 8000, own // 8000)
    return wave[: 3 * rate].astype(np.float32)


SPEECH = ("03a01Fa.flac", "08b03Lc.flac")
WAVEFORMS = (
    "noise",
    "demo voice",
    *(pytest.param(n, marks=pytest.mark.data(EMODB)) for n in SPEECH),
)


@pytest.mark.parametrize("kind", WAVEFORMS)
def test_fbank_equals_kaldi(kind):
    waveform = waveform_of(kind, 16000)
    theirs = kaldi(waveform, KALDI)
    padded, mask = fit_length(waveform, KALDI)
    assert mask.sum() == len(theirs)
    np.testing.assert_allclose(features_of(padded, KALDI)[mask > 0], theirs, atol=1e-3)


def test_fbank_of_other_settings_equals_kaldi():
    features = FeaturesConfig(
        audio_features="fbank",
        sample_rate_hz=8000,
        clip_seconds=1.0,
        window_seconds=0.032,  # 256 samples: no zeros before the transform
        mel_bands=40,
        mel_min_hz=0.0,
        mel_max_hz=3800.0,
    )
    waveform = waveform_of("demo voice", 8000)[:8000] + 0.2  # the mean of a frame goes
    np.testing.assert_allclose(
        features_of(waveform, features), kaldi(waveform, features), atol=1e-3
    )


def test_fbank_at_full_scale_is_nearer_to_double_precision_than_kaldi():
    """A sweep leaves bands 100 dB below its own: the worst case for single precision."""
    time = np.arange(48000) / 16000
    sweep = np.sin(2 * np.pi * (50 * time + 1200 * time**2)).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(sweep.astype(float), 400)[::160]
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    povey = np.hanning(400) ** 0.85
    power = np.abs(np.fft.rfft((frames - 0.97 * before) * povey, 512)) ** 2
    mel = filterbanks.kaldi_matrix(23, 512, 16000, 20.0, 8000.0)
    exact = np.log(np.maximum(power[:, :-1] @ mel, np.finfo(np.float32).eps))
    ours = np.abs(features_of(sweep, KALDI) - exact).max()
    assert ours < 1e-2
    assert ours < np.abs(kaldi(sweep, KALDI) - exact).max()


def decibels(waveform: np.ndarray, features: FeaturesConfig) -> np.ndarray:
    """Librosa's mel spectrogram in decibels, of exactly the samples given: [T, M]."""
    power = librosa.feature.melspectrogram(
        y=waveform.astype(np.float64),
        sr=features.sample_rate_hz,
        n_fft=features.window_samples,
        hop_length=features.hop_samples,
        n_mels=features.mel_bands,
        fmin=features.mel_min_hz,
        fmax=features.mel_max_hz,
    )
    return librosa.power_to_db(power).T


@pytest.mark.parametrize("max_hz", [8000.0, 24000.0])
@pytest.mark.parametrize("kind", WAVEFORMS)
def test_mel_db_and_mfcc_equal_librosa(kind, max_hz):
    waveform = waveform_of(kind, 48000)
    padded, mask = fit_length(waveform, MEL_DB)
    theirs = decibels(waveform, dataclasses.replace(MEL_DB, mel_max_hz=max_hz))
    assert mask.sum() == len(theirs)
    mels = features_of(padded, dataclasses.replace(MEL_DB, mel_max_hz=max_hz))
    assert mels.shape == (282, 128)
    np.testing.assert_allclose(mels[mask > 0], theirs, atol=1e-2)  # decibels
    coefficients = features_of(padded, dataclasses.replace(MFCC, mel_max_hz=max_hz))
    assert coefficients.shape == (282, 20)
    theirs = librosa.feature.mfcc(S=theirs.T, n_mfcc=20).T
    limit = 1e-4 * np.abs(theirs).max()
    np.testing.assert_allclose(coefficients[mask > 0], theirs, atol=limit)


def test_worst_decibels_stay_within_a_fiftieth():
    """A full-scale tone on a constant: 80 dB below it, single precision shows."""
    time = np.arange(144000) / 48000
    tone = 0.3 * np.sin(2 * np.pi * 440 * time) + 0.5
    np.testing.assert_allclose(features_of(tone, MEL_DB), decibels(tone, MEL_DB), atol=0.02)


@pytest.mark.parametrize("samples", [1, 511, 512, 1023, 1024, 60000, 143999, 144000])
@pytest.mark.filterwarnings("ignore:n_fft=2048 is too large")  # librosa's, of the short ones
def test_padding_with_zeros_leaves_real_frames_alone(samples):
    waveform = np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)
    waveform[-512:] *= 0.1  # the loudest moment is not in the last hop
    waveform[0] = 1.0
    padded, mask = fit_length(waveform, MEL_DB)
    assert mask.sum() == 1 + samples // 512
    found = features_of(padded, MEL_DB)[mask > 0]
    np.testing.assert_allclose(found, decibels(waveform, MEL_DB), atol=2e-2)


def test_silence_of_every_kind():
    silence = np.zeros(16000)
    kind: Any
    for kind, level in (("fbank", np.log(np.finfo(np.float32).eps)), ("mel_db", -100.0)):
        features = dataclasses.replace(FEATURES, audio_features=kind)
        np.testing.assert_allclose(features_of(silence, features), level, rtol=1e-6)
    features = dataclasses.replace(FEATURES, audio_features="mfcc")
    constant = np.zeros((101, 20))
    constant[:, 0] = -100 * np.sqrt(64)  # the mean level over 64 bands
    np.testing.assert_allclose(features_of(silence, features), constant, atol=1e-3)


def test_clips_are_independent_and_frames_local():
    noise = np.random.default_rng(2).normal(0, 0.1, (2, 16000)).astype(np.float32)
    layer = layer_of(FEATURES)
    both = np.asarray(layer(noise))
    np.testing.assert_allclose(both[1], np.asarray(layer(noise[1:]))[0], atol=1e-5)
    changed = noise.copy()
    changed[0, 1600:] = 0
    same = 1 + (1600 - 400) // 160
    np.testing.assert_allclose(np.asarray(layer(changed))[0, :same], both[0, :same], atol=1e-5)


@pytest.mark.parametrize("kind", AUDIO_FEATURES)
def test_a_model_with_it_reloads(kind, reloaded):
    features = dataclasses.replace(FEATURES, audio_features=kind)
    keras_input = keras.Input((16000,))
    model = keras.Model(keras_input, layer_of(features)(keras_input))
    assert model.output_shape == (None, features.audio_frames, features.audio_width)
    assert model.weights == []
    noise = np.random.default_rng(3).normal(0, 0.1, (2, 16000)).astype(np.float32)
    found = model.predict_on_batch(noise)
    assert found.shape == (2, *model.output_shape[1:])
    np.testing.assert_array_equal(found, reloaded(model).predict_on_batch(noise))
    alone = model.predict_on_batch(noise[1:])[0]  # clips do not affect each other
    np.testing.assert_allclose(found[1], alone, atol=1e-3)


def test_fit_length():
    features = FEATURES
    for samples in (0, 1, 399, 400, 559, 560, 15999, 16000, 20000):
        waveform = np.ones(samples, np.float32)
        padded, mask = fit_length(waveform, features)
        whole = sum(start + 400 <= samples for start in range(0, 16000 - 399, 160))
        assert padded.shape == (16000,)
        assert padded.sum() == min(samples, 16000)
        assert mask.sum() == max(whole, min(samples, 1))  # a click is one frame, nothing is none
        assert (np.diff(mask.astype(int)) <= 0).all()
        assert (padded.dtype, mask.dtype, len(mask)) == (
            np.float32,
            np.uint8,
            features.audio_frames,
        )


@pytest.mark.parametrize("samples", [1, 159, 160, 16000, 16085])
def test_blocks_hold_the_samples_themselves(samples):
    features = dataclasses.replace(FEATURES, audio_features="waveform", clip_seconds=1.005)
    waveform = np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)
    padded, mask = fit_length(waveform, features)
    blocks = features_of(padded, features)
    assert blocks.shape == (100, 160)
    assert mask.sum() == max(1, min(samples, 16080) // 160)  # whole blocks, of a click one
    real = blocks[mask > 0].ravel()
    np.testing.assert_array_equal(real[:samples], waveform[: len(real)])
    assert not real[samples:].any()


def test_fit_length_of_centred_frames():
    for samples in (0, 1, 511, 512, 143999, 144000, 150000):
        padded, mask = fit_length(np.ones(samples, np.float32), MFCC)
        assert padded.sum() == min(samples, 144000)
        moments = 512 * np.arange(282)  # a frame is real if its centre is not after the audio
        np.testing.assert_array_equal(mask, (moments <= samples) & (samples > 0))

"""Log-mel against librosa and closed forms."""

from __future__ import annotations

import keras
import librosa
import numpy as np
import pytest

from emorec_tf.audio_features import POWER_FLOOR, fit_length, log_mel_layer, mel_matrix
from emorec_tf.config import FeaturesConfig

FEATURES = FeaturesConfig(clip_seconds=1.0)
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


def log_mel(waveform: np.ndarray, features: FeaturesConfig = FEATURES) -> np.ndarray:
    return np.asarray(log_mel_layer(features)(waveform[None].astype(np.float32)))[0]


def voice() -> np.ndarray:
    """Harmonics of a gliding pitch under a formant, with pauses: the levels of speech."""
    pitch_hz = 120 + 40 * np.sin(2 * np.pi * 1.5 * TIME)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / 16000
    tones = sum(np.exp(-(((n * 120 - 700) / 500) ** 2)) * np.sin(n * phase) for n in range(1, 40))
    return 0.1 * np.asarray(tones) * np.clip(np.sin(2 * np.pi * 3 * TIME), 0, 1)


@pytest.mark.parametrize(
    ("bands", "fft_length", "rate", "low", "high"),
    [(64, 512, 16000, 50, 8000), (40, 512, 16000, 0, 8000), (16, 256, 8000, 100, 3800)],
)
def test_mel_matrix_equals_librosa(bands, fft_length, rate, low, high):
    theirs = librosa.filters.mel(
        sr=rate, n_fft=fft_length, n_mels=bands, fmin=low, fmax=high, htk=True, norm=None
    )
    ours = mel_matrix(bands, fft_length, rate, low, high)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs.T, atol=1e-6)


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


def test_rows_are_independent_and_frames_local():
    noise = np.random.default_rng(2).normal(0, 0.1, (2, 16000)).astype(np.float32)
    layer = log_mel_layer(FEATURES)
    both = np.asarray(layer(noise))
    np.testing.assert_allclose(both[1], np.asarray(layer(noise[1:]))[0], atol=1e-5)
    changed = noise.copy()
    changed[0, 1600:] = 0
    same = 1 + (1600 - 400) // 160
    np.testing.assert_allclose(np.asarray(layer(changed))[0, :same], both[0, :same], atol=1e-5)


def test_a_model_with_it_reloads(reloaded):
    keras_input = keras.Input((16000,))
    model = keras.Model(keras_input, log_mel_layer(FEATURES)(keras_input))
    assert model.output_shape == (None, FEATURES.audio_frames, FEATURES.audio_width)
    assert model.weights == []
    noise = np.random.default_rng(3).normal(0, 0.1, (1, 16000)).astype(np.float32)
    again = reloaded(model)
    np.testing.assert_array_equal(model.predict_on_batch(noise), again.predict_on_batch(noise))


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

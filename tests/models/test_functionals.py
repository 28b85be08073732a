"""functionals: each statistic against SciPy's or NumPy's, over the frames where speech is."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.fft
import scipy.stats

from emorec_tf.config import choices, config
from emorec_tf.config.config import FeaturesConfig, ModelConfig
from emorec_tf.errors import UserError
from emorec_tf.features.audio_features import fit_length, layer_of
from emorec_tf.models.audio import functionals
from emorec_tf.models.model import build_model

T, M = 90, 20


def spectra(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    level = 3 * np.sin(np.linspace(0, 9, T))[None, :, None]
    mask = np.ones((2, T), np.float32)
    mask[1, 70:] = 0
    return (random.normal(size=(2, T, M)) + level).astype(np.float32) * mask[..., None], mask


def speech_of(audio: np.ndarray, mask: np.ndarray, row: int) -> np.ndarray:
    level = audio[row].mean(-1)
    real = mask[row] > 0
    return real & (level > level[real].max() - 2.0)


def test_cosines_are_scipys():
    x = np.random.default_rng(0).normal(size=(5, M))
    wanted = scipy.fft.dct(x, type=2, norm="ortho")[:, :7]
    np.testing.assert_allclose(x @ functionals.cosines(M, 7), wanted, atol=1e-6)


@pytest.mark.parametrize("row", [0, 1])
def test_moments(row):
    audio, mask = spectra()
    speech = np.stack([speech_of(audio, mask, r) for r in (0, 1)])
    found = np.asarray(functionals.moments(audio, speech.astype(np.float32), higher=True))[row]
    x = audio[row][speech[row]]
    wanted = [x.mean(0), x.std(0), scipy.stats.skew(x), scipy.stats.kurtosis(x, fisher=False)]
    np.testing.assert_allclose(found, np.concatenate(wanted), atol=2e-4)


def test_speeds_correlations_and_lags():
    audio, mask = spectra()
    x = audio[1, :70]
    steps = np.diff(x, axis=0)
    wanted = np.concatenate([np.abs(steps).mean(0), np.sqrt((steps**2).mean(0))])
    np.testing.assert_allclose(np.asarray(functionals.speeds(audio, mask))[1], wanted, atol=1e-4)
    pairs = np.corrcoef(x[:, :5].T)[np.triu_indices(5, 1)]
    found = np.asarray(functionals.correlations(audio[..., :5], mask))[1]
    np.testing.assert_allclose(found, pairs, atol=1e-4)
    z = (x - x.mean(0)) / x.std(0)
    found = np.asarray(functionals.autocorrelation(audio, mask, 5))[1]
    np.testing.assert_allclose(found, (z[5:] * z[:-5]).mean(0), atol=1e-4)


def test_rhythm_is_a_spectrum_in_time():
    audio, mask = spectra()
    x = (audio[1] - audio[1, :70].mean(0)) * mask[1][:, None]
    size = np.abs(np.fft.fft(x, axis=0))[1:33]
    wanted = np.log(size.reshape(8, 4, M).mean(1) + 1e-3).ravel()
    np.testing.assert_allclose(np.asarray(functionals.rhythm(audio, mask))[1], wanted, atol=1e-3)


def test_segment_means_distinguish_a_rise_from_a_fall():
    rise = np.linspace(-1, 1, T, dtype=np.float32)[None, :, None] * np.ones((1, 1, M), np.float32)
    both = np.concatenate([rise, rise[:, ::-1]])
    inputs = {"audio": both, "audio_mask": np.ones((2, T), np.float32)}
    up, down = np.asarray(functionals.functionals(inputs, coefficients=1, parts=2).values)[:, 0]
    first = 2 * M + 2 * M + 4 + 2 + 2  # where the course begins
    assert up[first] < 0 < down[first]
    assert up[0] == pytest.approx(down[0], abs=1e-6), "the mean band is the same"


def test_impossible_arguments_are_refused_in_one_line():
    short = {"audio": np.zeros((1, 10, M), np.float32), "audio_mask": np.ones((1, 10), np.float32)}
    with pytest.raises(UserError, match="more than 15 frames"):
        functionals.functionals(short)
    audio, mask = spectra()
    with pytest.raises(UserError, match="coefficients is 21; it must be 1 to 20"):
        functionals.functionals({"audio": audio, "audio_mask": mask}, coefficients=21)


KINDS = [n for n, e in choices.entries("audio_features").items() if e.facts.powers is not None]


def speech_like(seconds: float, rate_hz: int) -> np.ndarray:
    """Noise in syllables, 20 dB above a steady noise: float32 [samples]."""
    count = int(seconds * rate_hz)
    noise = np.random.default_rng(0).normal(size=count)
    syllables = np.sin(np.pi * 4 * np.arange(count) / rate_hz) ** 4 + 0.1
    return (0.5 * noise * syllables).astype(np.float32)


def network(kind: str, audio: str) -> tuple[FeaturesConfig, keras.Model]:
    """Settings, and a model of features that is standardised band by band."""
    features = FeaturesConfig(audio_features=kind, clip_seconds=1.0, mel_bands=32, face_frames=0)
    model = ModelConfig(audio=audio, fusion="audio_only", classifier="lda()")
    random = np.random.default_rng(1)
    mean = random.normal(-5, 2, features.audio_width).astype(np.float32)
    deviation = random.uniform(0.5, 4, features.audio_width).astype(np.float32)
    settings = config.Config(features=features, model=model)
    return features, build_model(settings, ("a", "b"), mean, deviation)


def answered(features: FeaturesConfig, model: keras.Model, waveform: np.ndarray) -> np.ndarray:
    padded, mask = fit_length(waveform, features)
    audio = np.asarray(layer_of(features)(padded[None])) * mask[None, :, None]
    example = {name: np.zeros((1, *t.shape[1:]), np.float32) for name, t in model.input.items()}
    example |= {"audio": audio, "audio_mask": mask[None].astype(np.float32)}
    return np.asarray(model.predict_on_batch(example))[0]


@pytest.mark.parametrize("argument", ["level=False", "channel=False"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_volume_does_not_matter(kind: str, argument: str):
    features, model = network(kind, f"functionals(coefficients=8, modulations=True, {argument})")
    wave = speech_like(0.9, features.sample_rate_hz)
    as_recorded = answered(features, model, wave)
    assert as_recorded.any()
    for decibels in (-20, -10, -3, 3, 10, 20):
        found = answered(features, model, wave * np.float32(10 ** (decibels / 20)))
        # log_mel adds a floor to the power, 1e-6, which shows a little in frames this quiet
        np.testing.assert_allclose(found, as_recorded, atol=5e-3 if kind == "log_mel" else 1e-3)
    _, loud = network(kind, "functionals(coefficients=8, modulations=True)")
    changed = np.abs(answered(features, loud, wave / 10) - answered(features, loud, wave))
    assert changed.max() > 0.5, "without the argument it does"


def test_a_filter_of_the_bands_does_not_matter_without_the_channel():
    audio, mask = spectra()
    tilt = np.linspace(-2, 2, M).astype(np.float32) * mask[..., None]
    apart = {}
    for name, kept in (("channel", False), ("level", False), ("channel", True)):
        before, after = (
            functionals.functionals(
                {"audio": values, "audio_mask": mask}, coefficients=8, **{name: kept}
            )
            for values in (audio, audio + tilt)
        )
        apart[name, kept] = np.abs(np.asarray(before.values) - np.asarray(after.values)).max()
    assert apart["channel", False] < 1e-3
    assert apart["level", False] > 0.5
    assert apart["channel", True] > 0.5


def test_what_is_left_without_level_and_channel():
    audio, mask = spectra()
    inputs = {"audio": audio, "audio_mask": mask}
    whole, level, channel = (
        functionals.functionals(inputs, coefficients=8, **more).values.shape[-1]
        for more in ({}, {"level": False}, {"channel": False})
    )
    assert whole - level == 1, "the mean level"
    assert whole - channel == M + 8 + 1, "the long-term spectrum, its cepstrum, the mean level"
    silent = functionals.functionals(
        {"audio": 0 * audio, "audio_mask": 0 * mask}, coefficients=8, level=False
    )
    assert not np.asarray(silent.values).any()

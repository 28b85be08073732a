"""functionals: each statistic against SciPy's or NumPy's, over the frames where speech is."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import scipy.stats

from emorec_tf.errors import UserError
from emorec_tf.models.audio import functionals

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

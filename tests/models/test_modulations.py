"""modulations: against SciPy's two-dimensional correlation, and ripples of known rate."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from emorec_tf.errors import UserError
from emorec_tf.models.audio import modulations

T, M = 201, 64
STEADY, FALLING, RISING = 0, 1, 5  # kinds of filter, 16 places each; four ripples to a direction


def test_magnitudes_are_those_of_a_correlation_in_two_dimensions():
    audio = np.random.default_rng(0).normal(size=(2, T, M)).astype(np.float32)
    found = np.asarray(modulations.magnitudes(audio))
    assert found.shape == (2, 51, 9 * 16, 4)
    even, odd = modulations.over_bands(M)
    waves = modulations.along_frames()[0, :, 0]
    place, rate, ripple = 7, 2, 1
    column = (1 + ripple) * 16 + place
    over = even[:, column] + 1j * odd[:, column - 16]
    time = waves[:, rate] + 1j * waves[:, 4 + rate]
    for kind, across in ((FALLING, over), (RISING, over.conj())):
        kernel = np.outer(time, across)
        padded = np.pad(audio[1], ((len(time) // 2,) * 2, (0, 0)))
        # it conjugates its second argument
        whole = scipy.signal.correlate(padded, kernel.conj(), mode="valid")[:, 0]
        wanted = np.sqrt(np.abs(whole[::4]) ** 2 + 1e-6)
        column = (kind + ripple) * 16 + place
        np.testing.assert_allclose(found[1, :, column, rate], wanted, atol=1e-5)


@pytest.mark.parametrize("rate", range(4))
@pytest.mark.parametrize("ripple", [1, 2, 3])
def test_a_moving_ripple_excites_its_own_filter(rate, ripple):
    turns = np.arange(T)[:, None] / modulations.PERIODS[rate]
    turns = turns + modulations.RIPPLES[ripple] * np.arange(M)
    audio = np.cos(2 * np.pi * np.stack([turns, turns[::-1]])).astype(np.float32)
    sizes = np.asarray(modulations.magnitudes(audio))[:, 25].reshape(2, 9, 16, 4)[:, :, 8]
    # reversed in time, a falling ripple rises
    for size, kind in zip(sizes, (FALLING, RISING), strict=True):
        best = np.unravel_index(size.argmax(), size.shape)
        assert best == (kind + ripple, rate)


def test_a_constant_spectrum_excites_no_filter():
    still = np.tile(np.linspace(-2, 2, M, dtype=np.float32), (1, T, 1))
    sizes = np.asarray(modulations.magnitudes(still))[:, 10:-10]
    np.testing.assert_allclose(sizes, 1e-3, atol=1e-4)


def test_padding_is_ignored_and_segments_are_kept():
    audio = np.random.default_rng(1).normal(size=(1, T, M)).astype(np.float32)
    audio[:, 100:] = 0
    speech = (np.arange(T) < 80).astype(np.float32)[None]
    found = np.asarray(modulations.modulations(audio, speech, 2))
    assert found.shape == (1, 2 * 576 + 2 * 144)
    sizes = np.asarray(modulations.magnitudes(audio))[0]
    outputs = sizes[:20]  # frames 0, 4, ..., 76
    fine = outputs.reshape(20, -1)
    np.testing.assert_allclose(found[0, :576], np.log(fine.mean(0) + 1e-3), atol=1e-4)
    deviation = np.sqrt(fine.var(0) + 1e-5)
    np.testing.assert_allclose(found[0, 576:1152], np.log(deviation + 1e-3), atol=1e-4)
    second = outputs[10:].mean(0).reshape(36, 4, 4).mean(1).ravel()
    np.testing.assert_allclose(found[0, -144:], np.log(second + 1e-3), atol=1e-4)


def test_too_few_bands_are_refused_in_one_line():
    with pytest.raises(UserError, match="off for fewer than 16 bands"):
        modulations.magnitudes(np.zeros((1, T, 10), np.float32))

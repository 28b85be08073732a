"""Synthetic voices: pitch and formants, measured by librosa and linear prediction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from median_pitch import median_pitch

from emorec_tf.datasets.demo.synthetic_voices import SAMPLE_RATE_HZ, Prosody, Voice, blend, speak
from emorec_tf.datasets.demo.takes import PROSODIES, voice_of

PLAIN = Voice(f0_hz=120.0, formant_scale=1.0, breath=0.0, jitter=0.0, tempo=1.0)
MONOTONE = Prosody(0, 0, 0, 4, 3000, 0, 0, 0)


def say(voice: Voice, prosody: Prosody, seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    return speak(voice, prosody, seconds, np.random.default_rng(seed))


def median_f0(wave: np.ndarray) -> float:
    return median_pitch(wave, SAMPLE_RATE_HZ)


@pytest.mark.parametrize("f0_hz", [100.0, 200.0])
@pytest.mark.parametrize("shift_semitones", [0.0, 6.0])
def test_pitch_is_the_one_asked_for(f0_hz: float, shift_semitones: float) -> None:
    wave = say(replace(PLAIN, f0_hz=f0_hz), replace(MONOTONE, shift_semitones=shift_semitones))
    assert median_f0(wave) == pytest.approx(f0_hz * 2 ** (shift_semitones / 12), rel=0.02)


def test_length_type_range_and_repeatability() -> None:
    wave = say(PLAIN, PROSODIES["tense"], seconds=2.3)
    assert wave.shape == (round(2.3 * SAMPLE_RATE_HZ),)
    assert wave.dtype == np.float32
    assert np.isfinite(wave).all()
    assert np.abs(wave).max() < 1
    np.testing.assert_array_equal(wave, say(PLAIN, PROSODIES["tense"], seconds=2.3))


def test_level_is_in_decibels() -> None:
    quiet, loud = (say(PLAIN, replace(MONOTONE, level_db=level)) for level in (-6.0, 0.0))
    assert 20 * np.log10(loud.std() / quiet.std()) == pytest.approx(6.0, abs=0.3)


def test_brightness_and_tract_length_move_the_spectrum() -> None:
    def centroid(wave: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(wave)) ** 2
        return float(np.sum(power * np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE_HZ)) / power.sum())

    dull, bright = (say(PLAIN, replace(MONOTONE, brightness_hz=f)) for f in (500, 5000))
    assert centroid(bright) > 1.1 * centroid(dull)
    long, short = (say(replace(PLAIN, formant_scale=s), MONOTONE) for s in (0.9, 1.2))
    assert centroid(short) > 1.1 * centroid(long)


def test_blend_goes_from_rest_to_full_and_beyond() -> None:
    rest, full = PROSODIES["level"], PROSODIES["tense"]
    assert blend(rest, full, 0.0) == rest
    assert blend(rest, full, 1.0) == full
    assert blend(rest, full, 1.5).shift_semitones == pytest.approx(7.5)


def test_low_and_high_voices_alternate() -> None:
    pitches = [voice_of(actor, np.random.default_rng(actor)).f0_hz for actor in range(8)]
    assert max(pitches[0::2]) < min(pitches[1::2])

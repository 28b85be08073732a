"""Lossy codecs: nothing is shifted, little bits cost much."""

from __future__ import annotations

import numpy as np
import pytest

from emorec_tf.media import lossy_codecs
from emorec_tf.media.lossy_codecs import MP3, OPUS, coded

RATE_HZ = 16000


def syllables(samples: int = 24000) -> np.ndarray:
    seconds = np.arange(samples) / RATE_HZ
    sweep = np.sin(2 * np.pi * (300 * seconds + 200 * seconds**2))
    hiss = np.random.default_rng(0).normal(size=samples)
    return ((0.3 * sweep + 0.03 * hiss) * np.sin(3 * np.pi * seconds) ** 2).astype(np.float32)


@pytest.mark.parametrize("codec", [MP3, OPUS])
def test_a_codec_keeps_time_and_length_and_loses_more_with_fewer_bits(codec: lossy_codecs.Codec):
    wave = syllables()
    losses = []
    for bits in (16_000, 64_000):
        found = coded(wave, RATE_HZ, codec, bits)
        assert found.shape == wave.shape
        assert found.dtype == np.float32
        shifts = np.correlate(found, wave[4000:-4000], "valid").argmax() - 4000
        assert abs(shifts) <= 1
        losses.append(float(np.square(found - wave).sum() / np.square(wave).sum()))
    assert 1e-4 < losses[1] < losses[0] < 0.3
    np.testing.assert_array_equal(
        coded(wave, RATE_HZ, codec, 16_000), coded(wave, RATE_HZ, codec, 16_000)
    )


@pytest.mark.parametrize("codec", [MP3, OPUS])
def test_short_audio_survives(codec: lossy_codecs.Codec):
    assert coded(syllables(100), RATE_HZ, codec, 16_000).shape == (100,)

"""Spectro-temporal modulations of a spectrogram: along time and over the bands, by Gabor filters.

Speech varies with syllables (2 to 16 Hz) and with formants and harmonics (ripples over the bands,
steady, rising or falling). A Gabor filter responds to one rate, one scale and one direction; it is
the product of a wave in time and one over the bands, so the two are applied one after the other.
"""

from __future__ import annotations

import numpy as np
from keras import ops

from emorec_tf.config.fields import check
from emorec_tf.models.layers import Tensor, Tokens, mean_and_deviation, mean_of
from emorec_tf.models.pooling import segments

PERIODS = (50.0, 25.0, 12.5, 6.25)  # frames: 2, 4, 8 and 16 Hz at the usual hop
RIPPLES = (0.03, 0.06, 0.12, 0.25)  # cycles per band; one more filter has none
PLACES, JOINED = 16, 4  # centres of the filters over the bands; number averaged in segments
CYCLES = 1.5  # length of each filter
STEP = 4  # frames from one output to the next
SMALLEST, FLOOR = 1e-6, 1e-3


def modulations(audio: Tensor, speech: Tensor, parts: int) -> Tensor:
    """Logarithms of the filters' mean and deviation over the speech, and of their segment means.

    Shapes:
        audio [B, T, M], speech [B, T] -> [B, 2 E + parts E / 4], E = 9 x 16 x 4

    Args:
        audio: standardised, zero in the padding.
        speech: 1 where there is speech.
        parts: number of segments of equal length; their means are taken over four places at once.

    Raises:
        UserError: fewer bands than places.

    Source:
        Chi, Ru & Shamma 2005, Multiresolution spectrotemporal analysis of complex sounds, JASA
        118(2); in emotion: Wu, Falk & Chan 2011, Speech Communication 53(5).
    """
    sizes, speech = magnitudes(audio), speech[:, ::STEP]
    times, columns, rates = sizes.shape[1:]
    coarse = ops.mean(ops.reshape(sizes, (-1, times, columns // JOINED, JOINED, rates)), axis=3)
    fine = ops.reshape(sizes, (-1, times, columns * rates))
    coarse = ops.reshape(coarse, (-1, times, columns * rates // JOINED))
    course = [mean_of(Tokens(coarse, segment)) for segment in segments(speech, parts)]
    found = [mean_and_deviation(Tokens(fine, speech)), *course]
    return ops.log(ops.concatenate(found, axis=-1) + FLOOR)


def magnitudes(audio: Tensor) -> Tensor:
    """Magnitude of each filter's output at every fourth frame; beyond the ends lies silence.

    Shapes:
        [B, T, M] -> [B, (T - 1) // 4 + 1, 9 x 16, 4]: at each of 16 places without a ripple, then
        each ripple falling, then each rising; the last axis holds the rates
    """
    even, odd = over_bands(audio.shape[-1])
    cosine, sine = along_time(ops.matmul(audio, even))
    across = along_time(ops.matmul(audio, odd))
    c, s = cosine[:, PLACES:], sine[:, PLACES:]
    found = [
        size(cosine[:, :PLACES], sine[:, :PLACES]),
        size(c - across[1], s + across[0]),
        size(c + across[1], s - across[0]),
    ]
    return ops.transpose(ops.concatenate(found, axis=1), (0, 2, 1, 3))


def over_bands(bands: int) -> tuple[np.ndarray, np.ndarray]:
    """Even filters over the bands, those without a ripple first, then odd: [M, 80], [M, 64]."""
    check(bands >= PLACES, "modulations", bands, f"off for fewer than {PLACES} bands")
    middles = (np.arange(PLACES) + 0.5) * bands / PLACES - 0.5
    away = np.arange(bands)[:, None] - middles  # [M, 16]
    flat = np.maximum(1 - np.abs(away) * PLACES / bands, 0)
    found = [flat / flat.sum(0)]
    for ripple in RIPPLES:
        reach = CYCLES / ripple + 1
        hann = np.where(np.abs(away) < reach / 2, np.cos(np.pi * away / reach) ** 2, 0)
        found.append(hann / hann.sum(0) * np.exp(2j * np.pi * ripple * away))
    even = np.concatenate([f.real for f in found], axis=1)
    odd = np.concatenate([f.imag for f in found[1:]], axis=1)
    return even.astype("float32"), odd.astype("float32")


def along_frames() -> np.ndarray:
    """Cosines of all rates, then their sines, all of mean zero: [1, L, 1, 8]."""
    longest = round(CYCLES * max(PERIODS)) | 1
    found = np.zeros((longest, len(PERIODS)), complex)
    for column, period in enumerate(PERIODS):
        length = round(CYCLES * period) | 1
        hann = np.hanning(length + 2)[1:-1]
        wave = hann * np.exp(2j * np.pi * (np.arange(length) - length // 2) / period)
        wave -= hann * wave.sum() / hann.sum()
        first = (longest - length) // 2
        found[first : first + length, column] = wave / np.abs(wave).sum()
    both = np.concatenate([found.real, found.imag], axis=1)
    return both.astype("float32")[None, :, None]


def along_time(values: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of each rate over each column: [B, T, C] -> 2 x [B, C, S, 4]."""
    waves = along_frames()
    half = waves.shape[1] // 2
    padded = ops.pad(values, ((0, 0), (half, half), (0, 0)))
    rows = ops.transpose(padded, (0, 2, 1))[..., None]
    cosine, sine = ops.split(ops.conv(rows, waves, strides=(1, STEP)), 2, axis=-1)
    return cosine, sine


def size(real: Tensor, imaginary: Tensor) -> Tensor:
    """Absolute value of a complex number."""
    return ops.sqrt(ops.square(real) + ops.square(imaginary) + SMALLEST)

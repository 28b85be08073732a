"""An audio branch without weights: statistics of the spectra over the whole clip."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from keras import ops

from emorec_tf.config.fields import check
from emorec_tf.models.audio import modulations as modulation
from emorec_tf.models.layers import Tensor, Tokens, mean_of, present
from emorec_tf.models.pooling import masked_audio, one_token, segments

SMALLEST = 1e-6
LAGS = (5, 15)  # frames: 50 and 150 ms at the usual hop, within and across syllables
SLOWEST_BINS, BINS_JOINED = 32, 4  # rhythm: 32 bins of the clip's spectrum in time, by fours
OCTAVES = 16  # groups of bands whose rhythm and correlation are measured


def functionals(
    inputs: Mapping[str, Tensor],
    *,
    coefficients: int = 20,
    parts: int = 4,
    reach: float = 2.0,
    modulations: bool = False,
    level: bool = True,
    channel: bool = True,
) -> Tokens:
    """Statistics of bands, cepstra and their course over the clip; nothing to train.

    Meant for a classical head: ``classifier: lda()``. Speech is detected by loudness: frames within
    ``reach`` of the loudest. Measured there: mean, deviation and speed of change of each band;
    mean, deviation, skewness, kurtosis and autocorrelation of each cepstral coefficient; mean and
    deviation of these in each of ``parts`` segments of the speech; correlations between bands;
    rhythm; and duration and loudness.

    Shapes:
        audio [B, T, M], audio_mask [B, T] -> [B, 1, E], [B, 1]

    Args:
        inputs: as every audio branch takes them.
        coefficients: number of coefficients of the cosine transform over the bands.
        parts: number of segments of equal length that describe the course of the clip.
        reach: in standard deviations of the mean band over the training clips.
        modulations: add the spectro-temporal modulations, by rate, scale and direction.
        level: False: the level of the clip's speech is removed first, so that the volume of a
            recording does not matter until the floor of the features is reached.
        channel: False: the mean of each band over the speech is removed first (cepstral mean
            normalisation), so that a microphone or line that filters the bands does not matter.
            With it go the level and the long-term spectrum: voice quality, sex and part of arousal.
    Source:
        Functionals over low-level descriptors, as in Eyben et al. 2010, openSMILE; the set is this
        zoo's own.
    """
    audio, mask = masked_audio(inputs)
    bands = audio.shape[-1]
    check(1 <= coefficients <= bands, "coefficients", coefficients, f"1 to {bands}, the bands")
    check(parts >= 1, "parts", parts, "at least 1")
    audio = ops.cast(audio, "float32")
    real = ops.cast(mask, "float32")
    speech = loud(audio, real, reach)
    if not channel:
        audio = without_channel(audio, speech, real)
    elif not level:
        audio = without_level(audio, speech, real, inputs.get("audio_gain"))
    cepstra = ops.matmul(audio, cosines(bands, coefficients))
    # Without the channel, means over the speech are zero: rounding errors, no features.
    begin = (0, 0) if channel else (bands, coefficients)
    found = [
        moments(audio, speech)[:, begin[0] :],
        speeds(audio, real),
        moments(cepstra, speech, higher=True)[:, begin[1] :],
        speeds(cepstra, real),
        *[autocorrelation(cepstra, speech, lag) for lag in LAGS],
        *[moments(cepstra, segment) for segment in segments(speech, parts)],
        correlations(grouped(audio), speech),
        rhythm(grouped(audio), real),
        extent(ops.mean(audio, axis=-1), speech, real, mean=level and channel),
    ]
    if modulations:
        found.append(modulation.modulations(audio, speech, parts))
    features = ops.concatenate(found, axis=-1)
    return one_token(features * present(real), mask)


def loud(audio: Tensor, real: Tensor, reach: float) -> Tensor:
    """Detect speech: 1 in frames whose mean band is within ``reach`` of the loudest, [B, T]."""
    level = ops.mean(audio, axis=-1)  # [B, T]
    loudest = ops.max(level * real - 1e3 * (1 - real), axis=1, keepdims=True)
    return real * ops.cast(level > loudest - reach, "float32")


def without_channel(audio: Tensor, speech: Tensor, real: Tensor) -> Tensor:
    """Subtract the mean of each band over the speech: [B, T, M] again, zero in the padding."""
    mean = mean_of(Tokens(audio, speech))
    return (audio - mean[:, None]) * real[..., None]


def without_level(
    audio: Tensor, speech: Tensor, real: Tensor, gain: np.ndarray | None = None
) -> Tensor:
    """Subtract the level of the speech: [B, T, M] again, zero in the padding.

    Args:
        audio: standardised features of logarithms of power.
        speech: 1 where there is speech, [B, T].
        real: 1 where there is audio, [B, T].
        gain: what a louder recording adds to each band, in any unit, [M]; None: the same to all.
    """
    along = np.ones(audio.shape[-1]) if gain is None else np.asarray(gain, np.float64)
    along = (along / np.linalg.norm(along)).astype("float32")[:, None]
    mean = mean_of(Tokens(audio, speech))
    size = ops.matmul(mean, along)  # [B, 1]
    return (audio - ops.matmul(size, along.T)[:, None]) * real[..., None]


def cosines(bands: int, count: int) -> np.ndarray:
    """Orthonormal cosine transform (type II), its first ``count`` columns: [bands, count]."""
    angles = np.pi / bands * (np.arange(bands)[:, None] + 0.5) * np.arange(count)
    scale = np.where(np.arange(count) == 0, 1 / np.sqrt(bands), np.sqrt(2 / bands))
    return (np.cos(angles) * scale).astype("float32")


def grouped(audio: Tensor) -> Tensor:
    """Mean over neighbouring bands: [B, T, M] -> [B, T, at most 16]."""
    bands = audio.shape[-1]
    edges = np.linspace(0, bands, min(OCTAVES, bands) + 1).round().astype(int)
    pool = np.zeros((bands, len(edges) - 1), "float32")
    for column, (low, high) in enumerate(pairwise(edges)):
        pool[low:high, column] = 1 / (high - low)
    return ops.matmul(audio, pool)


def centred(values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [B, E], deviation [B, E] and z-scores [B, T, E] over the weighted frames."""
    mean = mean_of(Tokens(values, weights))
    away = (values - mean[:, None]) * weights[..., None]
    deviation = ops.sqrt(mean_of(Tokens(ops.square(away), weights)) + SMALLEST)
    return mean, deviation, away / deviation[:, None]


def moments(values: Tensor, weights: Tensor, higher: bool = False) -> Tensor:
    """Mean and deviation, with ``higher`` also skewness and kurtosis: -> [B, 2 E] or [B, 4 E]."""
    mean, deviation, z = centred(values, weights)
    found = [mean, deviation]
    if higher:
        cubes = z * z * z
        found += [mean_of(Tokens(cubes, weights)), mean_of(Tokens(cubes * z, weights))]
    return ops.concatenate(found, axis=-1)


def speeds(values: Tensor, real: Tensor) -> Tensor:
    """Mean absolute value and deviation of the change between frames: -> [B, 2 E]."""
    step, both = values[:, 1:] - values[:, :-1], real[:, 1:] * real[:, :-1]
    size = mean_of(Tokens(ops.abs(step), both))
    return ops.concatenate([size, ops.sqrt(mean_of(Tokens(step * step, both)) + SMALLEST)], -1)


def autocorrelation(values: Tensor, weights: Tensor, lag: int) -> Tensor:
    """Autocorrelation at a lag, over pairs of weighted frames: -> [B, E]."""
    check(lag < values.shape[1], "clip_seconds", values.shape[1], f"more than {lag} frames")
    _, _, z = centred(values, weights)
    return mean_of(Tokens(z[:, lag:] * z[:, :-lag], weights[:, lag:] * weights[:, :-lag]))


def correlations(values: Tensor, weights: Tensor) -> Tensor:
    """Correlation of every pair of columns over the weighted frames: -> [B, E (E - 1) / 2]."""
    _, _, z = centred(values, weights)
    count = ops.maximum(ops.sum(weights, axis=1), 1.0)[:, None, None]
    square = ops.matmul(ops.transpose(z, (0, 2, 1)), z) / count
    width = values.shape[-1]
    rows, columns = np.triu_indices(width, 1)
    flat = ops.reshape(square, (-1, width * width))
    return ops.take(flat, (rows * width + columns).astype("int32"), axis=-1)


def rhythm(values: Tensor, real: Tensor) -> Tensor:
    """Logarithm of the slow part of each column's spectrum in time: -> [B, 8 E]."""
    frames = values.shape[1]
    mean = mean_of(Tokens(values, real))
    away = (values - mean[:, None]) * real[..., None]
    angles = 2 * np.pi / frames * np.outer(np.arange(1, SLOWEST_BINS + 1), np.arange(frames))
    cosine, sine = (
        ops.matmul(wave.astype("float32"), away) for wave in (np.cos(angles), np.sin(angles))
    )
    size = ops.sqrt(ops.square(cosine) + ops.square(sine) + SMALLEST)  # [B, bins, E]
    bins, width = SLOWEST_BINS // BINS_JOINED, values.shape[-1]
    joined = ops.mean(ops.reshape(size, (-1, bins, BINS_JOINED, width)), axis=2)
    return ops.reshape(ops.log(joined + 1e-3), (-1, bins * width))


def extent(level: Tensor, speech: Tensor, real: Tensor, mean: bool = True) -> Tensor:
    """Duration of speech (frames, share); mean, deviation and peak of its level: [B, 5].

    ``mean=False``: without the mean, where that was removed: [B, 4].
    """
    middle, deviation, _ = centred(level[..., None], speech)
    long = ops.sum(speech, axis=1, keepdims=True)
    whole = ops.sum(real, axis=1, keepdims=True)
    top = ops.max(level * real - 1e3 * (1 - real), axis=1, keepdims=True)
    found = [long / 100, long / ops.maximum(whole, 1.0), middle, deviation, top]
    return ops.concatenate([f for f in found if mean or f is not middle], -1)

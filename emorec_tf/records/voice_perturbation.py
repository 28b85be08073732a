"""Augmented copies of clips: other tempo, vocal tract length, channel and noise.

A classical head is fitted once, to fixed features, so it cannot see new draws in each epoch; it
is fitted to the clips and to copies of them. Copies are made from the spectra of the clips.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from emorec_tf.config import choices
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.records import corruptions
from emorec_tf.records.corruptions import Corruption, Inputs

STRETCH, WARP = 0.10, 0.08  # of time, and of the bands, at most
GAIN_DB = 20.0  # at most, either way
TILT_DB, TILT_WAVES = 3.0, 3  # spectral tilt: deviation of its first cosine, number of cosines
NOISE_DB = (10.0, 35.0)  # signal-to-noise ratio
TELEPHONES, ROOMS = 0.5, 0.5  # shares of the clips
LOW_HZ, HIGH_HZ = (100.0, 400.0), (3000.0, 4000.0)  # ends of a telephone's band
ROOM_SECONDS = (0.2, 0.8)  # until reverberation has fallen by 60 dB
CHANNEL_NOISE_DB = (20.0, 50.0)  # signal-to-noise ratio
SLOPE = 2.0  # nepers at most by which noise rises or falls from the middle band to the ends


def copy(features: FeaturesConfig, number: int) -> Corruption:
    """Make the corruption that turns clips into their copies of this number; odd ones have noise.

    The draws for a clip depend on its audio and the number alone. Time and bands are stretched
    (bands only where the values are frequencies), then follow gain, spectral tilt and, for odd
    numbers, noise with a slope over the bands. Faces stay as they are.

    Args:
        features: settings of the audio features.
        number: from 0.

    Raises:
        UserError: the entry of these audio features does not say how they become power.
    Source:
        Jaitly & Hinton 2013, Vocal tract length perturbation, and Ko et al. 2015, Audio
        augmentation for speech recognition, for the stretching; noise as in ``corruptions``.
    """
    to_power, from_power = corruptions.powers_of(features)
    warp = WARP if choices.facts("audio_features", features.audio_features).spectral else 0.0

    def of_clip(audio: np.ndarray, frames: int) -> np.ndarray:
        random = np.random.default_rng([number, zlib.crc32(audio.tobytes())])
        stretch, bend = 1 + random.uniform(-1, 1, 2) * (STRETCH, warp)
        length = min(len(audio), max(1, round(frames * stretch)))
        along = (np.arange(length) + 0.5) / stretch - 0.5
        values = interpolated(audio[:frames].astype(np.float64), along, 0)
        values = interpolated(values, np.arange(audio.shape[1]) * bend, 1)
        power = to_power(values)
        gain = random.uniform(-GAIN_DB, GAIN_DB)
        power *= 10 ** ((gain + spectral_tilt(power.shape[1], random)) / 10)
        if number % 2:
            steepness = random.uniform(-SLOPE, SLOPE)
            bands = np.exp(steepness * np.linspace(-1, 1, power.shape[1]))
            level = power.mean() * 10 ** (-random.uniform(*NOISE_DB) / 10)
            power += level * bands / bands.mean() * random.exponential(size=power.shape)
        return from_power(power)

    def varied(inputs: Inputs) -> Inputs:
        audio = np.zeros_like(inputs["audio"])
        mask = np.zeros_like(inputs["audio_mask"])
        for row, real in enumerate(inputs["audio_mask"]):
            frames = int(np.count_nonzero(real))
            if frames:
                values = of_clip(inputs["audio"][row], frames)
                audio[row, : len(values)], mask[row, : len(values)] = values, 1
        return {**inputs, "audio": audio, "audio_mask": mask}

    return varied


def channel_copy(features: FeaturesConfig, number: int) -> Corruption:
    """Make the corruption that turns clips into copies from another room and another channel.

    The draws for a clip depend on its audio and the number alone: half of the clips pass a band
    like a telephone's, half of them a room, all of them a gain, and some noise. Faces stay as they
    are.

    Args:
        features: settings of the audio features.
        number: from 0.

    Raises:
        UserError: the entry of these audio features does not say how they become power.
    """
    to_power, from_power = corruptions.powers_of(features)

    def of_clip(audio: np.ndarray) -> np.ndarray:
        random = np.random.default_rng([1 + number, zlib.crc32(audio.tobytes())])
        power = to_power(audio.astype(np.float64))
        if random.random() < ROOMS:
            power = corruptions.reverberant(power, random.uniform(*ROOM_SECONDS), features, 0)
        if random.random() < TELEPHONES:
            low, high = (random.uniform(*ends) for ends in (LOW_HZ, HIGH_HZ))
            power = power * corruptions.shares_inside(low, high, features)
        level = power.mean() * 10 ** (-random.uniform(*CHANNEL_NOISE_DB) / 10)
        power = power + level * random.exponential(size=power.shape)
        return from_power(power * 10 ** (random.uniform(-GAIN_DB, GAIN_DB) / 10))

    def varied(inputs: Inputs) -> Inputs:
        audio = np.zeros_like(inputs["audio"])
        for row, real in enumerate(inputs["audio_mask"]):
            frames = int(np.count_nonzero(real))
            if frames:
                audio[row, :frames] = of_clip(inputs["audio"][row, :frames])
        return {**inputs, "audio": audio}

    return varied


def copies(features: FeaturesConfig, count: int, channels: int = 0) -> Sequence[Corruption]:
    """Make ``count`` different ones, every second with noise, then those of other channels."""
    varied = [copy(features, number) for number in range(count)]
    return varied + [channel_copy(features, number) for number in range(channels)]


def interpolated(values: np.ndarray, places: np.ndarray, axis: int) -> np.ndarray:
    """Interpolate linearly along an axis, at places counted in rows; the ends are repeated."""
    places = np.clip(places, 0, values.shape[axis] - 1)
    low = np.floor(places).astype(int)
    share = places - low
    share = share[:, None] if axis == 0 else share
    high = np.minimum(low + 1, values.shape[axis] - 1)
    return values.take(low, axis) * (1 - share) + values.take(high, axis) * share


def spectral_tilt(bands: int, random: np.random.Generator) -> np.ndarray:
    """Draw a smooth curve over the bands, in decibels: [bands]."""
    across = np.linspace(0, np.pi, bands)
    orders = np.arange(1, TILT_WAVES + 1)
    heights = random.normal(0, TILT_DB, TILT_WAVES) / orders
    return heights @ np.cos(orders[:, None] * across)

"""Copies of voices as other rooms, microphones and speakers would have left them.

A classical head is fitted once, to fixed features, so nothing can be varied anew in every epoch;
instead it is fitted to copies beside the clips. They are spectra, made from those of the clip.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from emorec_tf.config import choices
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.records import corruptions
from emorec_tf.records.corruptions import Damage, Inputs

STRETCH, WARP = 0.10, 0.08  # of time, and of the bands, at most
GAIN_DB = 20.0  # louder or quieter at most: how near a microphone is, how it is set
COLOUR_DB, COLOURS = 3.0, 3  # deviation of a microphone's first ripple over the bands, and ripples
NOISE_DB = (10.0, 35.0)  # of the clip over the noise
SLOPE = 2.0  # nepers at most by which noise rises or falls from the middle band to the ends


def copy(features: FeaturesConfig, number: int) -> Damage:
    """Make the damage that turns clips into their copies of this number; odd ones are in noise.

    What is drawn for a clip depends on its sound and the number alone. Time and bands are
    stretched, the latter not for cepstral coefficients, which are no frequencies; then come
    loudness, the colour of a microphone and, of odd numbers, noise of some colour. Pictures stay.

    Args:
        features: in which units the sound is.
        number: from 0.

    Source:
        Jaitly & Hinton 2013, Vocal tract length perturbation, and Ko et al. 2015, Audio
        augmentation for speech recognition, for the stretching; noise as in ``robustness``.
    """
    to_power, from_power = corruptions.powers_of(features)
    warp = WARP if choices.facts("audio_features", features.audio_features).spectral else 0.0

    def of_clip(audio: np.ndarray, frames: int) -> np.ndarray:
        random = np.random.default_rng([number, zlib.crc32(audio.tobytes())])
        stretch, bend = 1 + random.uniform(-1, 1, 2) * (STRETCH, warp)
        length = min(len(audio), max(1, round(frames * stretch)))
        along = (np.arange(length) + 0.5) / stretch - 0.5
        voice = between(audio[:frames].astype(np.float64), along, 0)
        voice = between(voice, np.arange(audio.shape[1]) * bend, 1)
        power = to_power(voice)
        power *= 10 ** ((random.uniform(-GAIN_DB, GAIN_DB) + colour(power.shape[1], random)) / 10)
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
                voice = of_clip(inputs["audio"][row], frames)
                audio[row, : len(voice)], mask[row, : len(voice)] = voice, 1
        return {**inputs, "audio": audio, "audio_mask": mask}

    return varied


def copies(features: FeaturesConfig, count: int) -> Sequence[Damage]:
    """So many different ones, every second in noise."""
    return [copy(features, number) for number in range(count)]


def between(values: np.ndarray, places: np.ndarray, axis: int) -> np.ndarray:
    """Read along an axis at places between its rows, the ends repeated: linear interpolation."""
    places = np.clip(places, 0, values.shape[axis] - 1)
    low = np.floor(places).astype(int)
    share = places - low
    share = share[:, None] if axis == 0 else share
    high = np.minimum(low + 1, values.shape[axis] - 1)
    return values.take(low, axis) * (1 - share) + values.take(high, axis) * share


def colour(bands: int, random: np.random.Generator) -> np.ndarray:
    """Draw a smooth curve over the bands, in decibels: [bands]."""
    across = np.linspace(0, np.pi, bands)
    orders = np.arange(1, COLOURS + 1)
    heights = random.normal(0, COLOUR_DB, COLOURS) / orders
    return heights @ np.cos(orders[:, None] * across)

"""Audio features to mel powers and back, to simulate noise and other channels.

A function here takes the settings and ``math``, which has exp, log and maximum (NumPy, or
``tf.math`` for tensors). It returns two functions: from values [..., width] to powers in mel bands
[..., M], and back. The entry of a feature names its own: ``powers=decibel_powers``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.features import filterbanks

Powers = Callable[[Any], Any]

POWER_FLOOR = 1e-6  # of log_mel: about -100 dB of a full-scale sine in a 25 ms Hann window
LEAST_POWER = 1e-10  # below which decibels and Kaldi's logarithms do not fall
DECIBELS_PER_NEPER = 10 / np.log(10)  # of power


def floored_log_powers(features: FeaturesConfig, math: Any) -> tuple[Powers, Powers]:
    """Natural logarithms of the power plus a floor, as ``log_mel`` has them."""
    del features
    return (
        lambda logs: math.maximum(math.exp(logs) - POWER_FLOOR, 0),
        lambda power: math.log(power + POWER_FLOOR),
    )


def log_powers(features: FeaturesConfig, math: Any) -> tuple[Powers, Powers]:
    """Natural logarithms of the power, as Kaldi has them."""
    del features
    return math.exp, lambda power: math.log(math.maximum(power, LEAST_POWER))


def decibel_powers(features: FeaturesConfig, math: Any) -> tuple[Powers, Powers]:
    """Decibels of the power, as librosa has them."""
    to_power, to_log = log_powers(features, math)
    return (
        lambda decibels: to_power(decibels / DECIBELS_PER_NEPER),
        lambda power: DECIBELS_PER_NEPER * to_log(power),
    )


def cepstral_powers(features: FeaturesConfig, math: Any) -> tuple[Powers, Powers]:
    """The smooth spectrum that cepstral coefficients of decibels hold."""
    to_power, to_decibels = decibel_powers(features, math)
    cosines = filterbanks.cosine_matrix(features.mel_bands, features.mfcc_count).astype(np.float64)
    return (
        lambda coefficients: to_power(coefficients @ cosines.T),
        lambda power: to_decibels(power) @ cosines,
    )

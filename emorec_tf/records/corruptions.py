"""Corruption suite: missing modality, additive noise, dropped frames, low light.

To add a condition, write a function of model inputs and name it in ``conditions``.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.features.audio_features import AUDIO_FEATURES
from emorec_tf.features.powers import Powers

Inputs = dict[str, np.ndarray]
Corruption = Callable[[Inputs], Inputs]
DARK = 0.3  # factor on all pixels
NOISE_DB = (20, 10, 0)  # signal-to-noise ratios
_LOG = logging.getLogger(__name__)


def clean(inputs: Inputs) -> Inputs:
    """Change nothing."""
    return inputs


def no_face(inputs: Inputs) -> Inputs:
    """Blank crops and mesh points, as in a clip without a face."""
    return {n: a if n.startswith("audio") else np.zeros_like(a) for n, a in inputs.items()}


def no_audio(inputs: Inputs) -> Inputs:
    """Blank the audio, as in a video without any."""
    return {n: np.zeros_like(a) if n.startswith("audio") else a for n, a in inputs.items()}


def half_the_frames(inputs: Inputs) -> Inputs:
    """Blank every second frame, as if no face was found in it."""
    halved = dict(inputs)
    for name in set(inputs) - {"audio", "audio_mask"}:
        halved[name] = inputs[name].copy()
        halved[name][:, 1::2] = 0
    return halved


def dark(inputs: Inputs) -> Inputs:
    """Dim the frames."""
    return {**inputs, "faces": np.rint(inputs["faces"] * DARK).astype(np.uint8)}


def noise(snr_db: float, features: FeaturesConfig) -> Corruption:
    """Make the corruption that adds noise of the same mean power to all mel bands.

    The noise power in a band and frame is the clip's mean power over its real frames and bands,
    less ``snr_db``, times a draw from the exponential distribution, which is that of the power of
    Gaussian noise. The draws are the same in every call. For cepstral coefficients, noise is added
    to the smooth spectrum that they hold.

    Raises:
        UserError: the entry of these audio features does not say how they become power.
    """
    to_power, from_power = powers_of(features)

    def noisy(inputs: Inputs) -> Inputs:
        real = inputs["audio_mask"][..., None]  # [B, T, 1]
        power = to_power(inputs["audio"].astype(np.float64)) * real
        frames = np.maximum(real.sum((1, 2), keepdims=True), 1)
        level = power.sum((1, 2), keepdims=True) / (frames * power.shape[2])  # [B, 1, 1]
        drawn = np.random.default_rng(0).exponential(size=power.shape)
        audio = from_power(power + level * 10 ** (-snr_db / 10) * drawn) * real
        return {**inputs, "audio": audio.astype(np.float32)}

    return noisy


def powers_of(features: FeaturesConfig, math: Any = np) -> tuple[Powers, Powers]:
    """Functions from features [..., width] to powers in mel bands [..., M], and back.

    ``math`` has exp, log and maximum: NumPy, or TensorFlow's for its tensors.

    Raises:
        UserError: the entry of these audio features does not say how they become power.
    """
    entry = AUDIO_FEATURES[features.audio_features]
    entry.check_powers(features.audio_features)
    powers: tuple[Powers, Powers] = entry.powers(features, math)
    return powers


def table(
    predict: Callable[[Corruption], np.ndarray],
    truth: np.ndarray,
    score: Callable[[np.ndarray, np.ndarray], dict[str, float]],
    features: FeaturesConfig,
) -> list[dict[str, Any]]:
    """Score every condition.

    Args:
        predict: corruption to predictions, [N, K] or [N].
        truth: class ids or ratings, [N].
        score: truth and predictions to scores by name.
        features: settings of the audio features.

    Returns:
        One row per condition: ``condition``, ``n`` and the scores.
    """
    return [
        {"condition": name, "n": len(truth)} | score(truth, predict(corruption))
        for name, corruption in conditions(features).items()
    ]


def conditions(features: FeaturesConfig) -> dict[str, Corruption]:
    """All conditions for clips of these features, by name.

    Noise is left out where the entry of the audio features does not say how they become power.
    """
    noises = {f"noise {db} dB": functools.partial(noise, db, features) for db in NOISE_DB}
    if AUDIO_FEATURES[features.audio_features].powers is None:
        _LOG.info(
            "robustness without %s: audio_features %s has no powers at its entry",
            ", ".join(noises),
            features.audio_features,
        )
        noises = {}
    return {
        "clean": clean,
        "no face": no_face,
        "no voice": no_audio,
        **{name: make() for name, make in noises.items()},
        "half the frames": half_the_frames,
        "dark": dark,
    }

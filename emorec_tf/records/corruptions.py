"""How a model does when something is amiss: face or voice gone, noise, pictures lost, darkness.

To add a condition, write a function of inputs and name it in the table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.features.audio_features import AUDIO_FEATURES
from emorec_tf.features.powers import Powers

Inputs = dict[str, np.ndarray]
Damage = Callable[[Inputs], Inputs]
DARK = 0.3  # share of the light that is left


def clean(inputs: Inputs) -> Inputs:
    """Leave all as it is."""
    return inputs


def no_face(inputs: Inputs) -> Inputs:
    """Blank pictures and points, as in a clip where no face was found."""
    return {n: a if n.startswith("audio") else np.zeros_like(a) for n, a in inputs.items()}


def no_voice(inputs: Inputs) -> Inputs:
    """Take the sound, as in a film without any."""
    return {n: np.zeros_like(a) if n.startswith("audio") else a for n, a in inputs.items()}


def half_the_frames(inputs: Inputs) -> Inputs:
    """Take every second picture, as where no face was found in it."""
    found = dict(inputs)
    for name in set(inputs) - {"audio", "audio_mask"}:
        found[name] = inputs[name].copy()
        found[name][:, 1::2] = 0
    return found


def dark(inputs: Inputs) -> Inputs:
    """Dim the pictures."""
    return {**inputs, "faces": np.rint(inputs["faces"] * DARK).astype(np.uint8)}


def noise(snr_db: float, features: FeaturesConfig) -> Damage:
    """Make the damage that adds noise of the same mean power to all mel bands.

    The power in a band and frame is the clip's mean power over its real frames and bands, less
    ``snr_db``, times a draw from the exponential distribution, which is that of the power of
    Gaussian noise. The draws are the same in every call. Of cepstral coefficients, the spectrum
    is the smooth one that they hold.
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
    answer: Callable[[Damage], np.ndarray],
    truth: np.ndarray,
    figures: Callable[[np.ndarray, np.ndarray], dict[str, float]],
    features: FeaturesConfig,
) -> list[dict[str, Any]]:
    """Score every condition.

    Args:
        answer: damage to answers, [N, K] or [N].
        truth: class ids or ratings, [N].
        figures: of truth and answers, by name.
        features: in which units the sound is.

    Returns:
        One row per condition: ``condition``, ``n`` and the figures.
    """
    return [
        {"condition": name, "n": len(truth)} | figures(truth, answer(damage))
        for name, damage in conditions(features).items()
    ]


def conditions(features: FeaturesConfig) -> dict[str, Damage]:
    """All that is done to clips of these features, by name."""
    return {
        "clean": clean,
        "no face": no_face,
        "no voice": no_voice,
        "noise 20 dB": noise(20, features),
        "noise 10 dB": noise(10, features),
        "noise 0 dB": noise(0, features),
        "half the frames": half_the_frames,
        "dark": dark,
    }

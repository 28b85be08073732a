"""Corruption suite: missing modality, noise, dropped frames, low light, level, telephone, room.

To add a condition, write a function of model inputs and name it in ``conditions``.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.features import filterbanks
from emorec_tf.features.audio_features import AUDIO_FEATURES
from emorec_tf.features.powers import Powers

Inputs = dict[str, np.ndarray]
Corruption = Callable[[Inputs], Inputs]
DARK = 0.3  # factor on all pixels
NOISE_DB = (20, 10, 0)  # signal-to-noise ratios
_LOG = logging.getLogger(__name__)
GAIN_DB = 20.0
TELEPHONE_HZ = (300.0, 3400.0)
STOPPED_DB = -60.0  # outside the telephone's band
ROOM_SECONDS = 0.6  # until the reverberation has fallen by 60 dB
GRID = 2048  # bins of the Fourier transform that says what a band holds


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
    to the smooth spectrum that they hold; to samples, white Gaussian noise.

    Raises:
        UserError: the entry of these audio features does not say how they become power.
    """
    if AUDIO_FEATURES[features.audio_features].samples:
        return functools.partial(_white_noise, snr_db)
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


def _white_noise(snr_db: float, inputs: Inputs) -> Inputs:
    """Add Gaussian noise to the real samples: audio [B, T, samples of a block]."""
    real, audio = inputs["audio_mask"][..., None], inputs["audio"].astype(np.float64)
    count = np.maximum(real.sum((1, 2), keepdims=True), 1) * audio.shape[2]
    power = (np.square(audio) * real).sum((1, 2), keepdims=True) / count  # [B, 1, 1]
    drawn = np.random.default_rng(0).normal(size=audio.shape)
    noisy = audio + np.sqrt(power * 10 ** (-snr_db / 10)) * drawn
    return {**inputs, "audio": (noisy * real).astype(np.float32)}


def level(decibels: float, features: FeaturesConfig) -> Corruption:
    """Make the corruption that changes the level by these decibels; nothing is clipped.

    Raises:
        UserError: the entry of these audio features does not say how they become power.
    """
    if AUDIO_FEATURES[features.audio_features].samples:
        factor = np.float32(10 ** (decibels / 20))
        return lambda inputs: {**inputs, "audio": inputs["audio"] * factor}
    return _of_powers(features, lambda power: power * 10 ** (decibels / 10))


def telephone(features: FeaturesConfig) -> Corruption:
    """Make the corruption that leaves what a telephone does: 300 to 3400 Hz.

    Each mel band keeps the share of its width that lies inside; the rest falls by 60 dB.

    Raises:
        UserError: the entry of these audio features does not say how they become power.
    """
    kept = shares_inside(*TELEPHONE_HZ, features)
    return _of_powers(features, lambda power: power * kept)


def shares_inside(low_hz: float, high_hz: float, features: FeaturesConfig) -> np.ndarray:
    """Share of the power of each mel band that a band-pass filter leaves: [M]."""
    bands, rate_hz = features.mel_bands, features.sample_rate_hz
    filters = _filters(bands, rate_hz, features.mel_min_hz, features.mel_max_hz)
    hz = np.arange(len(filters)) * rate_hz / GRID
    inside = (hz >= low_hz) & (hz <= high_hz)
    share = filters[inside].sum(0) / np.maximum(filters.sum(0), 1e-9)
    return np.asarray(share + (1 - share) * 10 ** (STOPPED_DB / 10))


@functools.cache
def _filters(bands: int, rate_hz: int, low_hz: float, high_hz: float) -> np.ndarray:
    return filterbanks.htk_matrix(bands, GRID, rate_hz, low_hz, high_hz)


def room(seconds: float, features: FeaturesConfig) -> Corruption:
    """Make the corruption that lets the power of each band decay as in a room: an approximation.

    The power of earlier frames is added, with a level that falls by 60 dB in ``seconds``, in
    all as much as the direct sound (0 dB, a listener at the critical distance). Interference,
    early reflections and the room's frequency response are missing; ``evaluate --source`` has them.

    Raises:
        UserError: the entry of these audio features does not say how they become power.
    """
    return _of_powers(features, lambda power: reverberant(power, seconds, features, axis=1))


def reverberant(
    power: np.ndarray, seconds: float, features: FeaturesConfig, axis: int
) -> np.ndarray:
    """Add the decaying power of earlier frames, as ``room`` says, along the axis of time."""
    from scipy.signal import lfilter

    decay = 10 ** (-6 * features.hop_seconds / seconds)
    return np.asarray(power + lfilter([0.0, 1 - decay], [1.0, -decay], power, axis=axis))


def _of_powers(features: FeaturesConfig, change: Callable[[np.ndarray], np.ndarray]) -> Corruption:
    """Make the corruption that changes the powers of the real frames, [B, T, M]."""
    to_power, from_power = powers_of(features)

    def corrupted(inputs: Inputs) -> Inputs:
        real = inputs["audio_mask"][..., None]
        power = to_power(inputs["audio"].astype(np.float64)) * real
        return {**inputs, "audio": (from_power(change(power)) * real).astype(np.float32)}

    return corrupted


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


def modalities_changed(corruption: Corruption, inputs: Inputs) -> set[str]:
    """Name the modalities whose arrays a corruption makes again, "audio" or "face".

    It is tried on the first clip of ``inputs``; arrays that it hands through are unchanged.
    """
    one = {name: array[:1] for name, array in inputs.items()}
    found = corruption(one)
    changed = [name for name in one if found[name] is not one[name]]
    return {"audio" if name.startswith("audio") else "face" for name in changed}


def conditions(features: FeaturesConfig) -> dict[str, Corruption]:
    """All conditions for clips of these features, by name.

    Noise and channels are left out where the entry of the audio features does not say how they
    become power; of the waveform itself, channels alone.
    """
    noises: dict[str, Callable[[], Corruption]] = {
        f"noise {db} dB": functools.partial(noise, db, features) for db in NOISE_DB
    }
    channels: dict[str, Callable[[], Corruption]] = {
        f"level +{GAIN_DB:.0f} dB": lambda: level(GAIN_DB, features),
        f"level -{GAIN_DB:.0f} dB": lambda: level(-GAIN_DB, features),
        "telephone 300-3400 Hz": lambda: telephone(features),
        f"reverberation {ROOM_SECONDS:g} s (power decay)": lambda: room(ROOM_SECONDS, features),
    }
    entry = AUDIO_FEATURES[features.audio_features]
    if entry.powers is None:
        kept = ("noise", "level") if entry.samples else ()
        left_out = [name for name in (*noises, *channels) if not name.startswith(kept)]
        _LOG.info(
            "robustness without %s: audio_features %s has no powers at its entry",
            ", ".join(left_out),
            features.audio_features,
        )
        noises, channels = (
            {name: made for name, made in own.items() if name not in left_out}
            for own in (noises, channels)
        )
    return {
        "clean": clean,
        "no face": no_face,
        "no voice": no_audio,
        **{name: make() for name, make in noises.items()},
        "half the frames": half_the_frames,
        "dark": dark,
        **{name: make() for name, make in channels.items()},
    }

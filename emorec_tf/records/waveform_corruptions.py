"""Corruptions of the waveform itself: telephone, reverberation and codecs.

Records hold spectra, so these need the recordings: ``evaluate --source``. To add one, write a
function of a waveform, float32 [samples] at a rate in hertz, and name it in ``CONDITIONS``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from emorec_tf.media import lossy_codecs
from emorec_tf.records.corruptions import ROOM_SECONDS, TELEPHONE_HZ

WaveCorruption = Callable[[np.ndarray, int], np.ndarray]
BITS_A_SECOND = 16_000
TELEPHONE_RATE_HZ = 8000
ORDER = 6  # of the telephone's Butterworth filter


def telephone(waveform: np.ndarray, rate_hz: int) -> np.ndarray:
    """Band 300 to 3400 Hz, sampled at 8 kHz, in the 8 bits of mu-law.

    Source:
        ITU-T G.711 for the companding, by its continuous curve.
    """
    from scipy.signal import butter, resample_poly, sosfilt

    slow = resample_poly(waveform, TELEPHONE_RATE_HZ, rate_hz)
    bands = butter(ORDER, TELEPHONE_HZ, "bandpass", fs=TELEPHONE_RATE_HZ, output="sos")
    line = np.clip(sosfilt(bands, slow), -1, 1)
    curve = np.sign(line) * np.log1p(255 * np.abs(line)) / np.log(256)
    curve = np.round(curve * 127) / 127
    heard = np.sign(curve) * np.expm1(np.abs(curve) * np.log(256)) / 255
    return _fitted(resample_poly(heard, rate_hz, TELEPHONE_RATE_HZ), waveform)


def room(waveform: np.ndarray, rate_hz: int) -> np.ndarray:
    """Reverberation: noise that falls by 60 dB in 0.6 s, as strong as the direct sound.

    Source:
        Polack 1988, La transmission de l'energie sonore dans les salles: late reverberation as
        Gaussian noise that decays exponentially. The draw is the same for every clip.
    """
    from scipy.signal import fftconvolve

    count = round(ROOM_SECONDS * rate_hz)
    seconds = np.arange(1, count + 1) / rate_hz
    tail = np.random.default_rng(0).normal(size=count) * 10 ** (-3 * seconds / ROOM_SECONDS)
    tail /= np.sqrt(np.square(tail).sum())
    late = fftconvolve(waveform, np.concatenate([[0.0], tail]))
    return _fitted(waveform + late[: len(waveform)], waveform)


def mp3(waveform: np.ndarray, rate_hz: int) -> np.ndarray:
    """MP3 at 16 kbit/s, by LAME."""
    return lossy_codecs.coded(waveform, rate_hz, lossy_codecs.MP3, BITS_A_SECOND)


def opus(waveform: np.ndarray, rate_hz: int) -> np.ndarray:
    """Opus at 16 kbit/s, by libopus."""
    return lossy_codecs.coded(waveform, rate_hz, lossy_codecs.OPUS, BITS_A_SECOND)


def _fitted(found: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Cut or pad to the length of another waveform; float32."""
    padded = np.zeros(len(like), np.float32)
    padded[: min(len(found), len(like))] = found[: len(like)]
    return padded


CONDITIONS: dict[str, WaveCorruption] = {
    "telephone 8 kHz (waveform)": telephone,
    f"reverberation {ROOM_SECONDS:g} s (waveform)": room,
    "MP3 16 kbit/s": mp3,
    "Opus 16 kbit/s": opus,
}

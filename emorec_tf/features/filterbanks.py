"""The fixed matrices of the audio features: Fourier kernels and mel filters, in NumPy alone.

A kernel replaces the FFT, because LiteRT and ONNX have none for real numbers; everything that is
linear in a frame (window, removal of its mean, pre-emphasis) is part of the kernel.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

PRE_EMPHASIS = 0.97  # Kaldi's
# (bands, fft_length, sample_rate_hz, min_hz, max_hz) -> [bins, bands]
MelMatrix = Callable[[int, int, int, float, float], np.ndarray]


def fourier_waves(window_samples: int, fft_length: int, bins: int) -> np.ndarray:
    """Cosines and sines of the first ``bins`` frequencies.

    Shapes:
        -> float64 [window, 2 bins]
    """
    times = np.arange(window_samples)[:, None]
    turns = times * np.arange(bins) % fft_length / fft_length  # exact: 0 to 1
    return np.concatenate([np.cos(2.0 * np.pi * turns), np.sin(2.0 * np.pi * turns)], axis=1)


def fourier_kernel(window_samples: int, fft_length: int) -> np.ndarray:
    """Cosines and sines under a periodic Hann window, for a convolution.

    Shapes:
        -> float32 [window, 1, 2 (fft_length // 2 + 1)]
    """
    times = np.arange(window_samples)[:, None]
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * times / window_samples)
    waves = fourier_waves(window_samples, fft_length, fft_length // 2 + 1)
    return (hann * waves)[:, None].astype(np.float32)


def kaldi_kernel(window_samples: int, fft_length: int) -> np.ndarray:
    """Removal of the mean, pre-emphasis, "povey" window, then the Fourier waves below Nyquist.

    Shapes:
        -> float32 [window, 1, fft_length]
    Source:
        Kaldi, feat/feature-window.cc: the first sample of a frame is its own predecessor.
    """
    unit = np.eye(window_samples)
    before = unit[np.maximum(np.arange(window_samples) - 1, 0)]
    emphasised = (unit - PRE_EMPHASIS * before) @ (unit - 1.0 / window_samples)
    turns = np.arange(window_samples) / (window_samples - 1)
    povey = (0.5 - 0.5 * np.cos(2.0 * np.pi * turns)) ** 0.85
    waves = fourier_waves(window_samples, fft_length, fft_length // 2)
    return (emphasised.T @ (povey[:, None] * waves))[:, None].astype(np.float32)


def htk_matrix(
    bands: int, fft_length: int, sample_rate_hz: int, min_hz: float, max_hz: float
) -> np.ndarray:
    """Triangles in hertz between edges evenly spaced on the HTK mel scale, of height one.

    Shapes:
        -> float32 [fft_length // 2 + 1, bands]
    Source:
        The HTK Book, section 5.4; equals ``librosa.filters.mel(htk=True, norm=None)``.
    """
    low, high = 2595.0 * np.log10(1.0 + np.array([min_hz, max_hz]) / 700.0)
    edges_hz = 700.0 * (10.0 ** (np.linspace(low, high, bands + 2) / 2595.0) - 1.0)
    bins_hz = np.linspace(0.0, sample_rate_hz / 2, fft_length // 2 + 1)
    return triangles(bins_hz, edges_hz).astype(np.float32)


def slaney_matrix(
    bands: int, fft_length: int, sample_rate_hz: int, min_hz: float, max_hz: float
) -> np.ndarray:
    """Triangles in hertz between edges evenly spaced on Slaney's mel scale, each of area one.

    Shapes:
        -> float32 [fft_length // 2 + 1, bands]
    Source:
        Slaney 1998, Auditory Toolbox version 2, technical report 1998-010, Interval Research:
        linear to 1 kHz, then 27 steps to 6.4 kHz; equals ``librosa.filters.mel`` with its defaults.
    """
    step = np.log(6.4) / 27.0
    limits_hz = np.array([min_hz, max_hz])
    above = 15.0 + np.log(np.maximum(limits_hz, 1000.0) / 1000.0) / step
    low, high = np.where(limits_hz < 1000.0, limits_hz * 3.0 / 200.0, above)
    mels = np.linspace(low, high, bands + 2)
    edges_hz = np.where(mels < 15.0, mels * 200.0 / 3.0, 1000.0 * np.exp(step * (mels - 15.0)))
    bins_hz = np.arange(fft_length // 2 + 1) * sample_rate_hz / fft_length
    areas = (edges_hz[2:] - edges_hz[:-2]) / 2.0
    return (triangles(bins_hz, edges_hz) / areas).astype(np.float32)


def kaldi_matrix(
    bands: int, fft_length: int, sample_rate_hz: int, min_hz: float, max_hz: float
) -> np.ndarray:
    """Triangles in mel, not in hertz, of height one; without the bin at half the sample rate.

    Shapes:
        -> float32 [fft_length // 2, bands]
    Source:
        Kaldi, feat/mel-computations.cc.
    """

    def to_mel(hz: np.ndarray) -> np.ndarray:
        return 1127.0 * np.log(1.0 + hz / 700.0)

    low, high = to_mel(np.array([min_hz, max_hz]))
    edges = np.linspace(low, high, bands + 2)
    bins = to_mel(np.arange(fft_length // 2) * sample_rate_hz / fft_length)
    return triangles(bins, edges).astype(np.float32)


def triangles(points: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Height at every point of triangles that rise from one edge to the next and fall again.

    Shapes:
        [P], [M + 2] -> [P, M]
    """
    rising = (points[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - points[:, None]) / np.diff(edges)[1:]
    return np.maximum(0.0, np.minimum(rising, falling))


def cosine_matrix(bands: int, count: int) -> np.ndarray:
    """The first ``count`` columns of the orthonormal discrete cosine transform, type II.

    Shapes:
        -> float32 [bands, count]
    """
    centres = (np.arange(bands)[:, None] + 0.5) / bands
    waves = np.cos(np.pi * centres * np.arange(count)) * np.sqrt(2.0 / bands)
    waves[:, 0] /= np.sqrt(2.0)
    return waves.astype(np.float32)

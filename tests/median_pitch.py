"""Median pitch by librosa, in a process of its own.

Its compiled code has ended a process in which TensorFlow and Beam had many threads.
"""

from __future__ import annotations

import functools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np


@functools.cache
def _process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


def _measured(wave: np.ndarray, rate_hz: int) -> float:
    import librosa

    f0, voiced, _ = librosa.pyin(wave, fmin=60, fmax=600, sr=rate_hz, hop_length=1024)
    return float(np.median(f0[voiced]))


def median_pitch(wave: np.ndarray, rate_hz: int) -> float:
    """Median over the voiced frames, in hertz: [samples] -> one number."""
    return _process().submit(_measured, wave, rate_hz).result(timeout=300)

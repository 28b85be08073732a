"""Waveform to log-mel, by one Keras layer: the same in ``prepare``, ``predict`` and any export."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from emorec_tf.config import FeaturesConfig

POWER_FLOOR = 1e-6  # about -100 dB of a full-scale sine in a 25 ms Hann window


def mel_matrix(
    bands: int, fft_length: int, sample_rate_hz: int, min_hz: float, max_hz: float
) -> np.ndarray:
    """Triangles on the HTK mel scale, height one.

    Shapes:
        -> float32 [fft_length // 2 + 1, bands]
    Source:
        The HTK Book, section 5.4; equals ``librosa.filters.mel(htk=True, norm=None)``.
    """

    def to_mel(hz: np.ndarray) -> np.ndarray:
        return 2595.0 * np.log10(1.0 + hz / 700.0)

    low, high = to_mel(np.array([min_hz, max_hz]))
    edges_hz = 700.0 * (10.0 ** (np.linspace(low, high, bands + 2) / 2595.0) - 1.0)
    bins_hz = np.linspace(0.0, sample_rate_hz / 2, fft_length // 2 + 1)
    rising = (bins_hz[:, None] - edges_hz[:-2]) / np.diff(edges_hz)[:-1]  # [bins, bands]
    falling = (edges_hz[2:] - bins_hz[:, None]) / np.diff(edges_hz)[1:]
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


def fourier_kernel(window_samples: int, fft_length: int) -> np.ndarray:
    """Cosines and sines under a periodic Hann window, for a convolution.

    Shapes:
        -> float32 [window, 1, 2 (fft_length // 2 + 1)]
    """
    times = np.arange(window_samples)[:, None]
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * times / window_samples)
    turns = times * np.arange(fft_length // 2 + 1) % fft_length / fft_length  # exact: 0 to 1
    waves = np.concatenate([np.cos(2.0 * np.pi * turns), np.sin(2.0 * np.pi * turns)], axis=1)
    return (hann * waves)[:, None].astype(np.float32)


@keras.saving.register_keras_serializable("emorec_tf")
class LogMel(keras.layers.Layer):
    """Natural logarithm of the mel power spectrogram, without RFFT or complex numbers.

    The spectrum is a convolution, because LiteRT and ONNX have no RFFT; the layer therefore runs
    unchanged inside every exported format. (``keras.layers.STFTSpectrogram`` does the same with
    kernels good to 5e-5 only, which is seen 50 dB below the loudest band.)

    Shapes:
        waveform float32 [B, samples] -> float32 [B, T, M]
    """

    def __init__(
        self,
        sample_rate_hz: int,
        window_samples: int,
        hop_samples: int,
        mel_bands: int,
        mel_min_hz: float,
        mel_max_hz: float,
        **kwargs: object,
    ) -> None:
        """Keep the settings and make the two fixed matrices."""
        super().__init__(trainable=False, dtype="float32", **kwargs)
        self.settings: dict[str, Any] = {
            "sample_rate_hz": sample_rate_hz,
            "window_samples": window_samples,
            "hop_samples": hop_samples,
            "mel_bands": mel_bands,
            "mel_min_hz": mel_min_hz,
            "mel_max_hz": mel_max_hz,
        }
        self.fft_length = 1 << (window_samples - 1).bit_length()
        self.fourier = fourier_kernel(window_samples, self.fft_length)
        self.mel = mel_matrix(mel_bands, self.fft_length, sample_rate_hz, mel_min_hz, mel_max_hz)

    def call(self, waveform: keras.KerasTensor) -> keras.KerasTensor:
        """Return the log-mel spectrogram."""
        spectrum = ops.conv(
            ops.expand_dims(waveform, -1), self.fourier, strides=self.settings["hop_samples"]
        )  # [B, T, 2 * bins]
        real, imaginary = ops.split(spectrum, 2, axis=-1)
        power = ops.square(real) + ops.square(imaginary)  # [B, T, bins]
        return ops.log(ops.matmul(power, self.mel) + POWER_FLOOR)  # [B, T, M]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Give the shape without running."""
        samples, window = input_shape[1], self.settings["window_samples"]
        frames = None if samples is None else 1 + (samples - window) // self.settings["hop_samples"]
        return (input_shape[0], frames, self.settings["mel_bands"])

    def get_config(self) -> dict[str, object]:
        """Return what the constructor needs."""
        config = super().get_config()
        del config["trainable"], config["dtype"]  # fixed by the constructor
        return {**config, **self.settings}


def log_mel_layer(features: FeaturesConfig) -> LogMel:
    """Make the layer that ``features`` describes."""
    return LogMel(
        sample_rate_hz=features.sample_rate_hz,
        window_samples=features.window_samples,
        hop_samples=features.hop_samples,
        mel_bands=features.mel_bands,
        mel_min_hz=features.mel_min_hz,
        mel_max_hz=features.mel_max_hz,
    )


def fit_length(waveform: np.ndarray, features: FeaturesConfig) -> tuple[np.ndarray, np.ndarray]:
    """Pad a waveform with zeros at its end to ``clip_samples`` and say which frames are real.

    Shapes:
        float32 [samples] -> float32 [clip_samples], uint8 [T] (1: the window holds only sound)
    """
    waveform = waveform[: features.clip_samples]
    padded = np.zeros(features.clip_samples, np.float32)
    padded[: len(waveform)] = waveform
    whole = 1 + (len(waveform) - features.window_samples) // features.hop_samples
    mask = np.zeros(features.audio_frames, np.uint8)
    mask[: max(whole, int(len(waveform) > 0))] = 1
    return padded, mask

"""Mel power spectrogram by one Keras layer; the audio features of mel bands scale it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from emorec_tf.features import filterbanks


class MelPower(keras.layers.Layer):
    """Mel power spectrogram without RFFT or complex numbers; subclasses scale it.

    The spectrum is a convolution, because LiteRT and ONNX have no RFFT; the layer therefore runs
    unchanged inside every exported format. (``keras.layers.STFTSpectrogram`` does the same with
    kernels accurate to 5e-5 only, which shows 50 dB below the loudest band.)

    Shapes:
        waveform float32 [B, samples] -> float32 [B, T, M]
    """

    centred = False

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
        fourier, mel = self.matrices()
        used = mel.any(axis=1)  # bins outside all bands are not computed: at 48 kHz two thirds
        self.fourier, self.mel = fourier[..., np.tile(used, 2)], mel[used]

    def matrices(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the kernel [window, 1, 2 bins] and the mel filters [bins, M]."""
        raise NotImplementedError

    def scaled(self, power: keras.KerasTensor) -> keras.KerasTensor:
        """Bring mel powers [B, T, M] to the scale of the features."""
        raise NotImplementedError

    def call(self, waveform: keras.KerasTensor) -> keras.KerasTensor:
        """Return the features."""
        window = self.settings["window_samples"]
        if self.centred:
            waveform = ops.pad(waveform, ((0, 0), (window // 2, window - window // 2)))
        spectrum = ops.conv(
            ops.expand_dims(waveform, -1), self.fourier, strides=self.settings["hop_samples"]
        )  # [B, T, 2 * bins]
        real, imaginary = ops.split(spectrum, 2, axis=-1)
        power = ops.square(real) + ops.square(imaginary)  # [B, T, bins]
        return self.scaled(ops.matmul(power, self.mel))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the output shape."""
        samples, reach = input_shape[1], 0 if self.centred else self.settings["window_samples"]
        frames = None if samples is None else 1 + (samples - reach) // self.settings["hop_samples"]
        return (input_shape[0], frames, self.settings["mel_bands"])

    def get_config(self) -> dict[str, object]:
        """Return the arguments of the constructor."""
        config = super().get_config()
        del config["trainable"], config["dtype"]  # fixed by the constructor
        return {**config, **self.settings}

    def filters(self, mel_matrix: filterbanks.MelMatrix, fft_length: int) -> np.ndarray:
        """Make mel filters of these settings."""
        names = ("sample_rate_hz", "mel_min_hz", "mel_max_hz")
        return mel_matrix(
            self.settings["mel_bands"], fft_length, *[self.settings[name] for name in names]
        )


def power_of_two(samples: int) -> int:
    """Return the smallest power of two that is at least ``samples``."""
    return 1 << (samples - 1).bit_length()

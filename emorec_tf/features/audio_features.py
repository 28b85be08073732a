"""Audio features: waveform to features by one Keras layer, the same in every command and export.

To add one, write its layer, registered as ``emorec_tf``, and a function that makes it, and give it
an entry in ``AUDIO_FEATURES`` below; nothing else names it.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.config.entries import AudioFeature
from emorec_tf.features import filterbanks
from emorec_tf.features.mel_power import MelPower, power_of_two
from emorec_tf.features.powers import (
    POWER_FLOOR,
    cepstral_powers,
    decibel_powers,
    floored_log_powers,
    log_powers,
)

KALDI_FLOOR = float(np.finfo(np.float32).eps)
DECIBEL_FLOOR = 1e-10  # librosa's amin
DECIBEL_RANGE = 80.0  # librosa's top_db


@keras.saving.register_keras_serializable("emorec_tf")
class LogMel(MelPower):
    """Natural logarithm of the power in HTK's mel bands under Hann windows.

    Shapes:
        waveform float32 [B, samples] -> float32 [B, T, M]
    """

    def matrices(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the kernel [window, 1, 2 bins] and the mel filters [bins, M]."""
        window = self.settings["window_samples"]
        fft_length = power_of_two(window)
        kernel = filterbanks.fourier_kernel(window, fft_length)
        return kernel, self.filters(filterbanks.htk_matrix, fft_length)

    def scaled(self, power: keras.KerasTensor) -> keras.KerasTensor:
        """Take the logarithm."""
        return ops.log(power + POWER_FLOOR)


@keras.saving.register_keras_serializable("emorec_tf")
class Fbank(MelPower):
    """Kaldi's log-mel filter banks, without dither and without the energy column.

    The convolution's kernel includes removal of the frame's mean, pre-emphasis and window. In
    single precision the error is 3e-5 on speech, and 4e-3 for a full-scale sweep in bands 100 dB
    below its own; Kaldi's single-precision FFT has 1e-4 and 2e-2.

    Shapes:
        waveform float32 [B, samples], -1 to 1 -> float32 [B, T, M]
    Source:
        Povey et al. 2011, The Kaldi speech recognition toolkit; ``compute-fbank-feats``.
    """

    def matrices(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the kernel [window, 1, 2 bins] and the mel filters [bins, M]."""
        window = self.settings["window_samples"]
        fft_length = power_of_two(window)
        kernel = filterbanks.kaldi_kernel(window, fft_length)
        return kernel, self.filters(filterbanks.kaldi_matrix, fft_length)

    def scaled(self, power: keras.KerasTensor) -> keras.KerasTensor:
        """Take the logarithm."""
        return ops.log(ops.maximum(power, KALDI_FLOOR))


@keras.saving.register_keras_serializable("emorec_tf")
class MelDecibels(MelPower):
    """librosa's mel spectrogram in decibels, at most 80 below the loudest of the clip.

    Frame t is centred on sample t hop; beyond both ends lies silence. So zeros after a clip change
    nothing in it, unless its last hop holds the loudest moment of all (then the floor, 80 dB below,
    can rise by what the first frame of the padding covers of it). Single precision differs from
    librosa by 3e-3 dB on speech, by 1.4e-2 dB near the floor under full-scale tones.

    Shapes:
        waveform float32 [B, samples] -> float32 [B, 1 + samples // hop, M]
    Source:
        ``librosa.feature.melspectrogram`` and ``librosa.power_to_db``, with their defaults.
    """

    centred = True

    def matrices(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the kernel [window, 1, 2 bins] and the mel filters [bins, M]."""
        window = self.settings["window_samples"]
        kernel = filterbanks.fourier_kernel(window, window)
        return kernel, self.filters(filterbanks.slaney_matrix, window)

    def scaled(self, power: keras.KerasTensor) -> keras.KerasTensor:
        """Take decibels, at most 80 below the loudest."""
        decibels = ops.log(ops.maximum(power, DECIBEL_FLOOR)) * (10.0 / float(np.log(10.0)))
        loudest = ops.max(decibels, axis=(1, 2), keepdims=True)
        return ops.maximum(decibels, loudest - DECIBEL_RANGE)


@keras.saving.register_keras_serializable("emorec_tf")
class Mfcc(MelDecibels):
    """Mel-frequency cepstral coefficients: the cosine transform of the mels in decibels.

    Shapes:
        waveform float32 [B, samples] -> float32 [B, 1 + samples // hop, count]
    Source:
        Davis & Mermelstein 1980, IEEE TASSP 28(4); numbers as ``librosa.feature.mfcc``.
    """

    def __init__(self, count: int, **kwargs: Any) -> None:
        """``count``: coefficients kept, the mean level first."""
        super().__init__(**kwargs)
        self.settings["count"] = count
        self.cosines = filterbanks.cosine_matrix(self.settings["mel_bands"], count)

    def scaled(self, power: keras.KerasTensor) -> keras.KerasTensor:
        """Take decibels, then their cosine transform."""
        return ops.matmul(super().scaled(power), self.cosines)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the output shape."""
        return (*super().compute_output_shape(input_shape)[:2], self.settings["count"])


@keras.saving.register_keras_serializable("emorec_tf")
class WaveformBlocks(keras.layers.Layer):
    """The samples themselves, cut into blocks of one hop; samples behind the last are left out.

    Shapes:
        waveform float32 [B, samples] -> float32 [B, samples // hop, hop]
    """

    def __init__(self, hop_samples: int, **kwargs: object) -> None:
        """``hop_samples``: length of a block."""
        super().__init__(trainable=False, dtype="float32", **kwargs)
        self.hop_samples = hop_samples

    def call(self, waveform: keras.KerasTensor) -> keras.KerasTensor:
        """Return the blocks."""
        blocks = waveform.shape[1] // self.hop_samples
        whole = waveform[:, : blocks * self.hop_samples]
        return ops.reshape(whole, (-1, blocks, self.hop_samples))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the output shape."""
        samples = input_shape[1]
        blocks = None if samples is None else samples // self.hop_samples
        return (input_shape[0], blocks, self.hop_samples)

    def get_config(self) -> dict[str, object]:
        """Return the arguments of the constructor."""
        config = super().get_config()
        del config["trainable"], config["dtype"]  # fixed by the constructor
        return {**config, "hop_samples": self.hop_samples}


def settings(features: FeaturesConfig) -> dict[str, Any]:
    """Return the arguments that every layer of mel bands has."""
    names = "sample_rate_hz window_samples hop_samples mel_bands mel_min_hz mel_max_hz"
    return {name: getattr(features, name) for name in names.split()}


def log_mel(features: FeaturesConfig) -> keras.layers.Layer:
    """Log-mel spectrogram.

    Source:
        The HTK Book, section 5.4, for the mel scale.
    """
    return LogMel(**settings(features))


def fbank(features: FeaturesConfig) -> keras.layers.Layer:
    """Kaldi's filter banks.

    Source:
        Povey et al. 2011, The Kaldi speech recognition toolkit.
    """
    return Fbank(**settings(features))


def mel_db(features: FeaturesConfig) -> keras.layers.Layer:
    """Mel spectrogram in decibels, as librosa's.

    Source:
        ``librosa.feature.melspectrogram`` and ``librosa.power_to_db``.
    """
    return MelDecibels(**settings(features))


def mfcc(features: FeaturesConfig) -> keras.layers.Layer:
    """Mel-frequency cepstral coefficients, as librosa's.

    Source:
        Davis & Mermelstein 1980, IEEE TASSP 28(4); ``librosa.feature.mfcc``.
    """
    return Mfcc(features.mfcc_count, **settings(features))


def waveform(features: FeaturesConfig) -> keras.layers.Layer:
    """The samples themselves in blocks of one hop, for encoders that take a waveform.

    Source:
        Baevski et al. 2020, wav2vec 2.0, NeurIPS, section 2: an encoder of the raw waveform.
    """
    return WaveformBlocks(features.hop_samples)


def layer_of(features: FeaturesConfig) -> keras.layers.Layer:
    """Make the layer that ``features`` describes: waveform [B, samples] -> [B, T, width]."""
    layer: keras.layers.Layer = AUDIO_FEATURES[features.audio_features].function(features)
    return layer


def fit_length(waveform: np.ndarray, features: FeaturesConfig) -> tuple[np.ndarray, np.ndarray]:
    """Pad a waveform with zeros at its end to ``clip_samples`` and say which frames are real.

    A frame is real if its window lies inside the audio; a centred one if its middle lies inside or
    just behind, as many as librosa makes of the waveform alone. Any audio has at least one.

    Shapes:
        float32 [samples] -> float32 [clip_samples], uint8 [T]
    """
    waveform = waveform[: features.clip_samples]
    padded = np.zeros(features.clip_samples, np.float32)
    padded[: len(waveform)] = waveform
    whole = 1 + (len(waveform) - features.reach_samples) // features.hop_samples
    mask = np.zeros(features.audio_frames, np.uint8)
    if len(waveform):
        mask[: max(whole, 1)] = 1
    return padded, mask


AUDIO_FEATURES = {
    "log_mel": AudioFeature(
        log_mel, centred=False, width="mel_bands", powers=floored_log_powers, loudness_step=0.69
    ),
    "fbank": AudioFeature(
        fbank, centred=False, width="mel_bands", powers=log_powers, loudness_step=0.69
    ),
    "mfcc": AudioFeature(
        mfcc,
        centred=True,
        width="mfcc_count",
        powers=cepstral_powers,
        loudness_step=0.0,
        spectral=False,
    ),
    "mel_db": AudioFeature(
        mel_db, centred=True, width="mel_bands", powers=decibel_powers, loudness_step=3.0
    ),
    "waveform": AudioFeature(
        waveform,
        centred=False,
        window="hop_samples",
        width="hop_samples",
        powers=None,
        loudness_step=0.0,
        spectral=False,
        samples=True,
    ),
}

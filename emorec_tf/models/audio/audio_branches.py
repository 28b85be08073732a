"""Audio branches: audio features to tokens.

To add one, write a function here and give it an entry in ``AUDIO_BRANCHES`` below; nothing else
names it. A branch takes the dict of model inputs, already standardised and masked, and its
arguments as keywords with literal defaults; it returns ``Tokens``. A Keras layer of its own needs
``keras.saving.register_keras_serializable("emorec_tf")``. Branches along time are defined here;
those that treat the features as an image are in ``image_nets``.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
from keras import ops

from emorec_tf.config.entries import Branch
from emorec_tf.config.fields import check
from emorec_tf.models.audio.embedding import embedding, learns_pooling
from emorec_tf.models.audio.functionals import functionals
from emorec_tf.models.audio.image_nets import logmel_image, mfcc_cnn, resnet_se
from emorec_tf.models.audio.whisper import is_trained, whisper
from emorec_tf.models.layers import Tensor, Tokens, halve
from emorec_tf.models.pooling import masked_audio, one_token, pooled


def conv1d(
    inputs: Mapping[str, Tensor],
    *,
    filters: int = 128,
    blocks: int = 4,
    kernel: int = 5,
    dropout: float = 0.05,
    pool: str = "attention",
) -> Tokens:
    """Convolutions along time with batch norm, halving time after each block.

    Shapes:
        audio [B, T, M], audio_mask [B, T] -> [B, 1, 2 filters]; pool="none": [B, S, filters]

    Args:
        filters: channels of every convolution.
        blocks: number of convolution + batch norm + ReLU + pooling by two.
        kernel: frames that one convolution covers.
        dropout: share of whole channels dropped after each block.
        pool: "attention", "mean_std" or "none" (one token per remaining frame).
    Source:
        The usual 1-D CNN for speech emotion; pooling as in Okabe et al. 2018.
    """
    x, mask = masked_audio(inputs)
    frames = x.shape[1]
    check(2**blocks <= frames, "blocks", blocks, f"fewer for clips of {frames} frames")
    for _ in range(blocks):
        x = keras.layers.Conv1D(filters, kernel, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = keras.layers.ReLU()(x)
        x = keras.layers.MaxPooling1D(2)(x)  # [B, T / 2, filters]
        mask = halve(mask)
        x = keras.layers.SpatialDropout1D(dropout)(x)
    return pooled(Tokens(x, mask), pool)


def lstm(
    inputs: Mapping[str, Tensor],
    *,
    units: int = 64,
    layers: int = 1,
    stride: int = 4,
    dropout: float = 0.3,
    pool: str = "attention",
) -> Tokens:
    """Bidirectional LSTM over frames subsampled by a strided convolution.

    Shapes:
        audio [B, T, M], audio_mask [B, T] -> [B, 1, 4 units]; pool="none": [B, S, 2 units]

    Args:
        units: state size of each direction.
        layers: LSTM layers on top of each other.
        stride: frames joined into one time step; 1 keeps all, at several times the cost.
        dropout: share of each layer's outputs dropped.
        pool: "attention", "mean_std" or "none" (one token per time step).
    Source:
        Graves & Schmidhuber 2005, Framewise phoneme classification with bidirectional LSTM.
    """
    x, mask = masked_audio(inputs)
    x = keras.layers.Conv1D(units, stride + 1, strides=stride, padding="same", use_bias=False)(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))  # [B, S, units]
    steps = keras.layers.MaxPooling1D(stride, padding="same")(mask[..., None])[..., 0]
    for _ in range(layers):
        rnn = keras.layers.Bidirectional(keras.layers.LSTM(units, return_sequences=True))
        x = rnn(x, mask=never_empty(steps))  # [B, S, 2 units]
        x = keras.layers.Dropout(dropout)(x)
    return pooled(Tokens(x, steps), pool)


def stacked_lstm(
    inputs: Mapping[str, Tensor],
    *,
    units: int = 128,
    layers: int = 2,
    dropout: float = 0.2,
) -> Tokens:
    """Unidirectional LSTMs over every frame; the token is the state after the last real frame.

    The original system takes the state after the last frame of the padding.

    Shapes:
        audio [B, T, M], audio_mask [B, T] -> [B, 1, units]

    Args:
        units: state size.
        layers: LSTM layers on top of each other.
        dropout: share of the outputs dropped between two layers.
    Source:
        The audio LSTM among the systems this zoo implements; Hochreiter & Schmidhuber 1997, Long
        short-term memory.
    """
    check(layers >= 1, "layers", layers, "at least 1")
    x, mask = masked_audio(inputs)
    for layer in range(layers):
        x = keras.layers.Dropout(dropout)(x) if layer else x
        rnn = keras.layers.LSTM(units, return_sequences=layer < layers - 1)
        x = rnn(x, mask=never_empty(mask))
    return one_token(x, mask)  # masked time steps keep the state before them


def fbank_conv(
    inputs: Mapping[str, Tensor],
    *,
    filters: int = 128,
    kernel: int = 10,
    stride: int = 3,
    pool: int = 5,
    dropout: float = 0.7,
) -> Tokens:
    """One convolution that spans all bands, pooled in time and flattened.

    For 691 or 692 frames of 23 bands this gives 5,760 features with 29,568 weights.

    Shapes:
        audio [B, T, M], audio_mask [B, T] -> [B, 1, S filters], S = ((T - kernel) / stride + 1) /
        pool, rounded down twice

    Args:
        filters: channels of the convolution.
        kernel: frames that it covers.
        stride: frames from one of its outputs to the next.
        pool: number of outputs from which the largest is kept.
        dropout: share of the features dropped.
    Source:
        The speech network on filter banks among the systems this zoo implements; its two dense
        layers are the fusion's.
    """
    x, mask = masked_audio(inputs)
    shortest = kernel + stride * (pool - 1)
    check(
        x.shape[1] >= shortest,
        "kernel",
        kernel,
        f"less for clips of {x.shape[1]} frames; with stride and pool it needs {shortest}",
    )
    x = keras.layers.Conv1D(filters, kernel, strides=stride, activation="relu")(x)
    x = keras.layers.MaxPooling1D(pool)(x)  # [B, S, filters]
    x = keras.layers.Dropout(dropout)(keras.layers.Flatten()(x))
    return one_token(x, mask)


def never_empty(mask: Tensor) -> Tensor:
    """Mask for an LSTM with the first time step always set: cuDNN refuses empty sequences.

    Shapes:
        [B, S] -> bool [B, S]
    """
    first = ops.ones_like(mask[:, :1])
    return ops.cast(ops.concatenate([first, mask[:, 1:]], axis=1), "bool")


AUDIO_BRANCHES = {
    "conv1d": Branch(conv1d, small="filters=8, blocks=2"),
    "functionals": Branch(functionals, trainable=False, small="coefficients=6, parts=2"),
    "lstm": Branch(lstm, small="units=4"),
    "fbank_conv": Branch(fbank_conv, small="filters=4, dropout=0.1"),
    "stacked_lstm": Branch(stacked_lstm, small="units=4"),
    "mfcc_cnn": Branch(mfcc_cnn, small="width=0.05, dense=16, dropout=0.1"),
    "logmel_image": Branch(logmel_image, small="width=0.05, dense=16, features=8, dropout=0.1"),
    "resnet_se": Branch(resnet_se, small="width=4, blocks=(1, 1), reduction=1"),
    "whisper": Branch(
        whisper,
        trainable=is_trained,
        small="size='test', weights='none'",
        standardised=False,
        pretrained={
            "*": "encoder of Whisper {size} by OpenAI: MIT licence, https://github.com/openai/whisper"
        },
        features={
            "audio_features": "mel_db",
            "sample_rate_hz": 16000,
            "window_seconds": 0.025,
            "hop_seconds": 0.010,
            "mel_bands": 80,
            "mel_min_hz": 0.0,
            "mel_max_hz": 8000.0,
        },
    ),
    "embedding": Branch(
        embedding,
        trainable=learns_pooling,
        small="model='encoder.onnx'",
        required=("model",),
        standardised=False,
        features={"audio_features": "waveform", "sample_rate_hz": 16000},
    ),
}

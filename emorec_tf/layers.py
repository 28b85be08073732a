"""What branches and fusions are made of: tokens with a mask, and the registered Keras layers.

Only ``keras`` and ``keras.ops``: everything here reloads from a file without custom code objects
and runs on the TensorFlow, JAX and torch backends.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import keras
from keras import ops

Tensor: TypeAlias = Any  # symbolic, eager, or the backend's own


class Tokens(NamedTuple):
    """What a branch returns: S vectors in time, and which of them are real.

    Shapes:
        values [B, S, E]; mask [B, S], 1 where something was heard or seen
    """

    values: Tensor
    mask: Tensor


def present(mask: Tensor) -> Tensor:
    """[B, S] -> [B, 1], 1 where the modality is there at all."""
    return ops.max(mask, axis=1, keepdims=True)


def mean_of(tokens: Tokens) -> Tensor:
    """Mean over the real tokens, zero where there are none: -> [B, E]."""
    weights = ops.cast(tokens.mask, tokens.values.dtype)[..., None]  # [B, S, 1]
    total = ops.sum(tokens.values * weights, axis=1)
    return total / ops.maximum(ops.sum(weights, axis=1), 1.0)


def mean_and_deviation(tokens: Tokens) -> Tensor:
    """Mean and standard deviation over the real tokens: -> [B, 2 E]."""
    mean = mean_of(tokens)
    spread = mean_of(Tokens(ops.square(tokens.values - mean[:, None]), tokens.mask))
    return ops.concatenate([mean, ops.sqrt(spread + 1e-5)], axis=-1)


def attention(tokens: Tokens, units: int = 64) -> Tensor:
    """Attentive statistics over the real tokens: -> [B, 2 E].

    Source:
        Okabe, Koshinaka, Shinoda 2018, Attentive statistics pooling, Interspeech, section 3.
    """
    values, mask = tokens
    scores = keras.layers.Dense(1)(
        keras.layers.Dense(units, activation="tanh")(values)
    )  # [B, S, 1]
    scores = ops.cast(scores, "float32") + (ops.cast(mask, "float32")[..., None] - 1.0) * 1e9
    weights = ops.cast(ops.softmax(scores, axis=1), values.dtype)
    weights = weights * ops.cast(mask, values.dtype)[..., None]  # nothing there: all zero
    mean = ops.sum(values * weights, axis=1)
    spread = ops.sum(ops.square(values - mean[:, None]) * weights, axis=1)
    return ops.concatenate([mean, ops.sqrt(spread + 1e-5)], axis=-1)


def halve(mask: Tensor) -> Tensor:
    """Mask of a sequence pooled by two: a token is real if any of its two frames was."""
    return keras.layers.MaxPooling1D(2)(mask[..., None])[..., 0]


@keras.saving.register_keras_serializable("emorec_tf")
class ModalityDropout(keras.layers.Layer):
    """In training, take the voice from some clips and the face from as many others.

    A clip never loses its only modality. Outside training the masks pass unchanged.

    Shapes:
        audio mask [B, T], face mask [B, F] -> the same
    Source:
        Neverova et al. 2016, ModDrop, IEEE TPAMI 38(8), section 4; the rate is per modality.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: object) -> None:
        """``rate``: share of clips whose voice is taken, and as many whose face."""
        super().__init__(**kwargs)
        self.rate = rate
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(
        self, audio_mask: Tensor, face_mask: Tensor, training: bool | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return both masks, some of them zeroed in training."""
        if not training or self.rate == 0:
            return audio_mask, face_mask
        draw = keras.random.uniform((ops.shape(audio_mask)[0], 1), seed=self.generator)
        both = present(audio_mask) * present(face_mask)
        deaf = ops.cast(draw < self.rate, "float32") * both
        blind = ops.cast(draw > 1 - self.rate, "float32") * both
        return audio_mask * (1 - deaf), face_mask * (1 - blind)

    def compute_output_shape(
        self, audio_mask_shape: tuple[int | None, ...], face_mask_shape: tuple[int | None, ...]
    ) -> tuple[tuple[int | None, ...], tuple[int | None, ...]]:
        """Give the shapes without running."""
        return audio_mask_shape, face_mask_shape

    def get_config(self) -> dict[str, object]:
        """Return what the constructor needs."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable("emorec_tf")
class WeightedAverage(keras.layers.Layer):
    """Average of two probability vectors, by a fixed or a learned weight; what is absent has none.

    Shapes:
        p_audio [B, K], p_face [B, K], audio there [B, 1], face there [B, 1] -> [B, K]
    """

    def __init__(self, audio_weight: float | None = None, **kwargs: object) -> None:
        """``audio_weight``: 0 to 1, the face has the rest; None: one weight is learned."""
        super().__init__(**kwargs)
        self.audio_weight = audio_weight

    def build(self, *_shapes: object, **_named_shapes: object) -> None:
        """Make the learned weight; zero is the sigmoid of an even share."""
        if self.audio_weight is None:
            self.balance = self.add_weight(name="balance", shape=(), initializer="zeros")

    def call(self, p_audio: Tensor, p_face: Tensor, audio: Tensor, face: Tensor) -> Tensor:
        """Return the average, uniform where both are absent."""
        share = ops.sigmoid(self.balance) if self.audio_weight is None else self.audio_weight
        heard, seen = share * audio, (1.0 - share) * face  # [B, 1]
        total = heard + seen
        nothing = ops.cast(total <= 0, p_audio.dtype)
        mixed = (heard * p_audio + seen * p_face) / (total + nothing)
        return mixed + nothing / p_audio.shape[-1]

    def get_config(self) -> dict[str, object]:
        """Return what the constructor needs."""
        return {**super().get_config(), "audio_weight": self.audio_weight}

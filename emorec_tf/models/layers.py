"""Building blocks of branches and fusions: tokens with a mask, and registered Keras layers.

Only ``keras`` and ``keras.ops``: everything here reloads from a file without custom code objects
and runs on the TensorFlow, JAX and torch backends.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import keras
from keras import ops

from emorec_tf.errors import UserError

Tensor: TypeAlias = Any  # symbolic, eager, or the backend's own


class Tokens(NamedTuple):
    """Output of a branch: S vectors in time, and which of them are real.

    Shapes:
        values [B, S, E]; mask [B, S], 1 for real tokens
    """

    values: Tensor
    mask: Tensor


def present(mask: Tensor) -> Tensor:
    """[B, S] -> [B, 1], 1 where the modality is present at all."""
    return ops.max(mask, axis=1, keepdims=True)


def mean_of(tokens: Tokens) -> Tensor:
    """Mean over the real tokens, zero without any: -> [B, E]."""
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
    real = ops.cast(mask, "float32")[..., None]
    scores = ops.cast(scores, "float32") + (real - 1.0) * 1e9
    # Not ops.softmax, which warns of sequences of one token. The largest real share is 1.
    shares = real * ops.exp(scores - ops.stop_gradient(ops.max(scores, axis=1, keepdims=True)))
    weights = shares / ops.maximum(ops.sum(shares, axis=1, keepdims=True), 1.0)
    weights = ops.cast(weights, values.dtype)  # all zero without a real token
    mean = ops.sum(values * weights, axis=1)
    spread = ops.sum(ops.square(values - mean[:, None]) * weights, axis=1)
    return ops.concatenate([mean, ops.sqrt(spread + 1e-5)], axis=-1)


def halve(mask: Tensor) -> Tensor:
    """Mask of a sequence pooled by two: a token is real if one of its two frames is."""
    return keras.layers.MaxPooling1D(2)(mask[..., None])[..., 0]


def standardised_by_training(values: Tensor, mask: Tensor) -> Tensor:
    """Z-score of every feature by running statistics of the training clips; missing is zero.

    This is batch normalisation without trainable weights.

    Shapes:
        [B, F, E], mask [B, F] -> [B, F, E]
    """
    scaled = keras.layers.BatchNormalization(
        momentum=0.9, epsilon=1e-7, center=False, scale=False, dtype="float32"
    )(values, mask=ops.cast(mask, "bool"))
    return scaled * ops.cast(mask, scaled.dtype)[..., None]


def fixed_frames(frames: Tensor, branch: str) -> int:
    """Number of frames of a clip, for a branch that joins them all: [B, F, ...] -> F.

    Raises:
        UserError: their number varies, as with --train_frames.
    """
    if frames.shape[1] is None:
        raise UserError(
            f"face branch {branch} needs as many frames in training as in scoring; train with "
            f"--train_frames 0"
        )
    return frames.shape[1]


def spread(mask: Tensor, count: int) -> Tensor:
    """Keep ``count`` of the real tokens, evenly spaced (1: the middle one); all if there are fewer.

    Shapes:
        mask [B, S] -> [B, S]
    """
    real = ops.cast(mask, "int32")
    rank = ops.cumsum(real, axis=1)  # 1 for the first real token
    total = ops.maximum(ops.max(rank, axis=1, keepdims=True), 1)
    # A token is kept if its end passes one more of ``count`` marks, the middles of equal parts.
    before, after = ((2 * count * r + total) // (2 * total) for r in (rank - real, rank))
    return mask * ops.cast(after > before, mask.dtype)


@keras.saving.register_keras_serializable("emorec_tf")
class ByClip(keras.layers.Layer):
    """Reshape frames that were processed one by one back to their clips.

    A plain reshape cannot infer both the number of clips and that of frames where both vary, as
    with --train_frames.

    Shapes:
        [B F, E], anything [B, F, ...] -> [B, F, E]
    """

    def call(self, values: Tensor, like: Tensor) -> Tensor:
        """Return the values, clip by clip."""
        return ops.reshape(values, (-1, ops.shape(like)[1], values.shape[-1]))

    def compute_output_shape(
        self, values_shape: tuple[int | None, ...], like_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Return the output shape."""
        return (*like_shape[:2], values_shape[-1])


@keras.saving.register_keras_serializable("emorec_tf")
class ModalityDropout(keras.layers.Layer):
    """In training, drop the audio of some clips and the face of as many others.

    A clip never loses its only modality. Outside training the masks pass unchanged.

    Shapes:
        audio mask [B, T], face mask [B, F] -> the same
    Source:
        Neverova et al. 2016, ModDrop, IEEE TPAMI 38(8), section 4; the rate is per modality.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: object) -> None:
        """``rate``: share of clips that lose their audio, and as many their face."""
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
        no_audio = ops.cast(draw < self.rate, "float32") * both
        no_face = ops.cast(draw > 1 - self.rate, "float32") * both
        return audio_mask * (1 - no_audio), face_mask * (1 - no_face)

    def compute_output_shape(
        self, audio_mask_shape: tuple[int | None, ...], face_mask_shape: tuple[int | None, ...]
    ) -> tuple[tuple[int | None, ...], tuple[int | None, ...]]:
        """Return the output shapes."""
        return audio_mask_shape, face_mask_shape

    def get_config(self) -> dict[str, object]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable("emorec_tf")
class WeightedAverage(keras.layers.Layer):
    """Average of two probability vectors by a fixed or learned weight; an absent one has none.

    Shapes:
        p_audio [B, K], p_face [B, K], audio and face present [B, 1] each -> [B, K]
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
        w_audio, w_face = share * audio, (1.0 - share) * face  # [B, 1]
        total = w_audio + w_face
        nothing = ops.cast(total <= 0, p_audio.dtype)
        mixed = (w_audio * p_audio + w_face * p_face) / (total + nothing)
        return mixed + nothing / p_audio.shape[-1]

    def get_config(self) -> dict[str, object]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "audio_weight": self.audio_weight}


@keras.saving.register_keras_serializable("emorec_tf")
class SharedWeights(keras.layers.Layer):
    """Weighted sum of two probability vectors and a bias: three weights for all classes.

    An absent modality counts as the uniform distribution.

    Shapes:
        p_audio [B, K], p_face [B, K], audio and face present [B, 1] each -> logits [B, K]
    """

    def __init__(self, start: float = 4.0, **kwargs: object) -> None:
        """``start``: both weights before training; the bias starts at zero."""
        super().__init__(**kwargs)
        self.start = start

    def build(self, *_shapes: object, **_named_shapes: object) -> None:
        """Make the three weights."""
        first = keras.initializers.Constant(self.start)
        self.audio_weight = self.add_weight(name="audio_weight", shape=(), initializer=first)
        self.face_weight = self.add_weight(name="face_weight", shape=(), initializer=first)
        self.bias = self.add_weight(name="bias", shape=(), initializer="zeros")

    def call(self, p_audio: Tensor, p_face: Tensor, audio: Tensor, face: Tensor) -> Tensor:
        """Return the scores."""
        uniform = 1.0 / p_audio.shape[-1]
        p_audio = audio * p_audio + (1.0 - audio) * uniform
        p_face = face * p_face + (1.0 - face) * uniform
        return self.audio_weight * p_audio + self.face_weight * p_face + self.bias

    def get_config(self) -> dict[str, object]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "start": self.start}


@keras.saving.register_keras_serializable("emorec_tf")
class AddedLogits(keras.layers.Layer):
    """Sum of two heads' logits; in training each head can have a loss of its own.

    With a and f the heads' logits and lse the log-sum-exp, the cross-entropy of a + f plus
    ``lse(a) + lse(f) - lse(a + f)`` is the sum of the cross-entropies of a and f, also with
    smoothed labels. That term needs no label (it is the surprise of both heads choosing the same
    class), so a layer can add it while the loss is that of the sum. Clip weights apply to the sum
    alone.

    Shapes:
        audio logits [B, K], face logits [B, K], audio and face present [B, 1] each -> [B, K]
    """

    def __init__(self, apart: float = 1.0, **kwargs: object) -> None:
        """``apart``: share of that term in the loss of training."""
        super().__init__(**kwargs)
        self.apart = apart

    def call(
        self, audio: Tensor, face: Tensor, heard: Tensor, seen: Tensor, training: bool | None = None
    ) -> Tensor:
        """Return the sum over the modalities present."""
        if training and self.apart:
            alone = ops.logsumexp(audio, axis=-1) + ops.logsumexp(face, axis=-1)
            term = alone - ops.logsumexp(audio + face, axis=-1)  # [B]
            self.add_loss(self.apart * ops.mean(term * heard[:, 0] * seen[:, 0]))
        return heard * audio + seen * face

    def compute_output_shape(
        self, audio_shape: tuple[int | None, ...], *_shapes: object, **_named_shapes: object
    ) -> tuple[int | None, ...]:
        """Return the output shape."""
        return audio_shape

    def get_config(self) -> dict[str, object]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "apart": self.apart}


@keras.saving.register_keras_serializable("emorec_tf")
class Still(keras.Model):
    """A functional model that runs in inference mode also in training: no dropout, BN fixed.

    ``training=False`` at the call alone is not enough: the surrounding model passes its own.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Run in inference mode."""
        del training
        return super().call(inputs, training=False, mask=mask)

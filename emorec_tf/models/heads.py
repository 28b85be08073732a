"""Heads: from a branch's tokens to its class scores, the same layers in every fusion.

The audio layers are called ``audio_norm``, ``audio_hidden_0`` and so on, and ``audio_head``, those
of the face ``face_...``, in every fusion: weights of a branch trained alone are found by layer
name. A fusion's own layers have other names (``joint_...``).

A face head has two forms with the same weights: on the clip's mean features (``clip_logits``) and
on single frames (``token_probabilities``). ``face_only`` offers both; a fusion takes the weights of
the form that it uses itself. With one frame the two are the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
from keras import ops

from emorec_tf.config.fields import check
from emorec_tf.models.layers import Tensor, Tokens, mean_of, present


@dataclass(frozen=True)
class Head:
    """Arguments of a head, by the names they have in every fusion.

    Attributes:
        units: of each hidden layer; 0: no hidden layer.
        layers: number of hidden layers, if units > 0.
        norm: layer normalisation of the features first.
        dropout: after each hidden layer; before the class layer if there is none. Dropout before
            the first hidden layer belongs to the branch.

    Raises:
        UserError: an impossible value.
    """

    units: int = 0
    layers: int = 1
    norm: bool = True
    dropout: float = 0.2

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        check(self.units >= 0, "units", self.units, "at least 0")
        check(self.layers >= 1, "layers", self.layers, "at least 1; units=0 leaves them out")
        check(0 <= self.dropout < 1, "dropout", self.dropout, "0 to 1")

    @property
    def hidden(self) -> tuple[int, ...]:
        """Units of each hidden layer."""
        return (self.units,) * self.layers if self.units else ()


def clip_features(tokens: Tokens, name: str, norm: bool = True) -> Tensor:
    """Mean over the real tokens, zero where the modality is absent.

    Shapes:
        [B, S, E] -> [B, E]

    Args:
        tokens: of one branch.
        name: "audio" or "face", the first half of the layer's name.
        norm: layer normalisation.
    """
    mean = mean_of(tokens)
    if not norm:
        return mean
    mean = keras.layers.LayerNormalization(name=f"{name}_norm")(mean)
    return mean * ops.cast(present(tokens.mask), mean.dtype)


def class_scores(
    x: Tensor,
    outputs: int,
    name: str,
    hidden: tuple[int, ...],
    dropout: float,
    batch_norm: bool = False,
) -> Tensor:
    """Hidden layers (dense, batch norm if asked for, ReLU, dropout), then the class layer.

    Shapes:
        [..., E] -> logits [..., K], float32 whatever the precision of the rest

    Args:
        x: features.
        outputs: K.
        name: the first half of the layers' names.
        hidden: units of each hidden layer.
        dropout: after each hidden layer; before the class layer if there is none.
        batch_norm: before each ReLU; the layer before it then has no bias.
    """
    for index, units in enumerate(hidden):
        layer = f"{name}_hidden_{index}"
        x = keras.layers.Dense(units, use_bias=not batch_norm, name=layer)(x)
        if batch_norm:
            x = keras.layers.BatchNormalization(momentum=0.9, name=f"{layer}_norm")(x)
        x = keras.layers.Dropout(dropout)(keras.layers.ReLU()(x))
    if not hidden:
        x = keras.layers.Dropout(dropout)(x)
    return keras.layers.Dense(outputs, dtype="float32", name=f"{name}_head")(x)


def clip_logits(tokens: Tokens, outputs: int, name: str, head: Head) -> Tensor:
    """Class scores of a clip's mean features: [B, S, E] -> [B, K]."""
    features = clip_features(tokens, name, head.norm)
    return class_scores(features, outputs, name, head.hidden, head.dropout)


def token_probabilities(tokens: Tokens, outputs: int, name: str, head: Head) -> Tensor:
    """Mean of the class probabilities over the real tokens, zero without any.

    Shapes:
        [B, S, E] -> [B, K]
    """
    x = tokens.values
    if head.norm:
        x = keras.layers.LayerNormalization(name=f"{name}_norm")(x)
    scores = class_scores(x, outputs, name, head.hidden, head.dropout)  # [B, S, K]
    return mean_of(Tokens(ops.softmax(scores), tokens.mask))


def log_of(probabilities: Tensor) -> Tensor:
    """Logits whose softmax gives the probabilities back; finite where one is zero."""
    return ops.log(probabilities + 1e-7)

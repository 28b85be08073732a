"""Heads: from a branch's tokens to its class scores, the same layers in every fusion.

The voice's layers are called ``audio_norm``, ``audio_hidden_0`` and so on, and ``audio_head``, the
face's ``face_...``, wherever they stand: weights of a branch trained alone are found by layer name.
A fusion's own layers have other names (``joint_...``).

A face head comes in two forms with the same weights: of the clip's mean features (``clip_logits``)
and of single pictures (``token_probabilities``). ``face_only`` offers both; a fusion takes over the
one that it uses itself. With one picture they are the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
from keras import ops

from emorec_tf.config.fields import check
from emorec_tf.models.layers import Tensor, Tokens, mean_of, present


@dataclass(frozen=True)
class Head:
    """Knobs of a head, by the names they have in every fusion.

    Attributes:
        units: of each hidden layer; 0: none, the classes follow from the features at once.
        layers: hidden layers, where there are units.
        norm: layer normalisation of the features first.
        dropout: after each hidden layer; before the class layer where there is none. What comes
            before the first hidden layer is the branch's own business.

    Raises:
        UserError: an impossible number.
    """

    units: int = 0
    layers: int = 1
    norm: bool = True
    dropout: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what makes no layer."""
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
        norm: on a common scale by layer normalisation.
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
        dropout: after each hidden layer; before the class layer where there is none.
        batch_norm: before each ReLU; the layer before it then needs no bias.
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
    """Class probabilities of each token, then their mean over the real ones, zero without any.

    Shapes:
        [B, S, E] -> [B, K]
    """
    x = tokens.values
    if head.norm:
        x = keras.layers.LayerNormalization(name=f"{name}_norm")(x)
    scores = class_scores(x, outputs, name, head.hidden, head.dropout)  # [B, S, K]
    return mean_of(Tokens(ops.softmax(scores), tokens.mask))


def log_of(probabilities: Tensor) -> Tensor:
    """Logits whose softmax gives the probabilities back, finite where one is zero."""
    return ops.log(probabilities + 1e-7)

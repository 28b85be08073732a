"""Cross-attention between the frames of the face and the tokens of the audio."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from emorec_tf.config.fields import check
from emorec_tf.models.heads import class_scores
from emorec_tf.models.layers import Tensor, Tokens, attention, present

SLOWEST, FASTEST = 0.5, 32.0  # cycles per clip of the position code


def cross_attention(
    audio: Tokens,
    face: Tokens,
    outputs: int,
    *,
    units: int = 64,
    heads: int = 4,
    layers: int = 1,
    dropout: float = 0.2,
) -> Tensor:
    """Cross-attention between audio and face tokens, then attentive pooling of both.

    An audio branch with ``pool='none'`` gives more than one audio token to attend to; any number of
    tokens works. An absent modality adds nothing to the other.

    Shapes:
        audio [B, S, Ea], face [B, F, Ef] -> logits [B, K]

    Args:
        units: of the tokens between the layers.
        heads: of each attention; they share the units.
        layers: cross-attention and feed-forward layers in each direction.
        dropout: of attention weights and of every layer's output.
    Source:
        Tsai et al. 2019, Multimodal Transformer for unaligned multimodal language sequences, ACL,
        section 3; normalisation before each layer as in Xiong et al. 2020, arXiv 2002.04745.
        Left out: the self-attention after the crossing.
    """
    check(heads >= 1, "heads", heads, "at least 1")
    check(units >= 2 and units % 2 == 0 and units % heads == 0, "units", units, _allowed(heads))
    check(layers >= 1, "layers", layers, "at least 1")
    check(0 <= dropout < 1, "dropout", dropout, "0 to 1")
    # names of layers as saved models have them
    audio, face = projected(audio, units, "joint_voice"), projected(face, units, "joint_look")
    for level in range(layers):
        audio, face = (
            crossed(audio, face, heads, dropout, f"joint_voice_{level}"),
            crossed(face, audio, heads, dropout, f"joint_look_{level}"),
        )
    x = ops.concatenate([summary(audio, "joint_voice"), summary(face, "joint_look")], axis=-1)
    return class_scores(x, outputs, "joint", (), dropout)  # [B, 4 units] -> [B, K]


def _allowed(heads: int) -> str:
    return f"an even number that {heads} heads divide"


def projected(tokens: Tokens, units: int, name: str) -> Tokens:
    """Normalise and project a branch's tokens, and add a position code; masked ones are zero.

    Shapes:
        [B, S, E] -> [B, S, units]
    """
    x = keras.layers.LayerNormalization(name=f"{name}_in_norm")(tokens.values)
    x = keras.layers.Dense(units, name=f"{name}_in")(x)
    x = x + ops.cast(position_code(tokens.mask, units), x.dtype)
    return Tokens(x * ops.cast(tokens.mask, x.dtype)[..., None], tokens.mask)


def position_code(mask: Tensor, units: int) -> Tensor:
    """Sines and cosines of each token's time, as a share of the clip up to its last real token.

    As a share, an audio token and a frame at the same time have the same code whatever the number
    of either; padding at the end does not count.

    Shapes:
        mask [B, S] -> [B, S, units]
    """
    mask = ops.cast(mask, "float32")
    index = ops.cumsum(ops.ones_like(mask), axis=1)  # 1 to S, where S may not be known yet
    last = ops.maximum(ops.max(index * mask, axis=1, keepdims=True), 1.0)
    cycles = np.geomspace(SLOWEST, FASTEST, units // 2, dtype=np.float32)
    angles = ((index - 0.5) / last)[..., None] * (2 * np.pi * cycles)
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)


def crossed(own: Tokens, other: Tokens, heads: int, dropout: float, name: str) -> Tokens:
    """Add the attention to the other modality's tokens, then a feed-forward layer.

    Shapes:
        own [B, S, units], other [B, R, units] -> [B, S, units]
    """
    units = own.values.shape[-1]
    query = keras.layers.LayerNormalization(name=f"{name}_own_norm")(own.values)
    value = keras.layers.LayerNormalization(name=f"{name}_other_norm")(other.values)
    attend = keras.layers.MultiHeadAttention(
        heads, units // heads, dropout=dropout, use_bias=False, name=f"{name}_attention"
    )
    # A first token of zeros, always present, is all that can be attended to of an absent modality.
    value = ops.concatenate([ops.zeros_like(value[:, :1]), value], axis=1)
    mask = ops.concatenate([ops.ones_like(other.mask[:, :1]), other.mask], axis=1)
    found = attend(query, value, attention_mask=ops.cast(mask, "bool")[:, None])
    x = own.values + keras.layers.Dropout(dropout)(found)
    y = keras.layers.LayerNormalization(name=f"{name}_norm")(x)
    y = keras.layers.Dense(2 * units, activation="relu", name=f"{name}_wide")(y)
    y = keras.layers.Dense(units, name=f"{name}_narrow")(y)
    return Tokens(x + keras.layers.Dropout(dropout)(y), own.mask)


def summary(tokens: Tokens, name: str) -> Tensor:
    """Attentive statistics, zero without any token: [B, S, units] -> [B, 2 units]."""
    x = keras.layers.LayerNormalization(name=f"{name}_out_norm")(tokens.values)
    pooled = attention(Tokens(x, tokens.mask))
    return pooled * ops.cast(present(tokens.mask), pooled.dtype)

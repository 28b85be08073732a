"""Feature-level fusions: both branches' vectors are joined before classification."""

from __future__ import annotations

import keras
from keras import ops

from emorec_tf.config.fields import check
from emorec_tf.models.heads import Head, class_scores, clip_features
from emorec_tf.models.layers import Tensor, Tokens, mean_of, present


def concat(
    audio: Tokens,
    face: Tokens,
    outputs: int,
    *,
    units: int = 0,
    layers: int = 1,
    norm: bool = True,
    presence: bool = True,
    dropout: float = 0.2,
) -> Tensor:
    """Concatenate both branches' mean features; optional hidden layers of one size.

    ``concat(units=128, layers=2, norm=False, presence=False, dropout=0.7)`` is the head of the
    audio-visual system this zoo implements.

    Shapes:
        audio [B, S, Ea], face [B, F, Ef] -> logits [B, K]

    Args:
        units: of each hidden layer; 0: no hidden layer.
        layers: number of hidden layers, if units > 0.
        norm: layer normalisation of each branch's features.
        presence: add two features that say which modality is present.
        dropout: after each hidden layer; before the class layer if there is none.
    Source:
        Feature-level fusion by concatenation, as in the audio-visual systems this zoo implements.
    """
    head = Head(units, layers, norm, dropout)
    joined = [clip_features(audio, "audio", norm), clip_features(face, "face", norm)]
    if presence:
        joined += [ops.cast(present(t.mask), "float32") for t in (audio, face)]
    x = ops.concatenate(joined, axis=-1)  # [B, Ea + Ef + 2]
    return class_scores(x, outputs, "joint", head.hidden, dropout)


def concat_deep(
    audio: Tokens,
    face: Tokens,
    outputs: int,
    *,
    hidden: tuple[int, ...] = (512, 128),
    batch_norm: bool = False,
    scale: float = 0.0,
    dropout: float = 0.4,
) -> Tensor:
    """Concatenate both branches' mean features, then hidden layers of any sizes.

    On two branches of 4096 features, ``concat_deep(hidden=(4096, 1024), dropout=0.85,
    scale=0.025)`` is the 8192-feature model; on 1000 and 400, ``concat_deep(hidden=(2096, 1024),
    dropout=0.4, batch_norm=True)`` is the late-fusion network.

    Shapes:
        audio [B, S, Ea], face [B, F, Ef] -> logits [B, K]

    Args:
        hidden: units of each hidden layer.
        batch_norm: batch normalisation before each ReLU.
        scale: factor on all features. The 8192-feature model divided its raw activations by 40
            (0.025), which suits only the two networks they came from. 0: layer normalisation of
            each branch instead, which suits any.
        dropout: after each hidden layer.
    Source:
        The 8192-feature fusion and the late-fusion network among the systems this zoo implements;
        the latter standardised its features over the training clips.
    """
    check(bool(hidden) and all(_counts(u) for u in hidden), "hidden", hidden, "layer sizes above 0")
    check(scale >= 0, "scale", scale, "at least 0")
    check(0 <= dropout < 1, "dropout", dropout, "0 to 1")
    if scale:
        joined = [mean_of(audio) * scale, mean_of(face) * scale]
    else:
        joined = [clip_features(audio, "audio"), clip_features(face, "face")]
    x = ops.concatenate(joined, axis=-1)  # [B, Ea + Ef]
    return class_scores(x, outputs, "joint", hidden, dropout, batch_norm)


def _counts(units: object) -> bool:
    return type(units) is int and units > 0


def gated(
    audio: Tokens, face: Tokens, outputs: int, *, units: int = 64, dropout: float = 0.2
) -> Tensor:
    """Mix both branches feature by feature, by a gate computed from both.

    Where one modality is absent, the other is used alone.

    Shapes:
        audio [B, S, Ea], face [B, F, Ef] -> logits [B, K]

    Args:
        units: of the mixed features.
        dropout: before the gate, and before the class layer.
    Source:
        Arevalo et al. 2017, Gated multimodal units for information fusion, arXiv 1702.01992,
        section 3.1; the masks are ours.
    """
    check(units >= 1, "units", units, "at least 1")
    check(0 <= dropout < 1, "dropout", dropout, "0 to 1")
    inner = keras.layers.Dropout(dropout)
    x_audio, x_face = inner(clip_features(audio, "audio")), inner(clip_features(face, "face"))
    # layer names as saved models have them; [B, units]
    h_audio = keras.layers.Dense(units, activation="tanh", name="joint_voice")(x_audio)
    h_face = keras.layers.Dense(units, activation="tanh", name="joint_look")(x_face)
    both = ops.concatenate([x_audio, x_face], axis=-1)
    gate = keras.layers.Dense(units, activation="sigmoid", name="joint_gate")(both)
    a, f = (ops.cast(present(t.mask), gate.dtype) for t in (audio, face))  # [B, 1]
    mixed = a * (f * gate + 1 - f) * h_audio + f * (a * (1 - gate) + 1 - a) * h_face
    return class_scores(mixed, outputs, "joint", (), dropout)

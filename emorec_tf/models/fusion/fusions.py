"""Fusions: the tokens of both branches to logits.

To add one, write a function here and give it an entry in ``FUSIONS`` below; nothing else names it.
A fusion takes the ``Tokens`` of both branches, the number of outputs, and its arguments as keywords
with literal defaults; it returns logits [B, K]. Masks say what is present: a fusion must answer
with either modality missing. A single branch is a fusion too. A Keras layer of its own needs
``keras.saving.register_keras_serializable("emorec_tf")``.

The single branches and the fusions of decisions are defined here. Their heads are those of
``heads``: a head trained in ``audio_only`` or ``face_only`` means the same in each of them, and
without the other modality they give the answer of the branch alone. ``multi_frame_average``,
``shared_weights`` and ``face_only(average='probabilities')`` classify each frame; the others
classify the mean over the frames.
"""

from __future__ import annotations

from keras import ops

from emorec_tf.config.entries import Fusion
from emorec_tf.config.fields import check
from emorec_tf.models.fusion.cross_attention import cross_attention
from emorec_tf.models.fusion.feature_level import concat, concat_deep, gated
from emorec_tf.models.heads import Head, clip_logits, log_of, token_probabilities
from emorec_tf.models.layers import (
    AddedLogits,
    SharedWeights,
    Tensor,
    Tokens,
    WeightedAverage,
    present,
    spread,
)


def weighted_average(
    audio: Tokens,
    face: Tokens,
    outputs: int,
    *,
    audio_weight: float | None = None,
    units: int = 0,
    layers: int = 1,
    norm: bool = True,
    dropout: float = 0.2,
) -> Tensor:
    """Average both branches' class probabilities, by a fixed or a learned weight.

    Shapes:
        audio [B, S, Ea], face [B, F, Ef] -> logits [B, K] (logarithms of the averages)

    Args:
        audio_weight: 0 to 1, the face has the rest; None: learned with everything else.
        units: of each head's hidden layers; 0: none.
        layers: number of hidden layers of each head, if units > 0.
        norm: layer normalisation of each branch's features.
        dropout: after each hidden layer; before the class layer if there is none.
    Source:
        Decision-level fusion; the weights as in the single-frame systems this zoo implements.
    """
    head = Head(units, layers, norm, dropout)
    p_audio = ops.softmax(clip_logits(audio, outputs, "audio", head))
    p_face = ops.softmax(clip_logits(face, outputs, "face", head))
    return averaged(p_audio, p_face, audio, face, audio_weight)


def multi_frame_average(
    audio: Tokens,
    face: Tokens,
    outputs: int,
    *,
    audio_weight: float | None = None,
    units: int = 0,
    layers: int = 1,
    norm: bool = True,
    dropout: float = 0.2,
) -> Tensor:
    """Class probabilities of each frame, averaged over the frames, then with those of the audio.

    Shapes:
        audio [B, S, Ea], face [B, F, Ef] -> logits [B, K] (logarithms of the averages)

    Args:
        audio_weight: 0 to 1, the face has the rest; None: learned with everything else.
        units: of each head's hidden layers; 0: none.
        layers: number of hidden layers of each head, if units > 0.
        norm: layer normalisation of the audio features and of each frame's.
        dropout: after each hidden layer; before the class layer if there is none.
    Source:
        Multi-frame weighted averaging, as in the systems this zoo implements.
    """
    head = Head(units, layers, norm, dropout)
    p_audio = ops.softmax(clip_logits(audio, outputs, "audio", head))
    p_face = token_probabilities(face, outputs, "face", head)
    return averaged(p_audio, p_face, audio, face, audio_weight)


def shared_weights(
    audio: Tokens,
    face: Tokens,
    outputs: int,
    *,
    frames: int = 0,
    start: float = 4.0,
    units: int = 0,
    layers: int = 1,
    norm: bool = True,
    dropout: float = 0.2,
) -> Tensor:
    """Score a class by both branches' probabilities of it: two weights and a bias for all classes.

    Meant for pretrained heads: the scores are logits made of probabilities, so a bad start leaves
    the branches little gradient. The bias shifts all classes alike and has no effect; it is kept
    because the original system has it, and stays at zero.

    Shapes:
        audio [B, S, Ea], face [B, F, Ef] -> logits [B, K]

    Args:
        frames: number of real frames used, evenly spaced (1: the middle one); 0: all.
        start: initial value of both weights. They set how far apart the logits are: those published
            after training were 24.4 for the face and 3.3 for the audio.
        units: of each head's hidden layers; 0: none.
        layers: number of hidden layers of each head, if units > 0.
        norm: layer normalisation of the audio features and of each frame's.
        dropout: after each hidden layer; before the class layer if there is none.
    Source:
        Single-input (``frames=1``) and multiple-input (``frames=6``) fusion among the systems this
        zoo implements; there one frame was drawn, or the first six were taken.
    """
    check(frames >= 0, "frames", frames, "at least 0")
    head = Head(units, layers, norm, dropout)
    if frames:
        face = Tokens(face.values, spread(face.mask, frames))
    p_audio = ops.softmax(clip_logits(audio, outputs, "audio", head))
    p_face = token_probabilities(face, outputs, "face", head)
    presence = [ops.cast(present(t.mask), "float32") for t in (audio, face)]
    return SharedWeights(start, dtype="float32", name="joint_weights")(p_audio, p_face, *presence)


def added_logits(
    audio: Tokens,
    face: Tokens,
    outputs: int,
    *,
    apart: float = 1.0,
    units: int = 0,
    layers: int = 1,
    norm: bool = True,
    dropout: float = 0.2,
) -> Tensor:
    """Add the logits of both heads; each head has a loss of its own, so either also works alone.

    Trained on their sum alone, the heads rely on each other, and the slower branch stops learning
    once the faster one classifies well; modality dropout solves only part of that.

    Shapes:
        audio [B, S, Ea], face [B, F, Ef] -> logits [B, K]

    Args:
        apart: 1: each branch learns as if alone; 0: from the sum of logits only. It applies to
            cross-entropy, so it is ignored with two outputs, which make a rating.
        units: of each head's hidden layers; 0: none.
        layers: number of hidden layers of each head, if units > 0.
        norm: layer normalisation of each branch's features.
        dropout: after each hidden layer; before the class layer if there is none.
    Source:
        Product of experts, Hinton 2002, Training products of experts by minimizing contrastive
        divergence, Neural Computation 14(8); a loss for each branch as in Wang, Tran, Feiszli 2020,
        What makes training multi-modal classification networks hard?, CVPR, section 3.
    """
    check(0 <= apart <= 1, "apart", apart, "0 to 1")
    head = Head(units, layers, norm, dropout)
    logits = [clip_logits(t, outputs, n, head) for t, n in ((audio, "audio"), (face, "face"))]
    presence = [ops.cast(present(t.mask), "float32") for t in (audio, face)]
    apart = apart if outputs > 2 else 0.0
    return AddedLogits(apart, dtype="float32", name="joint_sum")(*logits, *presence)


def audio_only(
    audio: Tokens,
    face: Tokens,
    outputs: int,
    *,
    units: int = 0,
    layers: int = 1,
    norm: bool = True,
    dropout: float = 0.2,
) -> Tensor:
    """Use the audio alone; the face is ignored.

    Shapes:
        audio [B, S, Ea], face (unused) -> logits [B, K]

    Args:
        units: of each hidden layer; 0: none.
        layers: number of hidden layers, if units > 0.
        norm: layer normalisation of the features.
        dropout: after each hidden layer; before the class layer if there is none.
    Source:
        The single-branch baseline every fusion must beat.
    """
    del face
    return clip_logits(audio, outputs, "audio", Head(units, layers, norm, dropout))


def face_only(
    audio: Tokens,
    face: Tokens,
    outputs: int,
    *,
    average: str = "features",
    units: int = 0,
    layers: int = 1,
    norm: bool = True,
    dropout: float = 0.2,
) -> Tensor:
    """Use the face alone; the audio is ignored.

    Shapes:
        audio (unused), face [B, F, Ef] -> logits [B, K]

    Args:
        average: over the frames: of their "features", which are then classified, or of the class
            "probabilities" of each (logits are the logarithm of their mean).
        units: of each hidden layer; 0: none.
        layers: number of hidden layers, if units > 0.
        norm: layer normalisation of the features, after or before they are averaged.
        dropout: after each hidden layer; before the class layer if there is none.
    Source:
        The single-branch baseline every fusion must beat.
    """
    del audio
    check(average in ("features", "probabilities"), "average", average, "features or probabilities")
    head = Head(units, layers, norm, dropout)
    if average == "features":
        return clip_logits(face, outputs, "face", head)
    return log_of(token_probabilities(face, outputs, "face", head))


def averaged(
    p_audio: Tensor, p_face: Tensor, audio: Tokens, face: Tokens, audio_weight: float | None
) -> Tensor:
    """Average two probability vectors over the modalities present; return the logarithm."""
    fits = audio_weight is None or 0 <= audio_weight <= 1
    check(fits, "audio_weight", audio_weight, "0 to 1, or None")
    presence = [ops.cast(present(t.mask), "float32") for t in (audio, face)]
    return log_of(WeightedAverage(audio_weight, dtype="float32")(p_audio, p_face, *presence))


FUSIONS = {
    "concat": Fusion(concat, head_replaceable=True),
    "concat_deep": Fusion(concat_deep, small="hidden=(8, 8)"),
    "gated": Fusion(gated, small="units=8"),
    "cross_attention": Fusion(cross_attention, small="units=8"),
    "weighted_average": Fusion(weighted_average),
    "multi_frame_average": Fusion(multi_frame_average),
    "shared_weights": Fusion(shared_weights, renamed={"pictures": "frames"}),
    "added_logits": Fusion(added_logits),
    "audio_only": Fusion(audio_only, uses=("audio",), head_replaceable=True),
    "face_only": Fusion(face_only, uses=("face",), head_replaceable=True),
}

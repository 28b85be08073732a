"""Fusions: two branches' tokens to logits. To add one, write a function and name it in the table.

A fusion takes both branches' ``Tokens``, the number of outputs, and its knobs as keyword
arguments with literal defaults; it returns logits [B, K]. Masks say what is there: a fusion must
give an answer with either modality missing. Branches alone are fusions too.

Here stand the branches alone and those that join decisions. Their heads are those of ``heads``: a
head trained in ``audio_only`` or ``face_only`` means the same in each of them, and with the other
modality gone they decide as the branch alone does. ``multi_frame_average`` and ``shared_weights``
read single pictures, as does ``face_only(average='probabilities')``; the rest read their mean.
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
        layers: hidden layers of each head, where there are units.
        norm: layer normalisation of each branch's features.
        dropout: after each hidden layer; before the class layer where there is none.
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
    """Class probabilities per picture, averaged over the pictures, then with those of the voice.

    Shapes:
        audio [B, S, Ea], face [B, F, Ef] -> logits [B, K] (logarithms of the averages)

    Args:
        audio_weight: 0 to 1, the face has the rest; None: learned with everything else.
        units: of each head's hidden layers; 0: none.
        layers: hidden layers of each head, where there are units.
        norm: layer normalisation of the voice's features and of each picture's.
        dropout: after each hidden layer; before the class layer where there is none.
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
    pictures: int = 0,
    start: float = 4.0,
    units: int = 0,
    layers: int = 1,
    norm: bool = True,
    dropout: float = 0.2,
) -> Tensor:
    """Score a class by both branches' probabilities of it: two weights and a bias serve all.

    Meant for heads that were trained first: the scores are logits made of probabilities, so a wrong
    start costs the branches their gradient. The bias moves all classes alike and decides nothing;
    it is kept as the system had it, and stays at zero.

    Shapes:
        audio [B, S, Ea], face [B, F, Ef] -> logits [B, K]

    Args:
        pictures: so many of a clip's real pictures, evenly spread (1: the middle one); 0: all.
        start: both weights at first. Logits made of probabilities are told apart by their weights
            alone: those published after training were 24.4 for the face and 3.3 for the voice.
        units: of each head's hidden layers; 0: none.
        layers: hidden layers of each head, where there are units.
        norm: layer normalisation of the voice's features and of each picture's.
        dropout: after each hidden layer; before the class layer where there is none.
    Source:
        Single-input (``pictures=1``) and multiple-input (``pictures=6``) fusion among the systems
        this zoo implements; there one picture was drawn, or the first six were taken.
    """
    check(pictures >= 0, "pictures", pictures, "at least 0")
    head = Head(units, layers, norm, dropout)
    if pictures:
        face = Tokens(face.values, spread(face.mask, pictures))
    p_audio = ops.softmax(clip_logits(audio, outputs, "audio", head))
    p_face = token_probabilities(face, outputs, "face", head)
    there = [ops.cast(present(t.mask), "float32") for t in (audio, face)]
    return SharedWeights(start, dtype="float32", name="joint_weights")(p_audio, p_face, *there)


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
    """Add both heads' scores; each head has a loss of its own, so either also does alone.

    Trained on their sum alone, heads rely on each other, and the slower branch stops learning when
    the faster one answers for both; modality dropout mends only part of that.

    Shapes:
        audio [B, S, Ea], face [B, F, Ef] -> logits [B, K]

    Args:
        apart: 1: each branch learns as if alone; 0: from the sum of scores only. Holds for
            cross-entropy, so nothing is done with two outputs, of which a rating is made.
        units: of each head's hidden layers; 0: none.
        layers: hidden layers of each head, where there are units.
        norm: layer normalisation of each branch's features.
        dropout: after each hidden layer; before the class layer where there is none.
    Source:
        Product of experts, Hinton 2002, Training products of experts by minimizing contrastive
        divergence, Neural Computation 14(8); a loss for each branch as in Wang, Tran, Feiszli 2020,
        What makes training multi-modal classification networks hard?, CVPR, section 3.
    """
    check(0 <= apart <= 1, "apart", apart, "0 to 1")
    head = Head(units, layers, norm, dropout)
    logits = [clip_logits(t, outputs, n, head) for t, n in ((audio, "audio"), (face, "face"))]
    there = [ops.cast(present(t.mask), "float32") for t in (audio, face)]
    apart = apart if outputs > 2 else 0.0
    return AddedLogits(apart, dtype="float32", name="joint_sum")(*logits, *there)


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
    """Use the voice alone; the face is ignored.

    Shapes:
        audio [B, S, Ea], face (unused) -> logits [B, K]

    Args:
        units: of each hidden layer; 0: none.
        layers: hidden layers, where there are units.
        norm: layer normalisation of the features.
        dropout: after each hidden layer; before the class layer where there is none.
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
    """Use the face alone; the voice is ignored.

    Shapes:
        audio (unused), face [B, F, Ef] -> logits [B, K]

    Args:
        average: over a clip's pictures: of their "features", which are then decided on, or of the
            class "probabilities" that each gives (logits are the logarithm of their mean).
        units: of each hidden layer; 0: none.
        layers: hidden layers, where there are units.
        norm: layer normalisation of the features, after or before they are averaged.
        dropout: after each hidden layer; before the class layer where there is none.
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
    """Average two probability vectors over what is there; return the logarithm."""
    fits = audio_weight is None or 0 <= audio_weight <= 1
    check(fits, "audio_weight", audio_weight, "0 to 1, or None")
    there = [ops.cast(present(t.mask), "float32") for t in (audio, face)]
    return log_of(WeightedAverage(audio_weight, dtype="float32")(p_audio, p_face, *there))


FUSIONS = {
    "concat": Fusion(concat, head_replaceable=True),
    "concat_deep": Fusion(concat_deep, small="hidden=(8, 8)"),
    "gated": Fusion(gated, small="units=8"),
    "cross_attention": Fusion(cross_attention, small="units=8"),
    "weighted_average": Fusion(weighted_average),
    "multi_frame_average": Fusion(multi_frame_average),
    "shared_weights": Fusion(shared_weights),
    "added_logits": Fusion(added_logits),
    "audio_only": Fusion(audio_only, uses=("audio",), head_replaceable=True),
    "face_only": Fusion(face_only, uses=("face",), head_replaceable=True),
}

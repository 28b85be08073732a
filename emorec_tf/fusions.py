"""Fusions: two branches' tokens to logits. To add one, write a function and name it in the table.

A fusion takes both branches' ``Tokens``, the number of outputs, and its knobs as keyword
arguments with literal defaults; it returns logits [B, K]. Masks say what is there: a fusion must
give an answer with either modality missing. Branches alone are fusions too.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import ops

from emorec_tf.config import check
from emorec_tf.layers import Tensor, Tokens, WeightedAverage, mean_of, present


def concat(
    audio: Tokens, face: Tokens, outputs: int, *, units: int = 0, dropout: float = 0.2
) -> Tensor:
    """Join both branches' mean features, then a hidden layer if asked for.

    Shapes:
        audio [B, S, Ea], face [B, F, Ef] -> logits [B, K]

    Args:
        units: of a hidden layer; 0: the classes follow from the joined features at once.
        dropout: before each layer.
    Source:
        Feature-level fusion by concatenation, as in the audio-visual systems this zoo implements.
    """
    there = [ops.cast(present(t.mask), "float32") for t in (audio, face)]
    x = ops.concatenate([normalised_mean(audio), normalised_mean(face), *there], axis=-1)
    x = keras.layers.Dropout(dropout)(x)  # [B, Ea + Ef + 2]
    if units:
        x = keras.layers.Dropout(dropout)(keras.layers.Dense(units, activation="relu")(x))
    return head(x, outputs)


def weighted_average(
    audio: Tokens,
    face: Tokens,
    outputs: int,
    *,
    audio_weight: float | None = None,
    dropout: float = 0.2,
) -> Tensor:
    """Average both branches' class probabilities, by a fixed or a learned weight.

    Shapes:
        audio [B, S, Ea], face [B, F, Ef] -> logits [B, K] (logarithms of the averages)

    Args:
        audio_weight: 0 to 1, the face has the rest; None: learned with everything else.
        dropout: before each branch's class layer.
    Source:
        Decision-level fusion; the weights as in the single-frame systems this zoo implements.
    """
    p_audio = ops.softmax(head(keras.layers.Dropout(dropout)(normalised_mean(audio)), outputs))
    p_face = ops.softmax(head(keras.layers.Dropout(dropout)(normalised_mean(face)), outputs))
    return averaged(p_audio, p_face, audio, face, audio_weight)


def multi_frame_average(
    audio: Tokens,
    face: Tokens,
    outputs: int,
    *,
    audio_weight: float | None = None,
    dropout: float = 0.2,
) -> Tensor:
    """Class probabilities per picture, averaged over the pictures, then with those of the voice.

    Shapes:
        audio [B, S, Ea], face [B, F, Ef] -> logits [B, K] (logarithms of the averages)

    Args:
        audio_weight: 0 to 1, the face has the rest; None: learned with everything else.
        dropout: before each branch's class layer.
    Source:
        Multi-frame weighted averaging, as in the systems this zoo implements.
    """
    p_audio = ops.softmax(head(keras.layers.Dropout(dropout)(normalised_mean(audio)), outputs))
    frames = keras.layers.Dropout(dropout)(keras.layers.LayerNormalization()(face.values))
    p_face = mean_of(Tokens(ops.softmax(head(frames, outputs)), face.mask))  # [B, F, K] -> [B, K]
    return averaged(p_audio, p_face, audio, face, audio_weight)


def audio_only(audio: Tokens, face: Tokens, outputs: int, *, dropout: float = 0.2) -> Tensor:
    """Use the voice alone; the face is ignored.

    Shapes:
        audio [B, S, Ea], face (unused) -> logits [B, K]

    Args:
        dropout: before the class layer.
    Source:
        The single-branch baseline every fusion must beat.
    """
    del face
    return head(keras.layers.Dropout(dropout)(normalised_mean(audio)), outputs)


def face_only(audio: Tokens, face: Tokens, outputs: int, *, dropout: float = 0.2) -> Tensor:
    """Use the face alone; the voice is ignored.

    Shapes:
        audio (unused), face [B, F, Ef] -> logits [B, K]

    Args:
        dropout: before the class layer.
    Source:
        The single-branch baseline every fusion must beat.
    """
    del audio
    return head(keras.layers.Dropout(dropout)(normalised_mean(face)), outputs)


def normalised_mean(tokens: Tokens) -> Tensor:
    """Mean over real tokens on a common scale, zero where the modality is absent: -> [B, E]."""
    mean = keras.layers.LayerNormalization()(mean_of(tokens))
    return mean * ops.cast(present(tokens.mask), mean.dtype)


def head(features: Tensor, outputs: int) -> Tensor:
    """Class layer, always in float32 whatever the precision of the rest."""
    return keras.layers.Dense(outputs, dtype="float32")(features)


def averaged(
    p_audio: Tensor, p_face: Tensor, audio: Tokens, face: Tokens, audio_weight: float | None
) -> Tensor:
    """Average two probability vectors over what is there; return the logarithm."""
    fits = audio_weight is None or 0 <= audio_weight <= 1
    check(fits, "audio_weight", audio_weight, "0 to 1, or None")
    there = [ops.cast(present(t.mask), "float32") for t in (audio, face)]
    mixed = WeightedAverage(audio_weight, dtype="float32")(p_audio, p_face, *there)
    return ops.log(mixed + 1e-7)


FUSIONS: dict[str, Callable[..., Tensor]] = {
    "concat": concat,
    "weighted_average": weighted_average,
    "multi_frame_average": multi_frame_average,
    "audio_only": audio_only,
    "face_only": face_only,
}
UNIMODAL = {"audio_only", "face_only"}  # modality dropout would only take clips away from these

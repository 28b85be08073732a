"""Trained runs as one network: a product of experts, each silent on what it cannot judge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
from keras import ops

from emorec_tf import catalog, runs
from emorec_tf.config import FeaturesConfig
from emorec_tf.layers import Tensor, present
from emorec_tf.model import input_tensors
from emorec_tf.runs import Run

MASK_OF = {"audio_only": "audio_mask", "face_only": "face_mask"}


def product(
    features: FeaturesConfig, members: Sequence[Run], validated: bool = False
) -> keras.Model:
    """Multiply the members' calibrated probabilities; nothing is left to train.

    A member that judges by the voice alone has no say about a clip without one, nor one by the
    face alone about a clip without a face: with one modality gone, the others decide as if alone.

    Args:
        features: of the records, which all members share.
        members: trained runs.
        validated: take the members as they were before ``refit`` let them meet the validation
            speakers.

    Shapes:
        ``{array name: [B, ...]} -> logits [B, K]``, sums of logarithms of probabilities
    Source:
        Hinton 2002, Training products of experts by minimizing contrastive divergence, Neural
        Computation 14; here each is trained by itself.
    """
    inputs = input_tensors(features)
    total = None
    for number, member in enumerate(members, 1):
        file = member.validated_file if validated else member.model_file
        vote = judged(inputs, member, file, number)
        total = vote if total is None else total + vote
    whole = keras.Model(inputs, total, name="emorec_product")
    whole.trainable = False
    return whole


def judged(inputs: dict[str, Tensor], member: Run, file: Path, number: int) -> Tensor:
    """Logarithms of one member's probabilities, zero where it has nothing to judge: [B, K]."""
    model = runs.load_model(file)
    expert = keras.Model(model.input, model.output, name=f"expert_{number}")
    logits = ops.cast(expert({name: inputs[name] for name in model.input}), "float32")
    logs = ops.log_softmax(logits / (member.temperature or 1.0))
    mask = MASK_OF.get(catalog.parse(member.config.model.fusion)[0])
    return logs if mask is None else logs * ops.cast(present(inputs[mask]), "float32")

"""Trained runs as one network: a product of experts, each silent on what it cannot judge."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from emorec_tf.config import choices
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.models.classical.head_layers import SPEAKER_FEATURES as ASKED
from emorec_tf.models.layers import Tensor, present
from emorec_tf.models.model import input_tensors
from emorec_tf.training import inner_cv, run_dir
from emorec_tf.training.run_dir import Run


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
    files = [m.validated_file if validated else m.model_file for m in members]
    models = [run_dir.load_model(file) for file in files]
    inputs = input_tensors(features)
    widths = [m.input[ASKED].shape[1] if ASKED in m.input else 0 for m in models]
    if sum(widths):
        inputs[ASKED] = keras.Input((sum(widths),), name=ASKED)
    total = None
    warmth = temperatures(members)
    for number, (member, model) in enumerate(zip(members, models, strict=True)):
        given = dict(inputs)
        if widths[number]:
            begin = sum(widths[:number])
            given[ASKED] = inputs[ASKED][:, begin : begin + widths[number]]
        expert = keras.Model(model.input, model.output, name=f"expert_{number + 1}")
        vote = judged(given, member, expert, warmth[number])
        total = vote if total is None else total + vote
    whole = keras.Model(inputs, total, name="emorec_product")
    whole.trainable = False
    return whole


def temperatures(members: Sequence[Run]) -> list[float]:
    """Each member's temperature; where two speakers told it, classical heads of a kind share one.

    Such heads are overconfident alike, while few validation speakers tell each one's temperature
    badly: one misjudged voice silences that expert for everybody. The mean is a geometric one.
    A member with answers of inner folds, which come from all training speakers, keeps its own.
    """
    own = [member.temperature or 1.0 for member in members]
    kinds = [
        "none" if inner_cv.answers(m) else choices.parse(m.config.model.classifier)[0]
        for m in members
    ]
    shared = {}
    for kind in set(kinds) - {"none"}:
        logs = [np.log(t) for t, k in zip(own, kinds, strict=True) if k == kind]
        shared[kind] = float(np.exp(np.mean(logs)))
    return [shared.get(kind, t) for t, kind in zip(own, kinds, strict=True)]


def judged(
    inputs: dict[str, Tensor], member: Run, expert: keras.Model, temperature: float
) -> Tensor:
    """Logarithms of one member's probabilities, zero where it has nothing to judge: [B, K]."""
    logits = ops.cast(expert({name: inputs[name] for name in expert.input}), "float32")
    logs = ops.log_softmax(logits / temperature)
    uses = choices.facts("fusion", member.config.model.fusion).uses
    if len(uses) > 1:
        return logs
    return logs * ops.cast(present(inputs[f"{uses[0]}_mask"]), "float32")

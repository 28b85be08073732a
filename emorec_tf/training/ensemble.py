"""Trained runs as one network: a product of experts, each skipped where its modality is missing."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from emorec_tf.config import choices
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.models.absent import fitted
from emorec_tf.models.classical.set_scale import SPEAKER_FEATURES, SPEAKER_SCALE
from emorec_tf.models.layers import Tensor, present
from emorec_tf.models.model import input_tensors
from emorec_tf.training import (
    feature_standard,
    inner_cv,
    packaged_members,
    run_dir,
    shift_answers,
)
from emorec_tf.training.run_dir import Run


def model_of(run: Run) -> keras.Model:
    """The network of a run: that of its file, or composed of the packaged models it refers to.

    Raises:
        UserError: no such file, or a damaged one; a member that is missing or another one.
    """
    if not run.members:
        return run_dir.load_model(run.model_file)
    members = packaged_members.opened(run)
    return product(run.config.features, members, own_temperatures=True)


def product_model(run: Run) -> keras.Model:
    """Make the members of a run one network; with ``refit``, save that of the refitted members too.

    Returns:
        The product of members that were not trained on the validation speakers.
    """
    members = [run_dir.load(run.folder / facts["folder"]) for facts in run.steps.values()]
    inner_cv.write_product(run, members, temperatures(members))
    shift_answers.write_product(run, members, temperatures(members))
    feature_standard.write_product(run, members)
    if run.config.train.refit:
        run_dir.save_model(product(run.config.features, members), run.model_file)
    return product(run.config.features, members, validated=True)


def product(
    features: FeaturesConfig,
    members: Sequence[Run],
    validated: bool = False,
    own_temperatures: bool = False,
) -> keras.Model:
    """Multiply the members' calibrated probabilities; nothing is left to train.

    A member that uses audio alone is skipped for a clip without audio, and one that uses the face
    alone for a clip without a face: the others decide as if they were the whole ensemble.

    Args:
        features: of the records, which all members share; of packaged members those of the
            modalities that each uses.
        members: trained runs.
        validated: use the members before ``refit``, which have not seen the validation speakers.
        own_temperatures: each member keeps its own temperature, as packaged; see ``temperatures``.

    Shapes:
        ``{array name: [B, ...]} -> logits [B, K]``, sums of logarithms of probabilities
    Source:
        Hinton 2002, Training products of experts by minimizing contrastive divergence, Neural
        Computation 14; here each is trained by itself.
    """
    files = [m.validated_file if validated else m.model_file for m in members]
    models = [run_dir.load_model(file) for file in files]
    inputs = input_tensors(features)
    widths = [
        m.input[SPEAKER_FEATURES].shape[1] if SPEAKER_FEATURES in m.input else 0 for m in models
    ]
    adapted = [n for n in (SPEAKER_FEATURES, SPEAKER_SCALE) if any(n in m.input for m in models)]
    for name in adapted:
        inputs[name] = keras.Input((sum(widths),), name=name)
    total = None
    temperature = temperatures(members)
    if own_temperatures:
        temperature = [member.temperature or 1.0 for member in members]
    for number, (member, model) in enumerate(zip(members, models, strict=True)):
        given = fitted(inputs, model.input, member.modalities, f"expert_{number + 1}")
        if widths[number]:
            begin = sum(widths[:number])
            for name in adapted:
                given[name] = inputs[name][:, begin : begin + widths[number]]
        expert = keras.Model(model.input, model.output, name=f"expert_{number + 1}")
        vote = log_probabilities(given, member, expert, temperature[number])
        total = vote if total is None else total + vote
    whole = keras.Model(inputs, total, name="emorec_product")
    whole.trainable = False
    return whole


def temperatures(members: Sequence[Run]) -> list[float]:
    """Each member's temperature; heads of the same classifier share their geometric mean.

    Such heads are similarly overconfident, but a few validation speakers determine each temperature
    poorly: one misclassified speaker would lower that expert's weight for all clips. A member with
    answers of inner folds, which come from all training speakers, keeps its own.
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


def log_probabilities(
    inputs: dict[str, Tensor], member: Run, expert: keras.Model, temperature: float
) -> Tensor:
    """Logarithms of one member's probabilities, zero where its modality is missing: [B, K]."""
    logits = ops.cast(expert({name: inputs[name] for name in expert.input}), "float32")
    logs = ops.log_softmax(logits / temperature)
    uses = member.modalities
    if len(uses) > 1:
        return logs
    return logs * ops.cast(present(inputs[f"{uses[0]}_mask"]), "float32")

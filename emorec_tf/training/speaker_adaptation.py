"""Two ways to know a speaker: not at all, or by clips of his that nobody has labelled.

Unseen: a voice is measured against the training clips. Enrolled: against its speaker's own clips,
whose mean and deviation of each log-mel band stand in for those of the training clips. Training
does the same with its speakers, so that the network meets one kind of input. Under a classical
head the features of voice and face, too, are measured from the speaker's mean (``features_model``).
Clips that enrol are drawn by seed, without a look at their labels, and are never scored.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf

from emorec_tf.config.clip import Clip
from emorec_tf.config.config import DataConfig
from emorec_tf.errors import UserError
from emorec_tf.models.classical.head_layers import SPEAKER_FEATURES
from emorec_tf.records import input_pipeline
from emorec_tf.records.input_pipeline import Adapt, Batch
from emorec_tf.records.records_dir import Records

# Nepers. A band that is silent in few clips has no deviation to speak of; others may differ.
LEAST_DEVIATION = 0.1

Standard = tuple[np.ndarray, np.ndarray]  # mean and deviation of each band, [M] and [M]


def enrolling(clips: Iterable[Clip], data: DataConfig, seed: int) -> list[Clip]:
    """Draw the clips that enrol their speakers; none where no speaker is enrolled by clips.

    Raises:
        UserError: a speaker has so few clips that none is left to score.
    """
    if not isinstance(data.enrol, int):
        return []
    of: dict[str, list[Clip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda c: c.clip_id):
        of[clip.speaker].append(clip)
    found = []
    for speaker, own in of.items():
        if len(own) <= data.enrol:
            raise UserError(
                f"speaker {speaker} has {len(own)} clips; --enrol {data.enrol} leaves none to "
                f"score, enrol by fewer"
            )
        found += random.Random(f"{seed} {speaker}").sample(own, data.enrol)
    return found


def scored(clips: Sequence[Clip], data: DataConfig, seed: int) -> list[Clip]:
    """Leave the clips out that enrol."""
    taken = {c.clip_id for c in enrolling(clips, data, seed)}
    return [c for c in clips if c.clip_id not in taken]


def adapter(
    data: DataConfig, opened: Records, clips: Sequence[Clip], standard: Standard, seed: int
) -> Adapt | None:
    """Make the function that puts each clip's voice on the scale of the training clips.

    Args:
        data: tells by how many clips a speaker is enrolled.
        opened: records that hold the clips.
        clips: all clips of all speakers that will be met.
        standard: of the training clips, as in the model's first layer.
        seed: of the draw.

    Returns:
        ``(inputs, clip ids) -> inputs``; None where speakers stay unseen.
    """
    if data.enrol is None:
        return None
    if data.enrol == "self":
        return alone(standard)
    own = of_speakers(opened, enrolling(clips, data, seed))
    row = {speaker: number for number, speaker in enumerate(own)}
    means, deviations = (
        tf.constant(np.stack(values)) for values in zip(*own.values(), strict=True)
    )
    rows = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(
            tf.constant([c.clip_id for c in clips]),
            tf.constant([row[c.speaker] for c in clips], tf.int64),
        ),
        -1,
    )

    def adapt(inputs: Batch, clip_ids: tf.Tensor) -> Batch:
        which = rows.lookup(tf.convert_to_tensor(clip_ids, tf.string))
        return moved(
            inputs,
            tf.gather(means, which)[:, None],
            tf.gather(deviations, which)[:, None],
            standard,
        )

    return adapt


def with_features(
    adapt: Adapt | None,
    model: keras.Model,
    data: DataConfig,
    opened: Records,
    clips: Sequence[Clip],
    seed: int,
) -> Adapt | None:
    """Let ``adapt`` also give the mean features of each clip's speaker, if a model asks for them.

    Args:
        adapt: from ``adapter``.
        model: asks by an input ``speaker_features``.
        data: tells by how many clips a speaker is enrolled.
        opened: records that hold the clips.
        clips: all clips of all speakers that will be met.
        seed: of the draw.
    """
    below = features_model(model)
    if below is None:
        return adapt
    own = mean_features(below, opened, enrolling(clips, data, seed), adapt)
    moved_too = adapt or unmoved
    means = np.stack(list(own.values()))
    row = {speaker: number for number, speaker in enumerate(own)}
    number = {c.clip_id.encode(): row[c.speaker] for c in clips}

    def adapted(inputs: Batch, clip_ids: tf.Tensor) -> Batch:
        which = [number[i] for i in np.asarray(clip_ids)]
        return {**moved_too(inputs, clip_ids), SPEAKER_FEATURES: means[which]}

    return adapted


def features_model(model: keras.Model) -> keras.Model | None:
    """Cut the part of a model that gives what is measured from the speaker's mean: -> [B, E].

    None for a model that does not ask for that mean. Of a product, all its members' features.
    """
    if SPEAKER_FEATURES not in model.input:
        return None
    inputs = {n: t for n, t in model.input.items() if n != SPEAKER_FEATURES}
    experts = [layer for layer in model.layers if layer.name.startswith("expert_")]
    if not experts:
        return keras.Model(inputs, model.get_layer("features").output)
    parts = [part for part in map(features_model, experts) if part is not None]
    found = [part({n: inputs[n] for n in part.input}) for part in parts]
    return keras.Model(inputs, keras.ops.concatenate(found, axis=-1) if found[1:] else found[0])


def mean_features(
    below: keras.Model, opened: Records, clips: Sequence[Clip], adapt: Adapt | None
) -> dict[str, np.ndarray]:
    """Mean features [E] of each speaker over these clips."""
    speaker = {c.clip_id.encode(): c.speaker for c in clips}
    found: dict[str, list[np.ndarray]] = defaultdict(list)
    for inputs, clip_ids in input_pipeline.evaluation(opened, clips):
        features = np.asarray(below.predict_on_batch((adapt or unmoved)(inputs, clip_ids)))
        for one, clip_id in zip(features, clip_ids.numpy(), strict=True):
            found[speaker[clip_id]].append(one)
    return {name: np.mean(found[name], axis=0) for name in sorted(found)}


def alone(standard: Standard) -> Adapt:
    """Make the adapter that knows a voice by the running clip alone."""
    return lambda inputs, _: moved(inputs, *of_each(inputs), standard)


def with_mean(adapt: Adapt, mean: np.ndarray) -> Adapt:
    """Let ``adapt`` also give the mean features [1, E] of the one speaker who is met."""

    def adapted(inputs: Batch, clip_ids: tf.Tensor) -> Batch:
        count = len(next(iter(inputs.values())))
        return {**adapt(inputs, clip_ids), SPEAKER_FEATURES: np.repeat(mean, count, axis=0)}

    return adapted


def unmoved(inputs: Batch, _: tf.Tensor) -> Batch:
    """Leave a voice as it is."""
    return inputs


def known(own: Standard, standard: Standard) -> Adapt:
    """Make the adapter for one speaker, whose mean and deviation are ``own``."""
    return lambda inputs, _: moved(inputs, own[0], own[1], standard)


def moved(inputs: Batch, mean: tf.Tensor, deviation: tf.Tensor, standard: Standard) -> Batch:
    """Give bands of this mean and deviation those of ``standard`` instead; padding stays zero.

    Shapes:
        audio [B, T, M], audio_mask [B, T]; mean and deviation [M] or [B, 1, M]
    """
    audio = (inputs["audio"] - mean) / deviation * standard[1] + standard[0]
    return {**inputs, "audio": audio * inputs["audio_mask"][..., None]}


def of_each(inputs: Batch) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and deviation of each clip's own real frames: [B, 1, M] each."""
    mask = tf.convert_to_tensor(inputs["audio_mask"])[..., None]
    count = tf.maximum(tf.reduce_sum(mask, 1, keepdims=True), 1.0)
    mean = tf.reduce_sum(inputs["audio"] * mask, 1, keepdims=True) / count
    spread = tf.reduce_sum(tf.square(inputs["audio"] - mean) * mask, 1, keepdims=True) / count
    return mean, tf.maximum(tf.sqrt(spread), LEAST_DEVIATION)


def of_speakers(opened: Records, clips: Sequence[Clip]) -> dict[str, Standard]:
    """Mean and deviation of each speaker over the real frames of these clips, in one pass."""
    speaker = {c.clip_id: c.speaker for c in clips}
    voices: dict[str, list[np.ndarray]] = defaultdict(list)
    for inputs, clip_ids in input_pipeline.evaluation(opened, clips):
        audio, mask = inputs["audio"].numpy(), inputs["audio_mask"].numpy()
        for voice, real, clip_id in zip(audio, mask, clip_ids.numpy(), strict=True):
            voices[speaker[clip_id.decode()]].append(voice[real > 0])
    return {name: of_voices(voices[name]) for name in sorted(voices)}


def of_voices(voices: Sequence[np.ndarray]) -> Standard:
    """Mean and deviation of each band over log-mels [T, M]; 0 and 1 without any sound."""
    frames = np.concatenate(voices).astype(np.float64)
    if not len(frames):
        bands = frames.shape[1]
        return np.zeros(bands, np.float32), np.ones(bands, np.float32)
    deviation = np.maximum(frames.std(0), LEAST_DEVIATION)
    return frames.mean(0).astype(np.float32), deviation.astype(np.float32)


def standard_of(model: keras.Model) -> Standard | None:
    """Give the mean and deviation that a model was built with; None for one without a voice."""
    layers = [layer for layer in model.layers if layer.name == "standardise"]
    if not layers:  # in a product, each member has its own, all alike
        inner = [standard_of(m) for m in model.layers if m.name.startswith("expert_")]
        return next((standard for standard in inner if standard is not None), None)
    mean, variance = (np.ravel(np.asarray(v)) for v in (layers[0].mean, layers[0].variance))
    return mean, np.sqrt(variance)

"""Level and spread of audio bands: measured over clips, and replaced by those of training clips."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from emorec_tf.config.clip import Clip
from emorec_tf.records import input_pipeline
from emorec_tf.records.input_pipeline import Batch
from emorec_tf.records.records_dir import Records
from emorec_tf.training.enrolment import set_of

# Nepers. A band that is silent in the enrolment clips has almost no deviation there.
LEAST_DEVIATION = 0.1

Standard = tuple[np.ndarray, np.ndarray]  # mean and deviation of each band, [M] and [M]


def moved(inputs: Batch, mean: Any, deviation: Any, standard: Standard) -> Batch:
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


def of_sets(records: Records, clips: Sequence[Clip], by: str) -> Mapping[str, Standard]:
    """Mean and deviation of each set over the real frames of these clips, by sorted name."""
    names = {c.clip_id: set_of(c, by) for c in clips}
    frames: dict[str, list[np.ndarray]] = defaultdict(list)
    for inputs, clip_ids in input_pipeline.evaluation(records, clips):
        audio, mask = inputs["audio"].numpy(), inputs["audio_mask"].numpy()
        for bands, real, clip_id in zip(audio, mask, clip_ids.numpy(), strict=True):
            frames[names[clip_id.decode()]].append(bands[real > 0])
    return {name: band_statistics(frames[name]) for name in sorted(frames)}


def band_statistics(clips: Sequence[np.ndarray]) -> Standard:
    """Mean and deviation of each band over spectra [T, M]; 0 and 1 without any audio."""
    frames = np.concatenate(clips).astype(np.float64)
    if not len(frames):
        bands = frames.shape[1]
        return np.zeros(bands, np.float32), np.ones(bands, np.float32)
    deviation = np.maximum(frames.std(0), LEAST_DEVIATION)
    return frames.mean(0).astype(np.float32), deviation.astype(np.float32)


def standard_of(model: keras.Model) -> Standard | None:
    """Mean and deviation that a model was built with; None for one that does not use audio."""
    layers = [layer for layer in model.layers if layer.name == "standardise"]
    if not layers:  # in an ensemble, each member has its own; all are equal
        inner = [standard_of(m) for m in model.layers if m.name.startswith("expert_")]
        return next((standard for standard in inner if standard is not None), None)
    mean, variance = (np.ravel(np.asarray(v)) for v in (layers[0].mean, layers[0].variance))
    return mean, np.sqrt(variance)

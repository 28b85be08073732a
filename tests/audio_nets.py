"""A network of one audio branch, and a batch for it."""

from __future__ import annotations

import keras
import numpy as np

from emorec_tf.config import choices
from emorec_tf.models.layers import Tokens

FRAMES, BANDS = 48, 16


def built(choice: str, frames: int = FRAMES, bands: int = BANDS) -> keras.Model:
    keras.utils.set_random_seed(0)
    tensors = {
        "audio": keras.Input((frames, bands), name="audio"),
        "audio_mask": keras.Input((frames,), name="audio_mask"),
    }
    return keras.Model(tensors, list(choices.resolve("audio", choice)(tensors)))


def batch(count: int = 3) -> dict[str, np.ndarray]:
    audio = np.random.default_rng(0).normal(size=(count, FRAMES, BANDS)).astype(np.float32)
    mask = np.ones((count, FRAMES), np.float32)
    mask[0, 30:] = 0
    mask[-1] = 0
    return {"audio": audio * mask[..., None], "audio_mask": mask}


def answered(model: keras.Model, inputs: dict[str, np.ndarray]) -> Tokens:
    return Tokens(*(np.asarray(output) for output in model(inputs, training=False)))

"""Shared fixtures: tiny settings, random inputs of their shape, models saved and read again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from emorec_tf.clip import Clip
from emorec_tf.command_line import QUIET
from emorec_tf.config import FeaturesConfig
from emorec_tf.schema import schema

if TYPE_CHECKING:
    import keras

os.environ.update(QUIET)  # before anything imports TensorFlow

Inputs = dict[str, np.ndarray]


@pytest.fixture(scope="session")
def features() -> FeaturesConfig:
    """Half a second of sound in 48 frames of 16 bands, 3 grey pictures of 24 pixels."""
    return FeaturesConfig(
        sample_rate_hz=8000,
        clip_seconds=0.5,
        mel_bands=16,
        mel_max_hz=4000.0,
        face_frames=3,
        face_pixels=24,
    )


@pytest.fixture(scope="session")
def inputs() -> Callable[..., Inputs]:
    """Return a function that draws model inputs: all there, but for a last third of padding."""

    def draw(features: FeaturesConfig, count: int = 4, seed: int = 0) -> Inputs:
        random = np.random.default_rng(seed)
        made: Inputs = {}
        for name, spec in schema(features).items():
            shape = (count, *spec.shape)
            if name.endswith("_mask"):
                made[name] = np.ones(shape, np.float32)
                made[name][:, -(spec.shape[0] // 3) :] = 0
            elif spec.dtype == "uint8":
                made[name] = random.integers(0, 256, shape, np.uint8)
            else:
                made[name] = random.normal(size=shape).astype(spec.dtype)
        return made

    return draw


@pytest.fixture
def reloaded(tmp_path: Path) -> Callable[[keras.Model], keras.Model]:
    """Return a function that saves a model and reads it again, safely and without extra code."""

    def again(model: keras.Model) -> keras.Model:
        import keras

        model.save(tmp_path / "model.keras")
        return keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)

    return again


@pytest.fixture(scope="session")
def people() -> list[Clip]:
    """Eight speakers, named 1 to 8, with three emotions each; no file behind them."""
    return [
        Clip(f"{speaker}-{emotion}", str(speaker), emotion)
        for speaker in range(1, 9)
        for emotion in ("neutral", "happy", "sad")
    ]

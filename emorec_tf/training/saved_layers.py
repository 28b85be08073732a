"""Layers of saved models: found by their names before loading, asked for problems after it."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

from emorec_tf.errors import UserError

if TYPE_CHECKING:
    import keras

# modules and packages that may define layers or losses of a saved model
WITH_LAYERS = ("models", "features.audio_features", "tasks.losses")


@functools.cache
def register() -> None:
    """Import every module that may define a layer or a loss, so that Keras finds it by its name."""
    for name in WITH_LAYERS:
        module = importlib.import_module(f"emorec_tf.{name}")
        for inner in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{module.__name__}."):
            importlib.import_module(inner.name)


def refuse_problems(model: keras.Model, path: Path) -> None:
    """Refuse a model with a layer that cannot run here; it says so in its ``problem``.

    Raises:
        UserError: the first problem, and the file that the model was read from.
    """
    for layer in model._flatten_layers():
        if problem := getattr(layer, "problem", None):
            raise UserError(f"model {path}: {problem}")

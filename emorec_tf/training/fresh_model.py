"""A network that is not trained yet, or that starts from the weights of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emorec_tf.config.config import Config
from emorec_tf.config.fields import check
from emorec_tf.training import run_dir

if TYPE_CHECKING:
    import keras


def build(config: Config, classes: tuple[str, ...], run: run_dir.Run | None) -> keras.Model:
    """Build a network, with the matching weights of a run.

    Args:
        config: settings of features and model.
        classes: names of the K classes.
        run: whose standardisation is used, and the weights of its layers where name and shapes are
            equal; None: random weights, audio of mean 0 and standard deviation 1.

    Returns:
        {array name: [B, ...]} -> logits [B, K].

    Raises:
        UserError: fewer than two classes, an unknown choice, a run without its model.
    """
    check(len(set(classes)) == len(classes) >= 2, "classes", classes, "two or more, once each")
    from emorec_tf.models.model import build_model
    from emorec_tf.training import ensemble, transfer

    trained = ensemble.model_of(run) if run else None
    mean, variance = _standard(trained, config.features.audio_width)
    given = transfer.loaded_branches(config, [run] if run and not run.config.model.ensemble else [])
    model = build_model(config, classes, mean, np.sqrt(variance), branches=given)
    theirs = {layer.name: layer for layer in trained.layers} if trained is not None else {}
    for layer in model.layers:
        other = theirs.get(layer.name)
        if other and [w.shape for w in layer.weights] == [w.shape for w in other.weights]:
            layer.set_weights(other.get_weights())
    return model


def _standard(trained: keras.Model | None, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance [M] of each band, as a trained model has them, or 0 and 1."""
    found = [n for n in trained.layers if n.name == "standardise"] if trained is not None else []
    if not found or np.size(found[0].mean) != width:
        return np.zeros(width, np.float32), np.ones(width, np.float32)
    return np.ravel(np.asarray(found[0].mean)), np.ravel(np.asarray(found[0].variance))

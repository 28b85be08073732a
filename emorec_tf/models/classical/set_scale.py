"""Features of a clip relative to a set of unlabelled recordings: their mean and their spread.

A set is the recordings of one speaker, or of one room. Its mean and deviation are inputs of the
model, so that every clip of a batch may have a set of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from emorec_tf.models.layers import Tensor

SPEAKER_FEATURES = "speaker_features"  # input of adapted models: mean features of the clip's set
SPEAKER_SCALE = "speaker_scale"  # input: by what deviations from that mean are multiplied
LAYER = "set_scale"
PRIOR_CLIPS = 10.0  # clips that the pooled deviation is worth
LEAST = 1e-6  # a smaller deviation is that of a constant feature, which is not scaled


@dataclass(frozen=True)
class FeatureStandard:
    """What the features of training clips are like; vectors [E].

    Attributes:
        mean: over the clips.
        speaker: deviation within speakers, pooled over them.
        corpus: deviation within corpora, pooled over them.
    """

    mean: np.ndarray
    speaker: np.ndarray
    corpus: np.ndarray


def pooled_deviation(sets: Mapping[str, np.ndarray]) -> np.ndarray:
    """Deviation within sets, pooled over them by their degrees of freedom.

    Shapes:
        {set: [K, E]} -> [E]; ones where no set has two clips
    """
    squares = sum(np.square(rows - rows.mean(0)).sum(0) for rows in sets.values())
    freedom = sum(len(rows) - 1 for rows in sets.values())
    width = next(iter(sets.values())).shape[1]
    found = np.sqrt(squares / freedom) if freedom else np.ones(width)
    return np.asarray(found, np.float32)


def scale_of(rows: np.ndarray, pooled: np.ndarray) -> np.ndarray:
    """Factor that gives the features of a set the pooled spread.

    The variance of a set of K clips is drawn towards the pooled variance, which counts as much as
    ``PRIOR_CLIPS`` degrees of freedom: s^2 = ((K - 1) s_set^2 + k s_pooled^2) / (K - 1 + k). So one
    clip gives the factor 1, and many clips give s_pooled / s_set. Constant features keep factor 1.

    Shapes:
        features of the set [K, E], deviation [E] -> [E]
    Source:
        The mean of a variance under its conjugate prior, a scaled inverse chi-squared with k
        degrees of freedom: Gelman et al. 2013, Bayesian data analysis, section 3.3.
    """
    wanted = np.square(pooled.astype(np.float64))
    squares = np.square(rows - rows.mean(0, dtype=np.float64)).sum(0)
    variance = (squares + PRIOR_CLIPS * wanted) / (len(rows) - 1 + PRIOR_CLIPS)
    varies = pooled > LEAST
    factor = np.sqrt(np.where(varies, wanted, 1.0) / np.where(varies, variance, 1.0))
    return factor.astype(np.float32)


@keras.saving.register_keras_serializable("emorec_tf")
class SetScale(keras.layers.Layer):
    """Scales features about the mean of their set, and moves them to the training clips' mean.

    With ``to_training`` the result is target + (x - mean) scale, else mean + (x - mean) scale: what
    follows then subtracts the mean itself. A feature that is exactly zero is that of a missing
    modality and stays zero with ``to_training``.

    Shapes:
        x [B, E], mean and scale [B, W], of which columns ``begin`` to ``begin + E`` -> [B, E]
    """

    def __init__(self, to_training: bool = False, begin: int = 0, **kwargs: Any) -> None:
        """``begin``: of this model's columns among those of an ensemble."""
        super().__init__(trainable=False, dtype="float32", **kwargs)
        self.to_training, self.begin = to_training, begin

    def build(self, x_shape: Sequence[int], *others: Sequence[int]) -> None:
        """Make the vectors: deviation within training sets, and mean of the training clips."""
        width = (x_shape[-1],)
        self.pooled = self.add_weight(shape=width, name="pooled", initializer="ones")
        if self.to_training:
            self.target = self.add_weight(shape=width, name="target", initializer="zeros")
        self.built = True

    def call(self, x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        """Return the adapted features."""
        own = slice(self.begin, self.begin + x.shape[-1])
        mean, scale = mean[:, own], scale[:, own]
        away = (x - mean) * scale
        if not self.to_training:
            return mean + away
        return ops.where(ops.equal(x, 0.0), x, self.target + away)

    def compute_output_shape(self, x_shape: Any, *others: Any) -> Any:
        """Return the output shape."""
        return x_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        found = super().get_config()
        del found["trainable"], found["dtype"]  # fixed by the constructor
        return {**found, "to_training": self.to_training, "begin": self.begin}


def put(x: Tensor, mean: Tensor, scale: Tensor, pooled: np.ndarray, **more: Any) -> Tensor:
    """Apply a ``SetScale`` with these vectors; ``more``: its arguments, and ``target``."""
    target = more.pop("target", None)
    layer = SetScale(name=LAYER, to_training=target is not None, **more)
    y = layer(x, mean, scale)
    layer.set_weights([v for v in (pooled, target) if v is not None])
    return y


def expert_number(name: str) -> int:
    """Number of an ensemble's member by the name of its layer, "expert_2"."""
    return int(name.rpartition("_")[2])


def experts_of(model: keras.Model) -> list[keras.Model]:
    """Members of an ensemble, in order; [] of any other model."""
    found = [layer for layer in model.layers if layer.name.startswith("expert_")]
    return sorted(found, key=lambda layer: expert_number(layer.name))


def width_of(model: keras.Model) -> int:
    """Number of features under a classical head, of all members together; 0 without such a head."""
    experts = experts_of(model)
    if experts:
        return sum(map(width_of, experts))
    names = {layer.name for layer in model.layers}
    if "features" not in names or "classifier" not in names:
        return 0
    return int(model.get_layer("features").output.shape[-1])


def pooled_of(model: keras.Model) -> np.ndarray | None:
    """Deviations [W] that an adapted model holds, of all members; None: it does not scale."""
    if SPEAKER_SCALE not in model.input:
        return None
    experts = experts_of(model)
    if experts:
        found = [pooled_of(expert) for expert in experts]
        return np.concatenate([part for part in found if part is not None])
    return np.asarray(model.get_layer(LAYER).pooled)


def adaptable(
    model: keras.Model, mean: np.ndarray, pooled: np.ndarray, begin: int = 0, width: int = 0
) -> keras.Model:
    """Give a speaker-independent model the inputs by which its features are adapted.

    Args:
        model: with a classical head, or an ensemble of such models.
        mean: of the features of the training clips, [W].
        pooled: deviation of these features within sets, [W].
        begin: first of this model's columns, in an ensemble.
        width: W; 0: the model's own features.

    Returns:
        The same network with two more inputs, ``speaker_features`` and ``speaker_scale`` [B, W].
    """
    width = width or width_of(model)
    inputs = {n: keras.Input(t.shape[1:], name=n, dtype=t.dtype) for n, t in model.input.items()}
    more = {n: keras.Input((width,), name=n) for n in (SPEAKER_FEATURES, SPEAKER_SCALE)}
    begins, at = {}, begin
    for expert in experts_of(model):
        begins[expert.name], at = at, at + width_of(expert)

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if layer.name in begins and width_of(layer):
            inner = adaptable(layer, mean, pooled, begins[layer.name], width)
            return inner({**args[0], **more}, **kwargs)
        if layer.name != "features":
            return layer(*args, **kwargs)
        # A layer of its own: that of the given model would have two outputs.
        output = keras.layers.Identity(name="features", dtype="float32")(*args)
        own = slice(begin, begin + output.shape[-1])
        given = (more[SPEAKER_FEATURES], more[SPEAKER_SCALE], pooled[own])
        return put(output, *given, target=mean[own], begin=begin)

    both = {**inputs, **more}
    whole = keras.Model({**model.input, **_like(more)}, model.output, name=model.name)
    return keras.models.clone_model(
        whole, input_tensors=both, clone_function=lambda layer: layer, call_function=call
    )


def _like(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make other inputs of the same names and shapes."""
    return {n: keras.Input(t.shape[1:], name=n, dtype=t.dtype) for n, t in inputs.items()}

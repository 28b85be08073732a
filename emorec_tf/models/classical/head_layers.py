"""A classical head as Keras layers: a saved run holds plain arrays and needs no scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import keras
import numpy as np
from keras import ops

from emorec_tf.models.classical import set_scale
from emorec_tf.models.classical.set_scale import SPEAKER_FEATURES, SPEAKER_SCALE
from emorec_tf.models.layers import Tensor, Tokens, mean_of

Weighted: TypeAlias = tuple[keras.layers.Layer, list[np.ndarray]]  # and its weights


@dataclass(frozen=True)
class Found:
    """Result of a search: the estimator takes z = components (x - mean) / scale - offset."""

    mean: np.ndarray  # [E]
    scale: np.ndarray  # [E]
    components: np.ndarray | None  # [P, E], None without PCA
    offset: np.ndarray | None  # [P]
    estimator: Any

    def projected(self, features: np.ndarray) -> np.ndarray:
        """Project features [N, E] as the estimator takes them: [N, E], or [N, P] with PCA."""
        z = (features - self.mean) / self.scale
        return z if self.components is None else z @ self.components.T - self.offset

    def decisions(self, features: np.ndarray, means: np.ndarray | None = None) -> np.ndarray:
        """Decision function of scikit-learn [N, K]; the one value of two classes is split.

        ``means``: the mean features of each clip's speaker, [N, E], for a head that uses them.
        """
        z = self.projected(features)
        if means is not None:
            head = self.estimator
            offset = self.projected(means) @ head.speaker_coef_.T
            return _two(z @ head.coef_.T + head.intercept_ - offset)
        values = np.asarray(self.estimator.decision_function(z))
        return _two(values[:, None] if values.ndim == 1 else values)


def joined(branches: Sequence[Tokens]) -> Tensor:
    """Concatenate the branches' mean features, zero where one is absent: -> [B, E]."""
    return ops.concatenate([ops.cast(mean_of(t), "float32") for t in branches], axis=-1)


def with_head(
    model: keras.Model,
    found: Found,
    enrolled: bool = False,
    pooled: np.ndarray | None = None,
) -> keras.Model:
    """Add the fitted head to a model of features: logits [B, K] are its decision function.

    Args:
        model: of features [B, E].
        found: the head.
        enrolled: the model gets one more input, ``speaker_features`` [B, E], the mean of the
            speaker's features, which is subtracted from the features, or used by the head's own
            weights.
        pooled: deviation of the features within the training sets, [E]: the model gets a further
            input, ``speaker_scale`` [B, E], by which deviations from that mean are multiplied.
    """
    x, inputs, offset = model.output, model.input, None
    if enrolled:
        mean = keras.Input(x.shape[1:], name=SPEAKER_FEATURES)
        inputs = {**inputs, SPEAKER_FEATURES: mean}
        if pooled is not None:
            scale = keras.Input(x.shape[1:], name=SPEAKER_SCALE)
            inputs = {**inputs, SPEAKER_SCALE: scale}
            x = set_scale.put(x, mean, scale, pooled)
        if hasattr(found.estimator, "speaker_coef_"):
            offset = _put(_of_mean(found), mean)
        else:
            x = x - mean
    for layer in _layers(found):
        x = _put(layer, x)
    x = x if offset is None else x + offset
    whole = keras.Model(inputs, x, name=model.name)
    whole.trainable = False  # fitted already
    return whole


def _put(layer: Weighted, x: Tensor) -> Tensor:
    """Apply a layer and set its weights."""
    y = layer[0](x)
    layer[0].set_weights([np.asarray(w, np.float32) for w in layer[1]])
    return y


def _projection(found: Found) -> tuple[np.ndarray, np.ndarray]:
    """Matrix [E, P] and shift [P] of z = x @ matrix - shift."""
    components = found.components
    project = np.diag(1 / found.scale) if components is None else (components / found.scale).T
    return project, found.mean @ project + (0 if found.offset is None else found.offset)


def _of_mean(found: Found) -> Weighted:
    """Make the layer that subtracts the speaker's share from the scores."""
    project, shift = _projection(found)
    coefficients = found.estimator.speaker_coef_.T
    dense = keras.layers.Dense(coefficients.shape[1], dtype="float32", name="speaker_classifier")
    return dense, [-project @ coefficients, shift @ coefficients]


def _layers(found: Found) -> list[Weighted]:
    """Layers and their weights: one for a linear head, else scaling or PCA, and the machine."""
    components = found.components
    project, shift = _projection(found)
    machines = getattr(found.estimator, "estimators_", None)
    if machines is None or machines[0].kernel == "linear":
        parts = [found.estimator] if machines is None else machines
        coefficients = np.concatenate([m.coef_ for m in parts]).T
        bias = np.concatenate([m.intercept_ for m in parts])
        coefficients, bias = _two(coefficients), _two(bias)
        dense = keras.layers.Dense(bias.size, dtype="float32", name="classifier")
        return [(dense, [project @ coefficients, bias - shift @ coefficients])]
    rows = np.unique(np.concatenate([m.support_ for m in machines]))
    vectors, duals = _support(machines, rows)
    bias = _two(np.concatenate([m.intercept_ for m in machines]))
    first, count = machines[0], len(rows)
    machine = KernelMachine(
        first.kernel,
        first.gamma,
        first.degree,
        count,
        bias.size,
        dtype="float32",
        name="classifier",
    )
    weights = [vectors, _two(duals), bias]
    if components is None:
        scaler = keras.layers.Normalization(
            mean=found.mean, variance=found.scale**2, dtype="float32", name="features_standardised"
        )
        return [(scaler, []), (machine, weights)]
    pca = keras.layers.Dense(len(components), dtype="float32", name="features_projected")
    return [(pca, [project, -shift]), (machine, weights)]


def _support(machines: Sequence[Any], rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Support vectors [S, P] of all machines without repetition, and coefficients [S, machines]."""
    vectors = np.zeros((len(rows), machines[0].support_vectors_.shape[1]))
    duals = np.zeros((len(rows), len(machines)))
    for number, machine in enumerate(machines):
        at = np.searchsorted(rows, machine.support_)
        vectors[at] = machine.support_vectors_
        duals[at, number] = machine.dual_coef_[0]
    return vectors, duals


def _two(values: np.ndarray) -> np.ndarray:
    """Split the one function of two classes into a half for each, with opposite signs."""
    return np.concatenate([-values / 2, values / 2], -1) if values.shape[-1] == 1 else values


@keras.saving.register_keras_serializable("emorec_tf")
class KernelMachine(keras.layers.Layer):
    """Decision functions of support vector machines that share their support vectors.

    Shapes:
        [B, E] -> [B, K]
    Source:
        Cortes and Vapnik 1995, Support-vector networks, Machine Learning 20, equation 34; kernels
        as scikit-learn defines them, without its coef0.
    """

    def __init__(
        self, kernel: str, gamma: float, degree: int, vectors: int, outputs: int, **kwargs: object
    ) -> None:
        """``vectors``: number of support vectors; ``outputs``: number of machines."""
        super().__init__(**kwargs)
        self.kernel, self.gamma, self.degree = kernel, gamma, degree
        self.vectors, self.outputs = vectors, outputs

    def build(self, shape: Sequence[int]) -> None:
        """Make the weights."""
        shapes = ((self.vectors, shape[-1]), (self.vectors, self.outputs), (self.outputs,))
        self.support, self.duals, self.bias = (
            self.add_weight(shape=s, name=n, initializer="zeros", trainable=False)
            for n, s in zip(("support", "duals", "bias"), shapes, strict=True)
        )

    def call(self, x: Tensor) -> Tensor:
        """Return the decision functions."""
        inner = ops.matmul(x, ops.transpose(self.support))  # [B, S]
        if self.kernel == "poly":
            near = ops.power(self.gamma * inner, self.degree)
        else:
            lengths = [ops.sum(ops.square(v), -1) for v in (x, self.support)]
            distances = lengths[0][:, None] + lengths[1][None] - 2 * inner
            near = ops.exp(-self.gamma * ops.maximum(distances, 0.0))
        return ops.matmul(near, self.duals) + self.bias

    def compute_output_shape(self, shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Return the output shape."""
        return (*shape[:-1], self.outputs)

    def get_config(self) -> dict[str, object]:
        """Return the arguments of the constructor."""
        names = ("kernel", "gamma", "degree", "vectors", "outputs")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

"""A model in training on several replicas: one batch to all of them, and a repair of Keras.

Batch normalisation takes its statistics from the whole batch, and gradients are clipped as a whole.

Keras 3 cannot ``fit`` under MultiWorkerMirroredStrategy (github.com/keras-team/keras/issues/20585):
its trainer reduces a batch that lies on several machines to build by it, which fails eagerly, and
reduces scalar metrics along an axis that scalars do not have. The two overrides here take this
machine's part of the batch, and no axis.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

_LOG = logging.getLogger(__name__)
# Tested on 3.15; the code in question has not changed since 3.0.
BROKEN_FROM, BROKEN_TO = (3, 0), (3, 15)


def replicated(model: keras.Model, several_machines: bool) -> keras.Model:
    """Wrap a functional model for training; layers and weights are shared with it."""
    return class_for(several_machines)(model.input, model.output, name=model.name)


def class_for(several_machines: bool) -> type[Replicated]:
    """Choose the class, with the repair where this Keras is known to need it."""
    if not several_machines:
        return Replicated
    if needs_repair(keras.__version__):
        return AcrossMachines
    _LOG.info(
        "note: Keras %s is not known to need the repair for its issue 20585; its own fit is used",
        keras.__version__,
    )
    return Replicated


def needs_repair(version: str) -> bool:
    """Whether this version of Keras is known to fail on several machines."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return BROKEN_FROM <= (major, minor) <= BROKEN_TO


def batch_norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """All batch normalisations of a model, also of the models in it."""
    layers = model._flatten_layers()
    return [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]


@contextlib.contextmanager
def over_all_replicas(model: keras.Model) -> Iterator[None]:
    """Let batch normalisation take its statistics from all replicas in a step.

    The setting is undone afterwards: a layer saved with it loads on the TensorFlow backend only.
    """
    layers = batch_norms(model)
    before = [layer.synchronized for layer in layers]
    try:
        for layer in layers:
            layer.synchronized = True
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer.synchronized = own


@contextlib.contextmanager
def clipped_as_one(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Sum gradients over replicas before they are clipped, in a step.

    Keras clips each replica's own and then adds them up, which is another gradient. With a scaled
    loss (mixed_float16) that stays so: that optimiser sums at a place of its own.
    """

    def clipped(gradients: list[Any]) -> Any:
        context = tf.distribute.get_replica_context()
        return own(context.all_reduce(tf.distribute.ReduceOp.SUM, gradients))

    own = optimizer._clip_gradients
    repaired = not isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    try:
        if repaired:
            optimizer._clip_gradients = clipped
            optimizer._all_reduce_sum_gradients = lambda summed: summed
        yield
    finally:
        if repaired:
            del optimizer._clip_gradients, optimizer._all_reduce_sum_gradients


class Replicated(keras.Model):
    """A model that several replicas train, each on its part of the batch."""

    def make_train_function(self, force: bool = False) -> Callable[[Any], Any]:
        """Make the function of a step; what is set around it holds for all replicas."""
        made: Callable[[Any], Any] | None = getattr(self, "train_function", None)
        if made is not None and not force:
            return made
        step = self.own_step()

        def take(batches: Any) -> Any:
            with over_all_replicas(self), clipped_as_one(self.optimizer):
                return step(batches)

        self.train_function = take
        return take

    def own_step(self) -> Callable[[Any], Any]:
        """Make Keras's function of a step."""
        super().make_train_function(force=True)
        made: Callable[[Any], Any] = self.train_function
        return made


class AcrossMachines(Replicated):
    """The same on several machines, with what Keras lacks for that."""

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Build by this machine's part of a batch."""
        strategy = self.distribute_strategy
        for _, _, batches in iterator or ():
            data_batch = keras.tree.map_structure(
                lambda value: strategy.experimental_local_results(value)[0], next(batches)
            )
            break
        with strategy.scope():
            self._symbolic_build(data_batch=data_batch)

    def own_step(self) -> Callable[[Any], Any]:
        """Make the function of a step; metrics are averaged over replicas without an axis."""
        strategy = self.distribute_strategy

        @tf.function(jit_compile=self.jit_compile, reduce_retracing=True)
        def step(data: Any) -> Any:
            found = strategy.run(self.train_step, args=(data,))
            return {n: strategy.reduce("MEAN", v, axis=None) for n, v in found.items()}

        return lambda batches: step(next(batches))

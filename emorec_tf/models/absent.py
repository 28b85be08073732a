"""A model input of a modality that the model does not use: zeros, whatever the clip has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from emorec_tf.models.layers import Tensor


@keras.saving.register_keras_serializable("emorec_tf")
class Absent(keras.layers.Layer):
    """Zeros of a given shape and type, for as many clips as another input has.

    Shapes:
        any [B, ...] -> [B, *shape]
    """

    def __init__(self, shape: Sequence[int], kind: str, **kwargs: Any) -> None:
        """``shape`` without the batch; ``kind``: their type, such as uint8."""
        super().__init__(trainable=False, dtype="float32", **kwargs)
        self.shape, self.kind = tuple(shape), kind

    def call(self, like: Tensor) -> Tensor:
        """Return the zeros."""
        return ops.zeros((ops.shape(like)[0], *self.shape), self.kind)

    def compute_output_spec(self, like: Tensor) -> keras.KerasTensor:
        """Return the shape and type of the output."""
        return keras.KerasTensor((like.shape[0], *self.shape), self.kind)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        found = super().get_config()
        del found["trainable"], found["dtype"]  # fixed by the constructor
        return {**found, "shape": self.shape, "kind": self.kind}


def absent(wanted: Tensor, like: Tensor, name: str) -> Tensor:
    """Zeros in the place of an input: with the shape and type of ``wanted``.

    Args:
        wanted: an input of a model.
        like: an input that gives the number of clips.
        name: of the layer.
    """
    shape = [1 if size is None else size for size in wanted.shape[1:]]  # None: of frames
    return Absent(shape, str(wanted.dtype), name=name)(like)

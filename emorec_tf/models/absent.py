"""A model input of a modality that the model does not use: zeros, whatever the clip has."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from emorec_tf.config.schema import FRAME_ARRAYS
from emorec_tf.models.layers import Tensor

ARRAYS = {"audio": ("audio", "audio_mask"), "face": FRAME_ARRAYS}  # inputs of each modality


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


def fitted(
    inputs: Mapping[str, Tensor], wanted: Mapping[str, Tensor], uses: Collection[str], name: str
) -> dict[str, Tensor]:
    """Inputs of an ensemble as one member takes them: zeros in place of what it does not use.

    Args:
        inputs: of the ensemble, by name.
        wanted: of the member.
        uses: "audio", "face", or both: what the member uses.
        name: of the member, for its layers.
    """
    found, like = dict(inputs), next(iter(inputs.values()))
    for key, its in wanted.items():
        kind = next((k for k, names in ARRAYS.items() if key in names), None)
        if kind is None or kind in uses or _serves(inputs.get(key), its):
            continue
        shape = [1 if size is None else size for size in its.shape[1:]]  # None: of frames
        found[key] = Absent(shape, str(its.dtype), name=f"no_{key}_for_{name}")(like)
    return found


def _serves(given: Tensor | None, wanted: Tensor) -> bool:
    """Whether an input has the type and shape of another; None is any number of frames."""
    if given is None or given.dtype != wanted.dtype:
        return False
    return all(b in (None, a) for a, b in zip(given.shape, wanted.shape, strict=True))

"""Inputs of a run's network: made of files, put together to batches, and partly masked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from emorec_tf.config.clip import Clip

if TYPE_CHECKING:
    from emorec_tf.features.examples import Seen

Inputs: TypeAlias = dict[str, np.ndarray]
Maker: TypeAlias = "Callable[[Clip], tuple[Inputs, Seen]]"


def mute(example: Inputs) -> None:
    """Mask the audio of an example: audio [T, M], audio_mask [T]."""
    example["audio"][:] = 0
    example["audio_mask"][:] = 0


def silenced(example: Inputs, seen: Seen) -> Inputs:
    """Give the mask of an example's audio as if digital silence were no audio; {}: it is none."""
    silent = seen.audio_present and not seen.audio_sha256
    return {"audio_mask": np.zeros_like(example["audio_mask"])} if silent else {}


def is_seen(example: Inputs) -> bool:
    """Say whether a face, or its mesh, was found."""
    masks = [example[name] for name in ("face_mask", "mesh_mask") if name in example]
    return any(bool(mask.any()) for mask in masks)


def inputs_of(make: Maker, path: str) -> tuple[Inputs, Seen]:
    """Decode a file and give it the shape of a batch of one."""
    example, seen = make(clip_of(path))
    return batch_of(example), seen


def clip_of(path: str) -> Clip:
    """Make an unlabelled clip of a file."""
    return Clip(clip_id=path, speaker="", emotion="", video=path, audio=path)


def batch_of(*examples: Inputs) -> Inputs:
    """Stack examples to inputs [B, ...] of the types that models take."""
    return {
        name: np.stack([example[name] for example in examples]).astype(
            "float32" if name.endswith("_mask") else array.dtype
        )
        for name, array in examples[0].items()
    }

"""What a network looks at, which parts of it a clip lacks, and how that is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

    from emorec_tf.inference.model_inputs import Inputs

KINDS = ("audio", "face")
# of networks that are not split into branches
WHOLE = (("audio", ("audio_mask",)), ("face", ("face_mask",)), ("face", ("mesh_mask",)))
NO_ANSWER = "no answer"


@dataclass(frozen=True)
class Basis:
    """What a network looks at: for each of its branches, audio or face, and the masks it needs."""

    branches: tuple[tuple[str, tuple[str, ...]], ...]

    @classmethod
    def of(cls, model: keras.Model, modalities: Sequence[str]) -> Basis:
        """Read it from a network, whose run was trained on these modalities."""
        from emorec_tf.models import branch_outputs

        found = branch_outputs.masks_used(model) or WHOLE
        return cls(tuple((kind, masks) for kind, masks in found if kind in modalities))

    @property
    def kinds(self) -> tuple[str, ...]:
        """Audio, face, or both."""
        return tuple(kind for kind in KINDS if any(kind == own for own, _ in self.branches))

    def missing(self, example: Inputs) -> list[str]:
        """Name the kinds of which an example, or a batch of one, has nothing for any branch."""
        there = {
            kind
            for kind, masks in self.branches
            if all(name in example and example[name].any() for name in masks)
        }
        return [kind for kind in self.kinds if kind not in there]

    def answerable(self, example: Inputs) -> bool:
        """Whether an example has anything that the network looks at."""
        return len(self.missing(example)) < len(self.kinds)


def why_none(kinds: Sequence[str], row: Mapping[str, Any]) -> dict[str, Any]:
    """Say what an answer lacks that has neither an emotion nor a value.

    Args:
        kinds: what the network looks at.
        row: ``audio_present``, ``face_present`` and, where it was checked, ``speech``.

    Returns:
        ``missing``: names of the parts, and ``reason``, in words.
    """
    words = {"audio": _no_audio(row), "face": _no_face(row)}
    return {"missing": [*kinds], "reason": " and ".join(words[kind] for kind in kinds)}


def _no_audio(row: Mapping[str, Any]) -> str:
    if not row["audio_present"]:
        return "there is no audio"
    return (
        "there is no speech in the audio" if row.get("speech") is False else "the audio is silent"
    )


def _no_face(row: Mapping[str, Any]) -> str:
    return "no face mesh was found" if row["face_present"] else "no face was found"


def is_empty(row: Mapping[str, Any]) -> bool:
    """Whether an answer has neither an emotion nor a value."""
    return all(row.get(key) is None for key in ("emotion", "value"))


def said(row: Mapping[str, Any]) -> str:
    """Say that there is no answer, and why."""
    return f"{NO_ANSWER}: {row['reason']}" if row.get("reason") else NO_ANSWER

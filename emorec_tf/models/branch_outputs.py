"""A network with the outputs of its branches beside its own; their means are the embedding."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np

BRANCHES = ("audio_branch", "face_branch")
EXPERT = "expert_"  # members of an ensemble, each a network with its own branches


def with_branches(model: keras.Model) -> keras.Model:
    """Return the same network with the inputs of its fusion as further outputs.

    Returns:
        A model ``-> {"logits": [B, K], "tokens": [Tokens, ...]}``, one of each branch of the
        network, audio first; of an ensemble, those of each member, and ``experts``, the logits of
        each [B, K].
    """
    found: dict[str, list[Any]] = {}
    experts: dict[str, Any] = {}

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if layer.name.startswith(EXPERT):
            member = with_branches(layer)(*args, **kwargs)
            found[layer.name] = member["tokens"]
            experts[layer.name] = member["logits"]
            return member["logits"]
        output = layer(*args, **kwargs)
        if layer.name in BRANCHES:
            found[layer.name] = [output]
        return output

    same = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
    tokens = [one for name in sorted(found) for one in found[name]]  # audio comes before face
    # No operation is added to the graph: its name could clash with a loaded operation.
    outputs = {"logits": same.output, "tokens": tokens}
    if experts:
        outputs["experts"] = [experts[name] for name in sorted(experts)]
    return keras.Model(same.input, outputs)


def masks_used(model: keras.Model) -> list[tuple[str, tuple[str, ...]]]:
    """Name the masks that decide whether a branch has anything to go by.

    Returns:
        "audio" or "face", and names of masks, for each branch of the network or of a member of an
        ensemble: it has tokens where each of these masks has an entry.
    """
    found = []
    for layer in model.layers:
        if layer.name.startswith(EXPERT):
            found += masks_used(layer)
        elif layer.name in BRANCHES:
            _, mask = layer.outputs
            names = inputs_of(layer, [mask])
            masks = tuple(sorted(name for name in names if name.endswith("_mask")))
            found.append((layer.name.removesuffix("_branch"), masks))
    return found


def inputs_of(branch: keras.Model, outputs: Collection[Any]) -> set[str]:
    """Names of the inputs that some outputs of a branch are computed from."""
    inputs, used = {tensor.name: tensor for tensor in branch.inputs}, set()
    for name in inputs:
        try:  # Keras refuses a model that lacks an input
            keras.Model([i for n, i in inputs.items() if n != name], list(outputs))
        except ValueError:
            used.add(name)
    return used


def mean_of(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean over the real tokens, zero where there are none: [B, S, E], [B, S] -> [B, E]."""
    real = np.asarray(mask, np.float64)[..., None]
    return np.asarray((values * real).sum(1) / np.maximum(real.sum(1), 1))


def embedding_of(found: Mapping[str, Any]) -> np.ndarray:
    """Join the means of all branches' tokens, as ``with_branches`` gives them: -> [B, E]."""
    means = [mean_of(np.asarray(v, np.float32), m) for v, m in found["tokens"]]
    return np.concatenate(means, -1)


def widths_of(model: keras.Model) -> tuple[int, ...]:
    """Features of each branch, in the order of the embedding; of ``with_branches``' model."""
    return tuple(int(values.shape[-1]) for values, _ in model.output["tokens"])

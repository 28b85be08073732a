"""Features of models that are used together: audio settings of those that use audio, and so on."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from emorec_tf.config.sections import FeaturesConfig
from emorec_tf.errors import UserError

BOTH = ("clip_seconds",)  # the part of a clip, whose audio and frames are taken


def modalities_of(setting: str) -> tuple[str, ...]:
    """Which modalities a setting of the features is about: audio, face, or both."""
    if setting in BOTH:
        return ("audio", "face")
    return ("face",) if setting.startswith("face_") else ("audio",)


def joined(
    models: Mapping[str, FeaturesConfig], uses: Mapping[str, Collection[str]]
) -> FeaturesConfig:
    """Take each setting from the models that it matters to; they must agree.

    A setting that matters to none of them is that of the first model.

    Args:
        models: features by the name of the model.
        uses: modalities that each of them uses.

    Raises:
        UserError: two of them use a modality with other settings.
    """
    found: dict[str, Any] = {}
    for field in dataclasses.fields(FeaturesConfig):
        about = modalities_of(field.name)
        values = {
            name: getattr(features, field.name)
            for name, features in models.items()
            if any(kind in uses[name] for kind in about)
        }
        for name, value in values.items():
            first, wanted = next(iter(values.items()))
            if value != wanted:
                raise UserError(
                    f"{first} has {field.name}={wanted} and {name} {field.name}={value}, but both "
                    f"use the {' and '.join(about)}; train one of them with the other's setting"
                )
        of_first = getattr(next(iter(models.values())), field.name)
        found[field.name] = next(iter(values.values()), of_first)
    return FeaturesConfig(**found)

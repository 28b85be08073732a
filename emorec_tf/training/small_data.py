"""The recipe for few clips: the packaged configs ``small_data*``, fitted to what a corpus has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from emorec_tf.config import config
from emorec_tf.storage.files import write_atomically

NAME = "small_data"
MEMBERS = {"audio": "small_data_audio", "face": "small_data_face"}  # by what each uses
# settings of training that leave the choice of a model open
NEUTRAL = ("seed", "cache", "precision", "jit", "batch_size")


def applies(given: Mapping[str, Any]) -> bool:
    """Whether a user has left the model, and how it is trained, to the recipe.

    Args:
        given: flat ``{field: value}``, what was set by flags or a config.
    """
    chosen = [n for n in given if config.section_of(n) in ("model", "train") and n not in NEUTRAL]
    return not chosen and given.get("target_scale") != "continuous"


def features(faces: bool) -> dict[str, Any]:
    """Settings of the features; without ``faces`` no frame is looked at."""
    values = config.read_yaml(NAME)
    kept = {n: value for n, value in values.items() if config.section_of(n) == "features"}
    return kept if faces else {"face_frames": 0}


def settings(
    modalities: frozenset[str], speakers: int, batch_size: int, place: Path
) -> dict[str, Any]:
    """Settings of model and training.

    Args:
        modalities: what the clips have, of "audio" and "face".
        speakers: fewest that a training has, those for validation included.
        batch_size: no training has fewer clips.
        place: folder for configs of members that differ from the packaged ones.
    """
    uses = [kind for kind in MEMBERS if kind in modalities] or list(MEMBERS)
    members = {MEMBERS[kind]: _member(MEMBERS[kind], speakers, batch_size) for kind in uses}
    if len(members) == 1:
        return next(iter(members.values()))
    names = [_named(name, values, place) for name, values in members.items()]
    return {"ensemble": ",".join(names), "refit": True, "batch_size": batch_size}


def _member(name: str, speakers: int, batch_size: int) -> dict[str, Any]:
    """Settings of one member, with as many inner folds as there are speakers."""
    values = config.read_yaml(name)
    folds = min(int(values["inner_folds"]), speakers)
    values |= {"inner_folds": folds if folds > 1 else 0, "batch_size": batch_size}
    return {n: v for n, v in values.items() if config.section_of(n) in ("model", "train")}


def _named(name: str, values: Mapping[str, Any], place: Path) -> str:
    """Name a member's config: the packaged one, or one that is written to ``place``."""
    if config.build(values) == config.build(_plain(name)):
        return name
    file = place / f"{name}.yaml"
    place.mkdir(parents=True, exist_ok=True)
    write_atomically(file, yaml.safe_dump(dict(values), sort_keys=False))
    return str(file)


def _plain(name: str) -> dict[str, Any]:
    values = config.read_yaml(name)
    return {n: v for n, v in values.items() if config.section_of(n) in ("model", "train")}

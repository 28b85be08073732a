"""Config: the four sections together, read from YAML and saved with every run.

Field names are unique over all sections, so a YAML file is flat and every field is also a flag.
No TensorFlow here: help must answer at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from emorec_tf.config import config_files, spellings
from emorec_tf.config.fields import check, nearest, option
from emorec_tf.config.sections import DataConfig, FeaturesConfig, ModelConfig, TrainConfig
from emorec_tf.errors import UserError

__all__ = [
    "SECTIONS",
    "Config",
    "DataConfig",
    "FeaturesConfig",
    "ModelConfig",
    "TrainConfig",
    "build",
    "check",
    "comparable",
    "flat",
    "nearest",
    "option",
    "read_mapping",
    "read_yaml",
    "same_settings",
    "section_of",
    "to_yaml",
]


@dataclass(frozen=True)
class Config:
    """All four sections: what a run directory stores as ``config.yaml``."""

    data: DataConfig = DataConfig()
    features: FeaturesConfig = FeaturesConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()


# Former names of settings; old YAML files, runs and flags go on working.
RENAMED = {
    "augment_microphone": "augment_channel",
    "enrol": "adapt",
    "frozen": "freeze_branches",
    "members": "ensemble",
    "train_first": "pretrain",
    "voice_copies": "augmented_copies",
}
# Settings that older runs lack. Fingerprints leave them out while they have their default, so that
# the same settings have the same fingerprint in every version.
LATER = (
    "adapt_audio",
    "adapt_by",
    "adapt_spread",
    "balance",
    "channel",
    "channel_copies",
    "label_map",
)
SECTIONS: dict[str, type] = {f.name: type(f.default) for f in dataclasses.fields(Config)}


def renamed(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Give settings of an older version their present names, and values their present spelling.

    Raises:
        UserError: a setting by both its names; ``before`` says where.
    """
    for old, new in RENAMED.items():
        if old in values and new in values:
            raise UserError(f"{before}{old} is the former name of {new}; give one of them")
    named = {RENAMED.get(name, name): value for name, value in values.items()}
    return {name: spellings.present(name, value) for name, value in named.items()}


def comparable(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give flat settings of any version, as a file stores them, the spelling they are compared in.

    So ``modality: "01"`` equals audio_visual, and ``lda(pca=9,trials=2)`` differs in spaces alone.
    """
    return {name: spellings.compared(name, value) for name, value in renamed(values).items()}


def same_settings(one: Config, other: Config) -> bool:
    """Whether two configs mean the same, however their choices are spelled."""
    return comparable(flat(one)) == comparable(flat(other))


def section_of(name: str) -> str | None:
    """Name of the section that holds field ``name``, or None."""
    for section, cls in SECTIONS.items():
        if name in {f.name for f in dataclasses.fields(cls)}:
            return section
    return None


def build(values: Mapping[str, Any], base: Config | None = None) -> Config:
    """Make a Config from flat ``{field: value}``; what is missing comes from ``base``.

    Raises:
        UserError: an unknown field (with the nearest names) or an impossible value.
    """
    base = base or Config()
    parts: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for name, value in values.items():
        section = section_of(name)
        if section is None:
            raise UserError(f"unknown setting {name!r}; {nearest(name, flat(base))}")
        parts[section][name] = value
    return Config(
        **{s: dataclasses.replace(getattr(base, s), **changes) for s, changes in parts.items()}
    )


def flat(config: Config) -> dict[str, Any]:
    """All fields of all sections as one dict, in order of declaration."""
    return {k: v for part in dataclasses.asdict(config).values() for k, v in part.items()}


def read_mapping(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of settings as it is, with its ``search:`` section if it has one.

    Args:
        path: the file, or the name of a config that comes with the package.

    Raises:
        UserError: no such file, not YAML, or not a mapping.
    """
    path = config_files.file_of(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read config {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = " ".join(str(error).split())
        raise UserError(f"config {path} is not valid YAML: {line}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"config {path} must hold 'name: value' lines, one setting each")
    values = renamed(values, f"config {path}: ")
    if isinstance(values.get("search"), dict):
        values["search"] = renamed(values["search"], f"config {path}: search: ")
    return values


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a flat YAML file of settings; ``search:`` in it is left to ``tune``.

    Args:
        path: the file, or the name of a config that comes with the package.

    Raises:
        UserError: no such file, not YAML, not a mapping, or a misspelt key.
    """
    path = config_files.file_of(path)
    values = read_mapping(path)
    values.pop("search", None)
    for name in values:
        if section_of(str(name)) is None:
            raise UserError(
                f"config {path}: unknown setting {name!r}; {nearest(str(name), flat(Config()))}"
            )
    for key in ("pretrain", "ensemble"):  # these name files beside this one
        if isinstance(values.get(key), str):
            names = [n.strip() for n in values[key].split(",") if n.strip()]
            values[key] = ",".join(str(path.parent / name) for name in names)
    return values


def to_yaml(config: Config) -> str:
    """Write the resolved config, one comment line per section."""
    lines = []
    for section in SECTIONS:
        lines.append(f"# {section}")
        values = dataclasses.asdict(getattr(config, section))
        lines.append(yaml.safe_dump(values, sort_keys=False).strip())
    return "\n".join(lines) + "\n"

"""Settings from Python: a Config, a mapping or a YAML file, checked as flags are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from emorec_tf.config.class_names import listing
from emorec_tf.config.config import SECTIONS, Config, flat, read_yaml, renamed, section_of
from emorec_tf.config.fields import nearest
from emorec_tf.config.flags import checked
from emorec_tf.errors import UserError

Given: TypeAlias = Config | Mapping[str, Any] | str | Path | None


def settings_of(given: Given, more: Mapping[str, Any]) -> dict[str, Any]:
    """Make flat ``{field: value}`` of what a caller set; other fields keep their defaults.

    Args:
        given: a Config, where only values that differ from the defaults count as set; or
            ``{field: value}``; or the path of a YAML file; or nothing.
        more: ``{field: value}``, goes before ``given``. None says that a field is not set; lists
            become comma lists, paths text.

    Raises:
        UserError: an unknown field, with the nearest names, or a value that it cannot have; no such
            file.
    """
    file = None
    if isinstance(given, Config):
        defaults = flat(Config())
        values = {k: v for k, v in flat(given).items() if v != defaults[k]}
    elif isinstance(given, Mapping):
        values = renamed(given)
    elif given is None:
        values = {}
    else:
        file, values = given, read_yaml(given)
    first = _typed(values, file)
    return first | _typed(renamed({k: v for k, v in more.items() if v is not None}), None)


def refuse_others(function: str, settings: Mapping[str, Any], known: set[str]) -> None:
    """Refuse single settings that a function would ignore.

    Raises:
        UserError: one is not in ``known``.
    """
    for name in sorted(settings.keys() - known):
        raise UserError(f"{function} does not use {name}; {nearest(name, known)}")


def _typed(values: Mapping[str, Any], file: str | Path | None) -> dict[str, Any]:
    for name in values:
        if section_of(str(name)) is None:
            raise UserError(f"unknown setting {name!r}; {nearest(str(name), flat(Config()))}")
    plain = {name: _plain(value, name) for name, value in values.items()}
    return checked(plain, file, *SECTIONS.values())


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, (list, tuple)):
        parts = [str(part) for part in value]
        return listing(parts) if name == "classes" else ",".join(parts)
    return str(value) if isinstance(value, Path) else value

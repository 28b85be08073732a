"""Old and present spellings of the values of settings, so that either means the same.

A config holds the present one. Fingerprints are made of the first one, so that a rename changes
none. What is compared is spelled alike: a choice without regard to spaces and order of arguments.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from emorec_tf.config import choices
from emorec_tf.errors import UserError

# RAVDESS's file codes, which older configs have
MODALITY_CODES = {"01": "audio_visual", "02": "video_only", "03": "audio_only"}


def present(name: str, value: Any) -> Any:
    """Spell the value of a setting as it is now: ``lda(offsets=0.6)`` with ``speaker_shrinkage``.

    What cannot be understood stays as it is, and is refused where it is used.
    """
    if name == "modality" and isinstance(value, str):
        return MODALITY_CODES.get(value, value)
    return _with_names(value, _renamed(name, value))


def respell(section: object) -> None:
    """Give the values of a section of a config, a frozen dataclass, their present spelling."""
    for name, value in list(vars(section).items()):
        object.__setattr__(section, name, present(name, value))


def first(name: str, value: Any) -> Any:
    """Spell the value of a setting as it was at first."""
    if name == "modality" and isinstance(value, str):
        return {new: old for old, new in MODALITY_CODES.items()}.get(value, value)
    return _with_names(value, {new: old for old, new in _renamed(name, value).items()})


def compared(name: str, value: Any) -> Any:
    """Spell the value of a setting as it is compared with that of an earlier run."""
    value = present(name, value)
    if name not in choices.NETWORK or not _is_call(value):
        return value
    try:
        called, arguments = choices.parse(value)
    except UserError:
        return value
    return call(called, dict(sorted(arguments.items())))


def call(name: str, arguments: Mapping[str, Any]) -> str:
    """Write a choice as configs have it: ``lstm(units=64)``."""
    inside = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    return f"{name}({inside})" if inside else name


def _is_call(value: Any) -> bool:
    return isinstance(value, str) and "(" in value


def _renamed(kind: str, choice: Any) -> Mapping[str, str]:
    """Arguments of a choice that had other names before: {old: new}."""
    if kind not in choices.NETWORK or not _is_call(choice):
        return {}
    entry = choices.entries(kind).get(choice.partition("(")[0].strip())
    return entry.facts.renamed if entry else {}


def _with_names(choice: Any, names: Mapping[str, str]) -> Any:
    """Give arguments of a choice other names; the rest of its text stays."""
    if not names:
        return choice
    begin = len(choice) - len(choice.lstrip())  # Python allows no spaces there
    try:
        node = ast.parse(choice[begin:], mode="eval").body
    except (SyntaxError, ValueError):
        return choice
    lines = [line.encode() for line in choice[begin:].split("\n")]
    for word in reversed(node.keywords if isinstance(node, ast.Call) else []):
        if word.arg is not None and word.arg in names:
            line, start = lines[word.lineno - 1], word.col_offset
            end = start + len(word.arg.encode())
            lines[word.lineno - 1] = line[:start] + names[word.arg].encode() + line[end:]
    return choice[:begin] + b"\n".join(lines).decode()

"""How a setting is declared, checked and, where misspelt, guessed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import field
from typing import Any

from emorec_tf.errors import UserError


def option(default: Any, help_text: str, **metadata: Any) -> Any:
    """Make a dataclass field that documents itself in ``--help``."""
    return field(default=default, metadata={"help": help_text, **metadata})


def check(condition: bool, name: str, value: Any, allowed: str) -> None:
    """Raise UserError naming the setting unless ``condition`` holds."""
    if not condition:
        raise UserError(f"{name} is {value!r}; it must be {allowed}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Say what the user may have meant: ``did you mean 'epochs'?`` or the list of what there is."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(repr(c) for c in close)}?"
    return f"known are {', '.join(known)}"

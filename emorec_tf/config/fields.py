"""How a setting is declared and checked, and what a misspelt name may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import field
from typing import Any

from emorec_tf.errors import UserError

# Help of the flags that several commands have.
CHANNEL = "which clips, of a corpus that has several channels (ravdess): speech, song, or all"
CLASSES = (
    "8, 7 (calm merged into neutral), a comma list of classes, or, of several corpora, shared "
    "(those that all have) or union (those that any has) (default: all in the corpus; of several "
    "corpora, shared)"
)
LABEL_MAP = (
    "labels that become others, and labels that are left out: calm=neutral,boredom= (default: "
    "labels stay)"
)
COLUMNS = (
    "names that the columns of a table of own clips have there: emotion=label,speaker=subject "
    "(default: path, emotion, speaker, session, activation, valence, start, end)"
)
SPEAKERS = (
    "named: people, by the names of files and folders or a column; clips: each clip counts as its "
    "own speaker, where people are not known: all scores are then LEAKY"
)
ROBUSTNESS = (
    "score the test clips corrupted, too (no face, noise, telephone, ...); without it, there is no "
    "robustness.csv"
)
FACE_MODEL = (
    "model file of the face detector (default: the detector's own; YuNet's is downloaded once)"
)
MESH_MODEL = (
    "model file of the face mesh, for MediaPipe's FaceLandmarker (default: MediaPipe's own)"
)


def option(default: Any, help_text: str, **metadata: Any) -> Any:
    """Make a dataclass field that documents itself in ``--help``.

    Args:
        default: value where the user gives none.
        help_text: what it does; where the default is None, also what that means.
        metadata: ``expert=True`` shows the flag at the foot of the help; ``metavar="FOLDER"`` names
            its value there; ``positional=True`` takes words without a flag, ``several=True``
            several words after the flag; ``flag="from"`` is its name on the command line.
    """
    return field(default=default, metadata={"help": help_text, **metadata})


def check(condition: bool, name: str, value: Any, allowed: str) -> None:
    """Raise UserError naming the setting unless ``condition`` holds."""
    if not condition:
        raise UserError(f"{name} is {value!r}; it must be {allowed}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Suggest what the user may have meant: ``did you mean 'epochs'?``, or list all names."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        best = _likeness(name, close[0])
        close = [c for c in close if _likeness(name, c) > best - 0.1]
        return f"did you mean {' or '.join(repr(c) for c in close)}?"
    return f"known are {', '.join(known)}"


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, other, one).ratio()

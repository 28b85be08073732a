"""A colour for each class: emotions have their own, other classes take those that are left."""

from __future__ import annotations

from collections.abc import Sequence

# Paul Tol's "muted" scheme, distinct for colour-blind people too; each emotion has its own.
COLOURS = {
    "neutral": "#88ccee",
    "calm": "#44aa99",
    "happy": "#ddcc77",
    "sad": "#332288",
    "angry": "#882255",
    "fearful": "#aa4499",
    "disgust": "#117733",
    "surprised": "#cc6677",
    "boredom": "#999933",
    "low": "#332288",
    "medium": "#88ccee",
    "high": "#882255",
}
UNKNOWN_COLOUR = "#555555"
# colours on which text is white
DARK = frozenset((*(COLOURS[n] for n in ("sad", "angry", "disgust", "fearful")), UNKNOWN_COLOUR))


def of(classes: Sequence[str]) -> dict[str, str]:
    """Give each class a colour; more than nine share ``UNKNOWN_COLOUR``."""
    found = {name: COLOURS[name] for name in classes if name in COLOURS}
    left = [colour for colour in dict.fromkeys(COLOURS.values()) if colour not in found.values()]
    for name in classes:
        if name not in found:
            found[name] = left.pop(0) if left else UNKNOWN_COLOUR
    return found

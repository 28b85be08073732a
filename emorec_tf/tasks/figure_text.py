"""Text in figures as it is written: labels of any script, and no mathematics in them."""

from __future__ import annotations

import contextlib
import functools
import logging
import warnings
from collections.abc import Iterator

from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager, get_font
from matplotlib.text import Text

# Parts of the names of fonts that have many scripts, as systems install them.
MANY_SCRIPTS = (
    "Noto Sans", "Noto Serif CJK", "Source Han", "WenQuanYi", "IPA", "Takao", "VL Gothic",
    "Hiragino", "PingFang", "Yu Gothic", "Meiryo", "MS Gothic", "Microsoft YaHei", "SimHei",
    "Malgun", "Nanum", "Apple SD Gothic", "Arial Unicode", "Nirmala", "Segoe UI", "Unifont",
)  # fmt: skip
SHOWN = 12  # characters in a note
FIRST = "DejaVu Sans"  # comes with Matplotlib
_LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def legible(figure: Figure) -> Iterator[None]:
    """Prepare a figure's texts for drawing; what no installed font has becomes a box, with a note.

    Texts that Matplotlib's own font has are drawn as before.
    """
    for axes in figure.axes:  # makes the labels of ticks
        axes.get_xticklabels(), axes.get_yticklabels()
    missing: set[str] = set()
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        lacking = _lacking(text.get_text(), FIRST)
        if lacking:
            text.set_fontfamily([FIRST, *_others()])
            missing |= {c for c in lacking if all(_lacking(c, name) for name in _others())}
    if missing:
        _note("".join(sorted(missing)[:SHOWN]))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


@functools.cache  # once, not at every epoch
def _note(missing: str) -> None:
    _LOG.warning(
        "no installed font has %s: figures show boxes; install one, such as Noto Sans CJK", missing
    )


@functools.cache
def _others() -> tuple[str, ...]:
    names = {font.name for font in fontManager.ttflist}
    return tuple(sorted(n for n in names if any(part in n for part in MANY_SCRIPTS)))


def _lacking(text: str, family: str) -> set[str]:
    known = _characters(family)
    return {c for c in text if ord(c) not in known and not c.isspace()}


@functools.cache
def _characters(family: str) -> frozenset[int]:
    return frozenset(get_font(fontManager.findfont(family)).get_charmap())

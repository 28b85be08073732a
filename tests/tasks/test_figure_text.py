"""Figures with labels of any script, or with what Matplotlib takes for mathematics."""

from __future__ import annotations

import logging

import pytest
from matplotlib import font_manager

from emorec_tf.tasks import figure_text, plots

NAMES = ["\u56f0\u60d1", "a$b$c", "$\\frac{", "[x], y", "<b>|</b>", "\u0633\u0639\u064a\u062f"]
COUNTS = [[5 if row == column else 1 for column in range(6)] for row in range(6)]


def test_any_label_is_drawn_without_a_warning(caplog, monkeypatch):
    figure_text._note.cache_clear()
    monkeypatch.setattr(figure_text, "_others", lambda: ())  # as where no other font is installed
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            image = plots.png(plots.confusion_figure(COUNTS, NAMES, "run \u56f0: UAR $1"))
        svg = plots.svg(plots.confusion_figure(COUNTS, NAMES, "run"), "confusion")
    assert image.startswith(b"\x89PNG")
    assert (
        caplog.messages.count(
            "no installed font has \u56f0\u60d1: figures show boxes; install one, such as "
            "Noto Sans CJK"
        )
        == 1
    )
    for text in ("\u56f0\u60d1", "a$b$c", "$\\frac{", "&lt;b&gt;|&lt;/b&gt;"):
        assert text in svg


def test_known_names_are_drawn_as_before(caplog):
    drawn = plots.confusion_figure([[3, 1], [0, 4]], ["neutral", "happy"], "run")
    before = drawn.axes[0].get_xticklabels()[0].get_fontfamily()
    with caplog.at_level(logging.WARNING):
        plots.png(drawn)
    assert drawn.axes[0].get_xticklabels()[0].get_fontfamily() == before
    assert not caplog.messages


@pytest.mark.parametrize("family", ["STIXGeneral"])
def test_another_font_is_taken_where_it_has_the_characters(caplog, monkeypatch, family):
    character = next(
        chr(code)
        for code in sorted(font_manager.get_font(font_manager.findfont(family)).get_charmap())
        if figure_text._lacking(chr(code), figure_text.FIRST) and chr(code).isprintable()
    )
    monkeypatch.setattr(figure_text, "_others", lambda: (family,))
    drawn = plots.confusion_figure([[3, 1], [0, 4]], ["neutral", character], "run")
    with caplog.at_level(logging.WARNING):
        plots.png(drawn)
    assert drawn.axes[0].get_yticklabels()[1].get_fontfamily() == [figure_text.FIRST, family]
    assert not caplog.messages

"""Text of users on the screen: shown as it is spelt; tables of any width cut no name."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import pytest
from rich.console import Console

from emorec_tf.storage import screen

NASTY = "a [bold]b[/x] \x1b[31mred\n\r\u202edrow \udcff.wav"
SHOWN = r"a [bold]b[/x] \x1b[31mred\n\r\u202edrow \udcff.wav"


def printed(columns: list[str], rows: list[list[str]], width: int, title: str = "") -> str:
    text = io.StringIO()
    screen.show(columns, rows, title, Console(file=text, width=width))
    return text.getvalue()


def test_control_characters_are_spelt_and_letters_stay() -> None:
    assert screen.printable(NASTY) == SHOWN
    for kept in (
        "Zo\u00eb",
        "\u4f60\u597d",
        "\u0646\u0645\u06cc\u200c\u0634",
        "\U0001f600",
        "[/]",
        "a\\b",
    ):
        assert screen.printable(kept) == kept
    for c in map(chr, [*range(32), *range(127, 160), 0x2028, 0x2029, 0x2066]):
        assert screen.printable(c).isprintable(), hex(ord(c))


def test_say_prints_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    screen.say(f"error: {NASTY}", error=True)
    assert capsys.readouterr().err == f"error: {SHOWN}\n"


def test_log_records_keep_their_own_line_breaks_only() -> None:
    record = logging.LogRecord("n", 20, "p", 1, "\n%s: %d, %.1f", (Path(NASTY), 3, 0.25), None)
    assert screen.message_of(record) == f"\n{SHOWN}: 3, 0.2"
    record = logging.LogRecord("n", 20, "p", 1, "%s", ({"a\n": 1},), None)
    assert screen.message_of(record) == r"{'a\\n': 1}".replace("\\\\", "\\")


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_cells_and_titles_are_no_markup(width: int) -> None:
    text = printed(["clip", "[b]"], [[NASTY.replace(" ", "_"), "[/]"]], width, NASTY)
    assert SHOWN.replace(" ", "_") in text
    assert "[/]" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [12, 30, 60, 80, 120, 200])
def test_words_are_whole_and_lines_fit(width: int) -> None:
    rows = [["first", "one two three four five six seven eight", "x" * 9], ["b", "", "\u4f60" * 4]]
    text = printed(["name", "words", "ends"], rows, width, "a title of several words")
    assert max(screen_width(line) for line in text.splitlines()) <= max(width, 14)
    for word in ("first", "three", "seven", "x" * 9, "\u4f60" * 4, "several"):
        assert word in text
    assert ("\u2502" in text) == (width >= 30)


def screen_width(line: str) -> int:
    from rich.cells import cell_len

    return cell_len(line)


def test_fixed_spaces_are_not_broken() -> None:
    cell = f"fearful{screen.FIXED}0.30, sad{screen.FIXED}0.15"
    assert "fearful 0.30," in printed(["next"], [[cell]], 20)


def test_width_is_that_of_columns_else_80(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert screen.width_of(io.StringIO()) == 80
    monkeypatch.setenv("COLUMNS", "123")
    assert screen.width_of(io.StringIO()) == 123
    for none in ("", "0", "wide", "-3"):
        monkeypatch.setenv("COLUMNS", none)
        assert screen.width_of(io.StringIO()) == 80

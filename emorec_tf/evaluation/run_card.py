"""What is to be known of a run before its answers are trusted, in Markdown; and that for a page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from html import escape
from itertools import groupby
from typing import Any

from emorec_tf.evaluation.model_card import LIMITS, between, percent
from emorec_tf.training.run_dir import Run

CARD = "MODEL_CARD.md"
UNTESTED = "It was not evaluated: nobody knows how often it is right."


def card_of(run: Run) -> str:
    """Give the card that ``report`` wrote into the run; where it did not, what the run tells."""
    try:
        return (run.folder / CARD).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return short_card(run)


def short_card(run: Run) -> str:
    """Tell what it names, of what it learned, how it was tested, and the limits of use."""
    rating = run.task.rating
    does = f"Estimates {rating} from 1 to 5" if rating else f"Names one of {', '.join(run.classes)}"
    train, test = people(len(run.split.train)), len(run.split.test)
    lines = [
        f"# {run.folder.resolve().name}",
        f"{does} in a clip. Trained on {run.source.get('dataset', '?')}, {train}.",
        f"- Label: {run.source.get('label_meaning', 'not told')}\n"
        f"- Licence of the data, which the weights inherit: {run.source.get('licence', '?')}",
        tested(run) + (f" Kept for tests: {people(test)}." if test else ""),
        "## Limits of use\n\n" + "\n".join(f"- {line}" for line in LIMITS),
    ]
    return "\n\n".join(lines) + "\n"


def people(count: int) -> str:
    """Write how many speakers."""
    return f"{count} speaker" + ("" if count == 1 else "s")


def tested(run: Run) -> str:
    """Tell what ``evaluate`` found."""
    try:
        found: dict[str, Any] = json.loads((run.folder / "metrics.json").read_text("utf-8"))
        if run.task.rating:
            return f"Tested on {found['n']} clips: CCC {found['ccc']:.3f}."
        return (
            f"Tested on {found['n']} clips: UAR {percent(found['uar'])} "
            f"({between(found['uar_ci95'])}), chance {percent(found['chance_uar'])}."
        )
    except (OSError, ValueError, KeyError, TypeError):
        return UNTESTED


def as_html(markdown: str, top: int = 3) -> str:
    """Lay a card out as HTML: headings (from ``top`` on), lists, tables, code, paragraphs.

    Everything in it is escaped, and no link is made.
    """
    return "\n".join(blocks(markdown.splitlines(), top))


def blocks(lines: list[str], top: int) -> Iterator[str]:
    """Give a card's parts one by one."""
    fenced = False
    code: list[str] = []
    plain: list[str] = []
    for line in [*lines, ""]:
        if line.startswith("```"):
            if fenced:
                yield "<pre>" + escape("\n".join(code)) + "</pre>"
                code = []
            fenced = not fenced
        elif fenced:
            code.append(line)
        elif line.strip():
            plain.append(line)
            continue
        if plain:
            for kind, group in groupby(plain, kind_of):
                yield LAYOUTS[kind](list(group), top)
            plain = []
    if code:
        yield "<pre>" + escape("\n".join(code)) + "</pre>"


def kind_of(line: str) -> str:
    """Tell heading, list, table and paragraph apart."""
    return next((kind for kind, mark in MARKS.items() if re.match(mark, line)), "paragraph")


def heading(lines: list[str], top: int) -> str:
    """Lay headings out."""
    parts = []
    for line in lines:
        marks, text = line.split(" ", 1)
        level = min(6, top + len(marks) - 1)
        parts.append(f"<h{level}>{inline(text)}</h{level}>")
    return "".join(parts)


def bullets(lines: list[str], _: int) -> str:
    """Lay a list out."""
    return "<ul>" + "".join(f"<li>{inline(line[2:])}</li>" for line in lines) + "</ul>"


def table(lines: list[str], _: int) -> str:
    """Lay a table out; the second line only parts the head from the rest."""
    rows = [re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in lines]
    rows = [row for row in rows if not all(set(cell.strip()) <= set("-:") for cell in row)]
    told = ""
    for number, row in enumerate(rows):
        tag = "td" if number else "th"
        cells = "".join(f"<{tag}>{inline(c.strip().replace(chr(92), ''))}</{tag}>" for c in row)
        told += f"<tr>{cells}</tr>"
    return f'<div class="scroll"><table>{told}</table></div>'


def paragraph(lines: list[str], _: int) -> str:
    """Lay lines out that belong together."""
    return f"<p>{inline(' '.join(lines))}</p>"


def inline(text: str) -> str:
    """Escape a text; bold and code stay."""
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escape(text))
    return re.sub(r"`(.+?)`", r"<code>\1</code>", text)


MARKS = {"heading": r"#{1,6} ", "bullets": r"- ", "table": r"\|"}
LAYOUTS: dict[str, Callable[[list[str], int], str]] = {
    "heading": heading,
    "bullets": bullets,
    "table": table,
    "paragraph": paragraph,
}

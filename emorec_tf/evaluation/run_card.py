"""Model card of a run, as Markdown and as HTML: training data, test result, limits of use."""

from __future__ import annotations

import json
from typing import Any

from emorec_tf.datasets.corpora import parts_of
from emorec_tf.evaluation import familiarity_card
from emorec_tf.evaluation.model_card import LEAKY_WARNING, LIMITS, between, percent
from emorec_tf.training.run_dir import Run

CARD = "MODEL_CARD.md"
UNTESTED = "It was not evaluated: its accuracy is unknown."


def card_of(run: Run) -> str:
    """Return the card that ``report`` or ``ship`` wrote into the run, else a short one."""
    try:
        return (run.folder / CARD).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return short_card(run)


def short_card(run: Run) -> str:
    """Write classes, training data, test result and limits of use."""
    rating = run.task.rating
    does = (
        f"Estimates {rating} from 1 to 5" if rating else f"Predicts one of {', '.join(run.classes)}"
    )
    train, test = people(len(run.split.train)), len(run.split.test)
    if parts_of(str(run.source.get("dataset"))):
        train, test = "people not identified", 0
    if run.split.leaky:  # its split names clips
        train, test = f"{len(run.split.train)} clips", 0
    lines = [
        f"# {run.folder.resolve().name}",
        *([f"**{LEAKY_WARNING}**"] if run.split.leaky else []),
        f"{does} in a clip. Trained on {run.source.get('dataset', '?')}, {train}.",
        f"- Label: {run.source.get('label_meaning', 'unknown')}\n"
        f"- Licence of the data, which the weights inherit: {run.source.get('licence', '?')}",
        tested(run) + (f" Kept for tests: {people(test)}." if test else ""),
        *familiarity_card.section(run),
        "## Limits of use\n\n" + "\n".join(f"- {line}" for line in LIMITS),
    ]
    return "\n\n".join(lines) + "\n"


def people(count: int) -> str:
    """Write a number of speakers: 1 speaker, 2 speakers."""
    return f"{count} speaker" + ("" if count == 1 else "s")


def tested(run: Run) -> str:
    """Write the result of ``evaluate``."""
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
    """Render a card as HTML. Markup in it is escaped, and no links or images are made.

    Args:
        markdown: a card, or any Markdown with tables.
        top: level of its first headings on the page.
    """
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.disable(["link", "image", "autolink", "reference"])
    tokens = parser.parse(markdown)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1:]) + top - 1)}"
    html = str(parser.renderer.render(tokens, parser.options, {}))
    return html.replace("<table>", '<div class="scroll"><table>').replace(
        "</table>", "</table></div>"
    )

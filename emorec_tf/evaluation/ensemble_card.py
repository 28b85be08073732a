"""Model card of a packaged ensemble: its members, each with its own card; no table is repeated."""

from __future__ import annotations

from collections.abc import Mapping

from emorec_tf.evaluation import familiarity_card
from emorec_tf.evaluation.matrix_section import with_section
from emorec_tf.evaluation.model_card import LIMITS
from emorec_tf.evaluation.run_card import CARD
from emorec_tf.training.run_dir import Run

FAMILIARITY = "## Familiarity"


def card(run: Run, members: Mapping[str, Run], fitted_to: str, results: str = "") -> str:
    """Write the card.

    Args:
        run: of the ensemble, calibrated.
        members: packaged models that it refers to, by name.
        fitted_to: what its temperature was fitted to.
        results: card of an evaluated run of such an ensemble; "": it was not evaluated as a whole.

    Returns:
        Markdown, without the first line, the model's name.
    """
    text = results or "\n\n".join([_head(run), "## Limits of use\n\n" + _limits()]) + "\n"
    text = _without(text, FAMILIARITY)
    sections = [_members(run, members, fitted_to), *familiarity_card.section(run)]
    for section in sections:
        text = with_section(text, section)
    return text


def _head(run: Run) -> str:
    return (
        f"Predicts one of {', '.join(run.classes)} in a clip. Trained on {run.source['dataset']}. "
        f"It was not evaluated as a whole, unless a section below says so: the cards of its "
        f"members have their results.\n\n"
        f"- Label: {run.source['label_meaning']}\n"
        f"- Licence of the data, which the weights inherit: {run.source['licence']}"
    )


def _members(run: Run, members: Mapping[str, Run], fitted_to: str) -> str:
    """Section that explains the product and names its members."""
    rows = [
        f"| [{name}](../{name}/{CARD}) | {' and '.join(member.modalities)} | "
        f"{member.source['dataset']} | {member.temperature or 1.0:.3f} |"
        for name, member in members.items()
    ]
    return (
        "## Members\n\n"
        "This model has no weights of its own. It multiplies the calibrated probabilities of the "
        "packaged models below, whose folders must lie beside this one; where a clip lacks what a "
        "member uses, the others answer alone. Scores of each member, of corpora, subgroups and "
        "robustness, are in its own card.\n\n"
        "| member | uses | trained on | temperature |\n|---|---|---|---|\n"
        + "\n".join(rows)
        + f"\n\nTemperature of the product: {run.temperature or 1.0:.3f}, fitted to {fitted_to}."
    )


def _limits() -> str:
    return "\n".join(f"- {line}" for line in LIMITS)


def _without(text: str, heading: str) -> str:
    """Leave a section out."""
    before, found, after = text.partition(f"{heading}\n")
    if not found:
        return text
    _, _, rest = after.partition("\n## ")
    return f"{before.rstrip()}\n\n## {rest}" if rest else f"{before.rstrip()}\n"

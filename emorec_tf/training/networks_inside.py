"""Pretrained networks inside a run, and the corpora that it and they were trained on."""

from __future__ import annotations

from emorec_tf.config import choices
from emorec_tf.training import run_dir
from emorec_tf.training.run_dir import Run


def pretrained(run: Run) -> dict[str, list[str]]:
    """Pretrained networks inside a run, its stages and the runs it started from; their corpora.

    Returns:
        ``networks``, each with its licence, and ``corpora``; {} where there is none.
    """
    networks: dict[str, None] = {}
    learned: dict[str, None] = {}
    for kind, choice in _branches(run):
        name, given = choices.check(kind, choice)
        entry = choices.entry(kind, name)
        text = entry.facts.inside({**entry.arguments, **given})
        if text:
            networks[text] = None
            learned |= dict.fromkeys(entry.facts.pretrained_on)
    for source in run.started_from:
        networks |= dict.fromkeys(source["pretrained"].get("networks", ()))
        learned |= dict.fromkeys(source["trained_on"])
    return {"networks": [*networks], "corpora": [*learned]} if networks or learned else {}


def _branches(run: Run) -> list[tuple[str, str]]:
    """Kind and choice of each branch of a run and of the stages it was made of."""
    found = []
    if not run.config.model.ensemble:
        found = [(kind, getattr(run.config.model, kind)) for kind in run.modalities]
    for facts in run.steps.values():
        stage = run.folder / str(facts["folder"])
        if (stage / "run.json").exists():  # kept beside the run, unless somebody removed it
            found += _branches(run_dir.load(stage))
    return found

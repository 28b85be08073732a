"""LICENSE.txt of a packaged model: its corpora, the pretrained networks inside, what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emorec_tf.config import choices
from emorec_tf.datasets import corpora, terms
from emorec_tf.training import run_dir
from emorec_tf.training.run_dir import Run


def pretrained(run: Run) -> dict[str, list[str]]:
    """Pretrained networks inside a run and its stages, and what corpora those were trained on.

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
    return {"networks": [*networks], "corpora": [*learned]} if networks else {}


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


def text(name: str, source: Mapping[str, Any], members: Sequence[str] = ()) -> str:
    """Write LICENSE.txt.

    Args:
        name: of the model.
        source: ``dataset`` and, where there are pretrained networks, ``pretrained``.
        members: packaged models whose weights it uses; (): it has weights of its own.
    """
    inside = source.get("pretrained", {})
    datasets = dict.fromkeys([*str(source["dataset"]).split("+"), *inside.get("corpora", ())])
    holder = f"The weights in this folder ({name})"
    if members:
        of_them = " and ".join(members)
        holder = f"The weights that this folder ({name}) refers to, those of {of_them},"
    lines = [
        f"{holder} were trained on the corpora below and keep their licences, which differ from "
        f"the licence of emorec_tf's code.",
        terms.strictest(datasets),
    ]
    if inside.get("networks"):
        lines.append("Pretrained networks inside:\n" + "\n".join(inside["networks"]))
    for key in datasets:
        corpus = corpora.DATASETS.get(key, corpora.DATASETS["folder"])
        lines.append(f"{key}: {corpus.licence}\n{corpus.citation}\n{corpus.homepage}")
    return "\n\n".join(lines) + "\n"

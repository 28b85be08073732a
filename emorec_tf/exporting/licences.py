"""LICENSE.txt of a packaged model: its corpora, the pretrained networks inside, what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emorec_tf.datasets import corpora, terms


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

"""What licences of corpora let others do with weights that were trained on them."""

from __future__ import annotations

from collections.abc import Iterable

from emorec_tf.datasets.corpora import DATASETS

# Sentences by the fact ``use`` of a corpus, the least strict first.
USES = {
    "free": "The licences of the corpora set no conditions on these weights.",
    "own": "Use these weights as you have agreed with the people in your recordings.",
    "attribution": "Name {corpora} wherever you use or share these weights.",
    "share_alike": "Name {corpora}, and share these weights under the same licence only.",
    # non-commercial, no derivatives, by agreement, or no licence that allows more
    "research": "Use these weights for non-commercial research only: {corpora} {allows} no more.",
}


def strictest(datasets: Iterable[str]) -> str:
    """One sentence: what the strictest of the corpora's licences means for the weights.

    Args:
        datasets: names of corpora; an unknown one counts as a folder of one's own.
    """
    uses = {name: DATASETS.get(name, DATASETS["folder"]).use for name in datasets}
    worst = max(uses.values(), key=list(USES).index)
    corpora = [name for name, use in uses.items() if use == worst]
    allows = "allow" if len(corpora) > 1 else "allows"
    return USES[worst].format(corpora=" and ".join(corpora), allows=allows)

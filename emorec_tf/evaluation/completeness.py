"""How folds are named on the screen, and how much of its protocol a cross-validation covers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emorec_tf.splits import protocols

NOT_COMPARABLE = "not comparable with results of the whole protocol"


def fold_label(names: Sequence[str], name: str) -> str:
    """Count a fold as ``--folds`` does; its stored name is added: "fold 0 (named 1)"."""
    position = list(names).index(name)
    return f"fold {position}" if name == str(position) else f"fold {position} (named {name})"


def fold_names(facts: Mapping[str, Any]) -> list[str]:
    """Stored names of the folds of crossval.json, in their order."""
    return [str(fold["name"]) for fold in facts["folds"]]


def whole(facts: Mapping[str, Any]) -> tuple[int, int | None]:
    """Folds and clips of the protocol on its complete corpus.

    The number of clips is that of crossval.json where the data hold all clips of the protocol, so
    that classes that were left out on purpose are not counted; None: an older file has no number.
    """
    folds, clips = len(facts["folds"]), facts.get("clips_to_score")
    name = str(facts["protocol"])
    if name not in protocols.names():
        return folds, clips
    manifest = protocols.manifest(name)
    lacks = len(manifest["folds"]) > folds or any("clips of" in n for n in facts.get("notes", ()))
    return len(manifest["folds"]), manifest["clips"] if lacks else clips


def scope(facts: Mapping[str, Any], folds_done: int, clips_done: int) -> str:
    """Say what part was scored, such as "3 of 6 folds, 128 of 1,440 clips"; "" where it is all.

    Args:
        facts: of crossval.json.
        folds_done: folds that are scored, by whichever seed.
        clips_done: different clips that are scored.
    """
    folds, clips = whole(facts)
    parts = [f"{folds_done} of {folds} fold{'' if folds == 1 else 's'}"] * (folds_done < folds)
    if clips is not None and clips_done < clips:
        parts.append(f"{clips_done:,} of {clips:,} clips")
    return ", ".join(parts)

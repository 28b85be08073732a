"""Which emotions are told apart: choosing and merging classes, joining corpora."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from emorec_tf.clip import EMOTIONS, Clip, UserError
from emorec_tf.config import nearest

_LOG = logging.getLogger(__name__)


def merge_classes(clips: Sequence[Clip], classes: str | None) -> list[Clip]:
    """Merge or choose classes.

    Args:
        clips: Any clips.
        classes: None: as they are. "8": all of them, which must be eight. "7": calm becomes
            neutral, which must leave seven. Else a comma list of emotions: only those are kept.

    Raises:
        UserError: If the number of classes does not fit or an emotion is unknown or not there.
    """
    if classes is None:
        return list(clips)
    if classes.strip() in ("7", "8"):
        merged = list(clips) if classes.strip() == "8" else _calm_is_neutral(clips)
        present = class_names(clip.emotion for clip in merged)
        if len(present) != int(classes):
            raise UserError(
                f"classes {classes}: the clips have {len(present)} ({', '.join(present)}); leave"
                " classes out or list some of them"
            )
        return merged
    wanted = [name.strip() for name in classes.split(",")]
    present = class_names(clip.emotion for clip in clips)
    for name in wanted:
        if name not in EMOTIONS:
            way_out = nearest(name, EMOTIONS)
            raise UserError(f"classes: unknown emotion {name!r}; {way_out} (or 7, or 8)")
        if name not in present:
            raise UserError(f"classes: no clip is {name}; there are {', '.join(present)}")
    return [clip for clip in clips if clip.emotion in wanted]


def class_names(emotions: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct emotions in the order of ``EMOTIONS``, the order of class ids."""
    present = set(emotions)
    return tuple(name for name in EMOTIONS if name in present)


def common(parts: Mapping[str, list[Clip]], classes: str | None) -> list[Clip]:
    """Join corpora: prefix what must be unique and keep the emotions that all of them have."""
    if classes is not None and classes.strip() == "7":  # before the choice, or calm would be lost
        parts = {name: _calm_is_neutral(part) for name, part in parts.items()}
    shared = set.intersection(*({clip.emotion for clip in part} for part in parts.values()))
    if not shared:
        raise UserError(f"{' and '.join(parts)} have no emotion in common; train on one of them")
    lost = Counter(c.emotion for part in parts.values() for c in part if c.emotion not in shared)
    if lost:
        _LOG.warning("left out clips of emotions that not all corpora have: %s", dict(lost))
    joined = [
        replace(
            clip,
            clip_id=f"{name}/{clip.clip_id}",
            speaker=f"{name}/{clip.speaker}",
            session=f"{name}/{clip.session}" if clip.session else "",
        )
        for name, part in parts.items()
        for clip in part
        if clip.emotion in shared
    ]
    return sorted(joined, key=lambda clip: clip.clip_id)


def _calm_is_neutral(clips: Iterable[Clip]) -> list[Clip]:
    return [replace(c, emotion="neutral") if c.emotion == "calm" else c for c in clips]

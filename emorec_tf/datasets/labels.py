"""Class labels: selected and merged emotions, or bins of ratings; joining corpora."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from emorec_tf.config.clip import EMOTIONS, Clip
from emorec_tf.config.config import DataConfig
from emorec_tf.config.fields import nearest
from emorec_tf.errors import UserError

# Ratings from 1 to 5: low up to the first cut, high from the second on.
CUTS = (2.5, 3.5)
BINS = {
    "activation": ("low", "medium", "high"),
    "valence": ("negative", "neutral", "positive"),
}
_LOG = logging.getLogger(__name__)


def labelled(clips: Sequence[Clip], data: DataConfig) -> list[Clip]:
    """Give the clips their target labels; clips without one are left out.

    ``classes`` selects and merges emotions for any target. For bins of activation (arousal) or
    valence, ``emotion`` then holds the bin and the trait "emotion" the original emotion; for
    ratings themselves it is unchanged.

    Raises:
        UserError: see ``merge_classes``; no clip has a rating, or one is not from 1 to 5.
    """
    kept = merge_classes(clips, data.classes)
    if data.target == "emotion":
        return kept
    rated = [(clip, rating) for clip in kept if (rating := getattr(clip, data.target)) is not None]
    if not rated:
        raise UserError(
            f"no clip has a rating of {data.target}; use data that has (msp-improv, a labels.csv "
            f"with the column {data.target}), or --target emotion"
        )
    for clip, rating in rated:
        if not 1 <= rating <= 5:
            raise UserError(f"clip {clip.clip_id}: {data.target} is {rating:g}, not from 1 to 5")
    if data.target_scale == "continuous":
        return [clip for clip, _ in rated]
    return [
        replace(clip, emotion=binned(rating, data), traits={**clip.traits, "emotion": clip.emotion})
        for clip, rating in rated
    ]


def binned(rating: float, data: DataConfig) -> str:
    """Name of the bin of a rating."""
    return BINS[data.target][(rating > CUTS[0]) + (rating >= CUTS[1])]


def classes_of(clips: Iterable[Clip], data: DataConfig) -> tuple[str, ...]:
    """Return the classes of labelled clips in the order of class ids; () for ratings."""
    if data.target == "emotion":
        return class_names(clip.emotion for clip in clips)
    present = {clip.emotion for clip in clips}
    bins = BINS[data.target] if data.target_scale == "bins" else ()
    return tuple(name for name in bins if name in present)


def left_out(clips: Sequence[Clip], data: DataConfig) -> str:
    """Write how many clips of the selected emotions have no rating; "" if none is left out."""
    count = len(merge_classes(clips, data.classes)) - len(labelled(clips, data))
    return f"; {count} without a rating of {data.target} left out" if count else ""


def merge_classes(clips: Sequence[Clip], classes: str | None) -> list[Clip]:
    """Merge or select classes.

    Args:
        clips: Any clips.
        classes: None: unchanged. "8": all of them, which must be eight. "7": calm becomes
            neutral, which must leave seven. Else a comma list of emotions: only those are kept.

    Raises:
        UserError: If the number of classes does not fit or an emotion is unknown or does not occur.
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
    """Join corpora: prefix ids and speakers, and keep the emotions that all of them have."""
    if classes is not None and classes.strip() == "7":  # first, or calm would be lost
        parts = {name: _calm_is_neutral(part) for name, part in parts.items()}
    shared = set.intersection(*({clip.emotion for clip in part} for part in parts.values()))
    if not shared:
        raise UserError(f"{' and '.join(parts)} have no emotion in common; use one of them")
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

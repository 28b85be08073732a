"""Class labels: mapped, selected and merged emotions, or bins of ratings; joining corpora."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from emorec_tf.config import label_map as label_maps
from emorec_tf.config.class_names import as_written, check, form, listed, listing, ordered
from emorec_tf.config.clip import EMOTIONS, SEPARATOR, Clip, corpus_of
from emorec_tf.config.config import DataConfig
from emorec_tf.config.fields import nearest
from emorec_tf.datasets.emotion_names import EMOTION_OF
from emorec_tf.errors import UserError

# Ratings from 1 to 5: low up to the first cut, high from the second on.
CUTS = (2.5, 3.5)
BINS = {
    "activation": ("low", "medium", "high"),
    "valence": ("negative", "neutral", "positive"),
}
# Classes of several corpora: those that all of them have, or those that any has.
SHARED, UNION = "shared", "union"
_LOG = logging.getLogger(__name__)


def labelled(clips: Sequence[Clip], data: DataConfig) -> list[Clip]:
    """Give the clips their target labels; clips without one are left out.

    ``label_map``, then ``classes``, map, select and merge emotions for any target. For bins of
    activation (arousal) or valence, ``emotion`` then holds the bin and the trait "emotion" the
    original emotion; for ratings themselves it is unchanged.

    Raises:
        UserError: see ``merge_classes``; no clip has a rating, or one is not from 1 to 5.
    """
    kept = _selected(clips, data)
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


def _selected(clips: Sequence[Clip], data: DataConfig) -> list[Clip]:
    return merge_classes(mapped(clips, data.label_map), data.classes)


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
    count = len(_selected(clips, data)) - len(labelled(clips, data))
    return f"; {count} without a rating of {data.target} left out" if count else ""


def mapped(clips: Sequence[Clip], label_map: str | None) -> list[Clip]:
    """Give clips the labels that a label map gives them; those without one are left out.

    Labels of the map that no clip has are no mistake: one map serves many corpora.

    Raises:
        UserError: see ``label_map.parse``; a new label that cannot be a class, or no clip is left.
    """
    rules = _new_labels(clips, label_map)
    labels = [rules.get(form(clip.emotion), clip.emotion) for clip in clips]
    kept = [_labelled_as(label, clip) for clip, label in zip(clips, labels, strict=True) if label]
    if clips and not kept:
        raise UserError(f"label_map {label_map}: no clip is left; drop fewer labels")
    return kept


def _labelled_as(label: str, clip: Clip) -> Clip:
    return clip if clip.emotion == label else replace(clip, emotion=label)


def _new_labels(clips: Iterable[Clip], label_map: str | None) -> dict[str, str]:
    """Return {form of a label: its new label}: a known emotion, or spelt as clips have it."""
    rules = label_maps.rules(label_map)
    spelt = {form(clip.emotion): clip.emotion for clip in clips} if rules else {}
    for key, new in rules.items():
        if new:
            check(new, "label_map")
            known = None if form(new) in rules else EMOTION_OF.get(form(new))
            own = as_written(new) if form(new) == key else spelt.get(form(new), as_written(new))
            rules[key] = spelt[form(new)] = known or own
    return rules


def check_map(labels: Iterable[str], label_map: str | None) -> None:
    """Refuse a label map that names what looks like a misspelt label of a corpus.

    Raises:
        UserError: no clip has the label, but one has a label like it.
    """
    present = {form(label): label for label in labels}
    for old, new in label_maps.parse(label_map).items():
        if form(old) in present or form(old) in EMOTION_OF:
            continue
        others = {label for key, label in present.items() if key != form(new)}
        hint = nearest(old, others)
        if hint.startswith("did you mean"):
            raise UserError(f"label_map: no clip is {old!r}; {hint}")
        _LOG.info("label_map: no clip is %r", old)


def map_line(clips: Sequence[Clip], label_map: str | None) -> str:
    """Write what a label map does to these clips: "calm as neutral (8 clips)"; "" if nothing."""
    counts = Counter(form(clip.emotion) for clip in clips)
    new_labels = _new_labels(clips, label_map)
    done = [
        f"{old} {f'as {new}' if new else 'left out'} ({counts[form(old)]} clips)"
        for old in label_maps.parse(label_map)
        if counts[form(old)] and (new := new_labels[form(old)]) != old
    ]
    return ", ".join(done)


def merge_classes(clips: Sequence[Clip], classes: str | None) -> list[Clip]:
    """Merge or select classes.

    Args:
        clips: Any clips.
        classes: None: unchanged. "8": all of them, which must be eight. "7": calm becomes
            neutral, which must leave seven. "shared": those that every corpus of the clips has.
            "union": all. Else a comma list (``class_names.listed``): only those are kept.

    Raises:
        UserError: If the number of classes does not fit or a class does not occur.
    """
    if classes is None or classes.strip() == UNION:
        return list(clips)
    if classes.strip() == SHARED:
        shared = _shared(clips)
        return [clip for clip in clips if clip.emotion in shared]
    if classes.strip() in ("7", "8"):
        merged = list(clips) if classes.strip() == "8" else _calm_is_neutral(clips)
        present = class_names(clip.emotion for clip in merged)
        if len(present) != int(classes):
            raise UserError(
                f"classes {classes}: the clips have {len(present)} ({', '.join(present)}); leave"
                " classes out or list some of them"
            )
        return merged
    wanted = {form(name): name for name in listed(classes)}
    present = class_names(clip.emotion for clip in clips)
    for name in wanted.values():
        if form(name) not in map(form, present):
            raise UserError(f"classes: no clip is {_shown(name)}; {_instead(name, present)}")
    return [clip for clip in clips if form(clip.emotion) in wanted]


def _shown(name: str) -> str:
    return name if name in EMOTIONS else repr(name)


def _instead(name: str, present: Sequence[str]) -> str:
    """Say what a class that does not occur may have meant, or which classes there are."""
    close = nearest(name, {*present, *EMOTIONS})
    if name in EMOTIONS or not close.startswith("did you mean"):
        return f"there are {listing(present)} (or 7, 8, {SHARED}, {UNION})"
    return f"{close} (or 7, 8, {SHARED}, {UNION})"


def class_names(emotions: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct classes in the order of class ids: see ``class_names.ordered``."""
    return ordered(emotions)


def common(parts: Mapping[str, list[Clip]], classes: str | None) -> list[Clip]:
    """Join corpora: prefix ids and speakers, and keep the wanted emotions.

    Args:
        parts: clips of each corpus.
        classes: "union" keeps all emotions, a comma list exactly those in it, also where a corpus
            lacks one; anything else keeps those that all corpora have.
    """
    wanted = (classes or SHARED).strip()
    if wanted == "7":  # first, or calm would be lost
        parts = {name: _calm_is_neutral(part) for name, part in parts.items()}
    own = {name: {clip.emotion for clip in part} for name, part in parts.items()}
    if wanted in (SHARED, "7", "8"):
        kept = set.intersection(*own.values())
        if not kept:
            raise UserError(f"{' and '.join(parts)} have no emotion in common; use one of them")
    else:
        chosen = set(map(form, listed(wanted)))
        every = set.union(*own.values())
        kept = {name for name in every if wanted == UNION or form(name) in chosen}
    lost = Counter(c.emotion for part in parts.values() for c in part if c.emotion not in kept)
    if lost:
        why = "that not all corpora have" if wanted in (SHARED, "7", "8") else "not in classes"
        _LOG.warning("left out clips of emotions %s: %s", why, dict(lost))
    if lacking := lacking_line({name: emotions & kept for name, emotions in own.items()}):
        _LOG.info("%s", lacking)
    joined = [
        replace(
            clip,
            clip_id=f"{name}{SEPARATOR}{clip.clip_id}",
            speaker=f"{name}{SEPARATOR}{clip.speaker}",
            session=f"{name}{SEPARATOR}{clip.session}" if clip.session else "",
        )
        for name, part in parts.items()
        for clip in part
        if clip.emotion in kept
    ]
    return sorted(joined, key=lambda clip: clip.clip_id)


def classes_by_corpus(clips: Iterable[Clip]) -> dict[str, set[str]]:
    """Return {corpus: its emotions} of joined corpora; the only key of a single one is ""."""
    found: dict[str, set[str]] = {}
    for clip in clips:
        found.setdefault(corpus_of(clip.speaker), set()).add(clip.emotion)
    return found


def lacking_line(own: Mapping[str, set[str]]) -> str:
    """Write which corpus lacks which class that another has; "" where all have the same."""
    every = class_names(name for emotions in own.values() for name in emotions)
    lacking = {
        corpus: ", ".join(name for name in every if name not in emotions)
        for corpus, emotions in own.items()
    }
    parts = [f"{corpus} has no {names}" for corpus, names in lacking.items() if names]
    return f"classes that not every corpus has: {'; '.join(parts)}" if parts else ""


def _shared(clips: Iterable[Clip]) -> set[str]:
    """Emotions that every corpus of joined clips has."""
    own = classes_by_corpus(clips)
    shared = set.intersection(*own.values()) if own else set()
    if own and not shared:
        raise UserError(f"{' and '.join(own)} have no emotion in common; use one of them")
    return shared


def _calm_is_neutral(clips: Iterable[Clip]) -> list[Clip]:
    return [replace(c, emotion="neutral") if c.emotion == "calm" else c for c in clips]

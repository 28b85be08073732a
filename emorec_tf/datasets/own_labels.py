"""Labels of own corpora: any label is a class, spelt one way; other names of known emotions."""

from __future__ import annotations

import difflib
import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from emorec_tf.config.class_names import as_written, check, form, listing
from emorec_tf.config.clip import EMOTIONS, Clip
from emorec_tf.datasets.emotion_names import EMOTION_OF

Found = tuple[Clip, str, str]  # a clip without files, its file, and the modality, as for ``join``
ALIKE = 0.75  # likeness from which a label may be a misspelt emotion
_LOG = logging.getLogger(__name__)


def label_at(text: str, where: str, declared: Collection[str]) -> str:
    """Return a label as it is written, trimmed; ``declared`` ones get another name later.

    Args:
        text: the label.
        where: for the error.
        declared: forms of the labels that a label map names.

    Raises:
        UserError: it cannot be a class.
    """
    label = as_written(text)
    if form(label) not in declared:
        check(label, where)
    return label


def with_classes(found: Iterable[Found], declared: Collection[str]) -> list[Found]:
    """Give clips their classes: other names become those of ``EMOTIONS``, all else stays.

    Labels that differ only in case, blanks or Unicode form are one class, spelt as most of its
    clips spell it. What was changed is logged, and what looks like a misspelt emotion.

    Args:
        found: clips whose ``emotion`` is the label as written.
        declared: forms of the labels that a label map names, which stand for nothing else.
    """
    every = list(found)
    counts = Counter(clip.emotion for clip, _, _ in every)
    kept = _spellings(counts)
    emotions = {
        label: EMOTION_OF[form(label)]
        for label in counts
        if form(label) in EMOTION_OF and form(label) not in declared
    }
    _log_emotions({label: emotion for label, emotion in emotions.items() if label != emotion})
    own = {label: name for label, name in kept.items() if label not in emotions}
    _log_merged(own)
    _log_alike([name for name in dict.fromkeys(own.values()) if form(name) not in declared], counts)
    classes = kept | emotions
    return [(replace(c, emotion=classes[c.emotion]), path, kind) for c, path, kind in every]


def one_spelling(parts: Mapping[str, Sequence[Clip]]) -> dict[str, list[Clip]]:
    """Spell the classes of several corpora one way, that of ``EMOTIONS`` or the most frequent."""
    kept = _spellings(Counter(clip.emotion for part in parts.values() for clip in part))
    _log_merged(kept)
    return {
        name: [replace(clip, emotion=kept[clip.emotion]) for clip in part]
        for name, part in parts.items()
    }


def _spellings(counts: Counter[str]) -> dict[str, str]:
    """Return {label: the spelling that is kept}."""
    alike: dict[str, list[str]] = defaultdict(list)
    for label, _ in counts.most_common():  # of equals the first
        alike[form(label)].append(label)
    known = frozenset(EMOTIONS)
    kept = {key: ([n for n in names if n in known] or names)[0] for key, names in alike.items()}
    return {label: kept[form(label)] for label in counts}


def _log_emotions(emotions: Mapping[str, str]) -> None:
    if emotions:
        named = ", ".join(f"{label!r} as {emotion}" for label, emotion in sorted(emotions.items()))
        first = min(emotions)
        _LOG.info(
            "labels read as known emotions: %s (--label_map %s keeps one as written)",
            named,
            listing([f"{first}={first}"]),
        )


def _log_merged(kept: Mapping[str, str]) -> None:
    merged = {label: name for label, name in kept.items() if label != name}
    if merged:
        named = ", ".join(f"{label!r} as {name!r}" for label, name in merged.items())
        _LOG.warning("labels of equal names taken as one: %s; rename them if they differ", named)


def _log_alike(names: Sequence[str], counts: Counter[str]) -> None:
    """Name the labels that may be misspelt emotions; each is a class all the same."""
    for name in names:
        close = difflib.get_close_matches(form(name), EMOTION_OF, n=1, cutoff=ALIKE)
        if close:
            count = sum(n for label, n in counts.items() if form(label) == form(name))
            _LOG.warning(
                "%r is a class of its own (%d clips); if it is %s: --label_map %s",
                name, count, close[0], listing([f"{name}={close[0]}"]),
            )  # fmt: skip

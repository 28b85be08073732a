"""Folds over several corpora: within each, all of one or several, and all but one.

Speakers are drawn as ``group_kfold`` draws them, so nothing depends on a random seed. A corpus of
two speakers still has two folds; its training speaker's own clips validate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from emorec_tf.config.clip import Clip
from emorec_tf.splits import generic_folds
from emorec_tf.splits.generic_folds import Fold, sha256
from emorec_tf.splits.splits import speakers_of

FEWEST_GROUPS = 3  # speakers that group_kfold needs
VALIDATION_SHARE = 8  # one in so many
Parts = Mapping[str, Sequence[Clip]]  # clips by corpus


def within(clips: Sequence[Clip], count: int) -> list[Fold]:
    """Speaker-independent folds of one corpus: ``count``, or as many as it has speakers.

    Returns:
        [] for a single speaker.
    """
    speakers = speakers_of(clips)
    if len(speakers) >= FEWEST_GROUPS:
        return generic_folds.generate("group_kfold", str(min(count, len(speakers))), clips)[0]
    return [
        Fold(str(at + 1), (other,), (), (speaker,), validation_clips=_some(clips, other))
        for at, speaker in enumerate(speakers)
        for other in speakers
        if other != speaker
    ]


def whole(name: str, parts: Parts, test: Sequence[Clip] = ()) -> Fold:
    """One fold that trains on whole corpora; an eighth of each one's speakers validates.

    Args:
        name: of the fold.
        parts: clips of the corpora to train on.
        test: clips of other corpora.
    """
    train: list[str] = []
    validation: list[str] = []
    spared: tuple[str, ...] = ()
    for clips in parts.values():
        speakers = speakers_of(clips)
        chosen = _validating(clips)
        validation += chosen
        train += [speaker for speaker in speakers if speaker not in chosen]
        if not chosen:
            spared += _some(clips, speakers[0])
    return Fold(
        name,
        tuple(train),
        tuple(validation),
        tuple(speakers_of(test)),
        validation_clips=spared,
    )


def _validating(clips: Sequence[Clip]) -> tuple[str, ...]:
    """An eighth of the speakers, at least one; none of a single speaker."""
    speakers = speakers_of(clips)
    if len(speakers) < FEWEST_GROUPS:
        return tuple(speakers[1:])
    count = max(1, round(len(speakers) / VALIDATION_SHARE))
    folds = generic_folds.generate("group_kfold", str(len(speakers) // count), clips)[0]
    return folds[0].test[:count]


def _some(clips: Sequence[Clip], speaker: str) -> tuple[str, ...]:
    """An eighth of a speaker's clips of each emotion, at least one."""
    own: dict[str, list[str]] = defaultdict(list)
    for clip in clips:
        if clip.speaker == speaker:
            own[clip.emotion].append(clip.clip_id)
    return tuple(
        clip_id
        for ids in own.values()
        for clip_id in sorted(ids, key=sha256)[: max(1, len(ids) // VALIDATION_SHARE)]
    )

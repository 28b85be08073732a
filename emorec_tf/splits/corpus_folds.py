"""Folds over several corpora: within each, all of one or several, and all but one.

Speakers are drawn as ``group_kfold`` draws them, so nothing depends on a random seed. A corpus of
two speakers still has two folds; its training speaker's own clips validate.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from emorec_tf.config.clip import Clip
from emorec_tf.splits import generic_folds
from emorec_tf.splits.generic_folds import VALIDATION_SHARE, Fold, an_eighth, sexes_of, sha256
from emorec_tf.splits.splits import speakers_of

FEWEST_GROUPS = 3  # speakers that group_kfold needs
Parts = Mapping[str, Sequence[Clip]]  # clips by corpus


def within(clips: Sequence[Clip], count: int) -> list[Fold]:
    """Speaker-independent folds of one corpus: ``count``, or as many as its speakers allow.

    Returns:
        [] for a single speaker.
    """
    speakers = speakers_of(clips)
    if len(speakers) >= FEWEST_GROUPS:
        possible = range(min(count, len(speakers)), len(speakers) + 1)
        # two of three speakers tested at once would leave none to train or to validate
        kept = next(k for k in possible if len(speakers) - math.ceil(len(speakers) / k) >= 2)
        return generic_folds.generate("group_kfold", str(kept), clips)[0]
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
    drawn = {corpus: an_eighth(sexes_of(clips)) for corpus, clips in parts.items()}
    validation = tuple(speaker for speakers in drawn.values() for speaker in speakers)
    every = [speaker for clips in parts.values() for speaker in speakers_of(clips)]
    train = tuple(speaker for speaker in every if speaker not in validation)
    spared: tuple[str, ...] = ()
    if not validation:  # corpora of one speaker
        spared = tuple(i for clips in parts.values() for i in _some(clips, clips[0].speaker))
    tested = tuple(speakers_of(test))
    return Fold(name, train, validation, tested, validation_clips=spared)


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

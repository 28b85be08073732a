"""Enrolment clips: unlabelled clips of a speaker, drawn by seed and never scored."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

from emorec_tf.config.clip import Clip
from emorec_tf.config.config import DataConfig
from emorec_tf.errors import UserError


def enrolment_clips(clips: Iterable[Clip], data: DataConfig, seed: int) -> list[Clip]:
    """Draw the enrolment clips of each speaker; none unless ``data.enrol`` is a number.

    The draw of one speaker depends on that speaker's clips and the seed alone, not on labels.

    Raises:
        UserError: a speaker has so few clips that none is left to score.
    """
    if not isinstance(data.enrol, int):
        return []
    by_speaker: dict[str, list[Clip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda c: c.clip_id):
        by_speaker[clip.speaker].append(clip)
    found = []
    for speaker, own in by_speaker.items():
        if len(own) <= data.enrol:
            raise UserError(
                f"speaker {speaker} has {len(own)} clips; --enrol {data.enrol} leaves none to "
                f"score, enrol by fewer"
            )
        found += random.Random(f"{seed} {speaker}").sample(own, data.enrol)
    return found


def scored_clips(clips: Sequence[Clip], data: DataConfig, seed: int) -> list[Clip]:
    """Leave the enrolment clips out."""
    taken = {clip.clip_id for clip in enrolment_clips(clips, data, seed)}
    return [clip for clip in clips if clip.clip_id not in taken]

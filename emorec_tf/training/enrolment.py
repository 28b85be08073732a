"""Enrolment clips: unlabelled clips of a speaker, drawn by seed and never scored."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from emorec_tf.config.clip import Clip
from emorec_tf.config.config import DataConfig
from emorec_tf.errors import UserError

NAMES = {"audio": "audio", "face": "a face"}  # modalities, in words


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


def words(kinds: Collection[str]) -> str:
    """Name modalities: "audio and a face"."""
    return " and ".join(name for kind, name in NAMES.items() if kind in kinds)


def usable(
    clips: Sequence[Clip], present: Mapping[str, Collection[str]], needed: Collection[str]
) -> dict[str, list[Clip]]:
    """Enrolment clips that have all that is needed, by speaker.

    Args:
        clips: enrolment clips of one or more speakers.
        present: modalities of each clip, by its id.
        needed: "audio", "face", both or neither.

    Raises:
        UserError: a speaker has none.
    """
    found: dict[str, list[Clip]] = {clip.speaker: [] for clip in clips}
    for clip in clips:
        if set(needed) <= set(present[clip.clip_id]):
            found[clip.speaker].append(clip)
    for speaker, own in found.items():
        if not own:
            raise UserError(
                f"no enrolment clip of speaker {speaker} has {words(needed)}; leave the speaker "
                f"out, or train without --enrol"
            )
    return found

"""Enrolment clips: unlabelled clips of a speaker or a corpus, drawn by seed and never scored."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from emorec_tf.config.clip import Clip, corpus_of
from emorec_tf.config.config import DataConfig
from emorec_tf.errors import UserError

if TYPE_CHECKING:
    from emorec_tf.training.run_dir import Run

NAMES = {"audio": "audio", "face": "a face"}  # modalities, in words


def set_of(clip: Clip, by: str) -> str:
    """Name the set of recordings in which a clip is adapted.

    Args:
        clip: of any speaker.
        by: speaker, or corpus: "ravdess" of speaker "ravdess/01", "" of speakers without a prefix.
    """
    return clip.speaker if by == "speaker" else corpus_of(clip.speaker)


def named(name: str, by: str) -> str:
    """Name a set in a message: "speaker 3", "corpus ravdess"."""
    return f"{by} {name}" if name else "the corpus"


def check_takes_clips(run: Run) -> None:
    """Refuse enrolment clips for a run that adapts to each clip by itself."""
    if run.config.data.adapt == "self":
        raise UserError(
            f"run {run.folder} was trained with --adapt self: it adapts to each clip by the clip "
            f"alone, so it takes no others; drop --adapt"
        )


def enrolment_clips(clips: Iterable[Clip], data: DataConfig, seed: int) -> list[Clip]:
    """Draw the enrolment clips of each set; none unless ``data.adapt`` is a number.

    The draw of one set depends on the clips of that set and the seed alone, not on labels.

    Raises:
        UserError: a set has so few clips that none is left to score.
    """
    if not isinstance(data.adapt, int):
        return []
    by_set: dict[str, list[Clip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda c: c.clip_id):
        by_set[set_of(clip, data.adapt_by)].append(clip)
    found = []
    for name, own in by_set.items():
        if len(own) <= data.adapt:
            raise UserError(
                f"{named(name, data.adapt_by)} has {len(own)} clips; --adapt {data.adapt} leaves "
                f"none to score, adapt by fewer"
            )
        found += random.Random(f"{seed} {name}").sample(own, data.adapt)
    return found


def scored_clips(clips: Sequence[Clip], data: DataConfig, seed: int) -> list[Clip]:
    """Leave the enrolment clips out."""
    taken = {clip.clip_id for clip in enrolment_clips(clips, data, seed)}
    return [clip for clip in clips if clip.clip_id not in taken]


def words(kinds: Collection[str]) -> str:
    """Name modalities: "audio and a face"."""
    return " and ".join(name for kind, name in NAMES.items() if kind in kinds)


def usable(
    clips: Sequence[Clip],
    present: Mapping[str, Collection[str]],
    needed: Collection[str],
    by: str = "speaker",
) -> dict[str, list[Clip]]:
    """Enrolment clips that have all that is needed, by set.

    Args:
        clips: enrolment clips of one or more sets.
        present: modalities of each clip, by its id.
        needed: "audio", "face", both or neither.
        by: what a set is, see ``set_of``.

    Raises:
        UserError: a set has none.
    """
    found: dict[str, list[Clip]] = {set_of(clip, by): [] for clip in clips}
    for clip in clips:
        if set(needed) <= set(present[clip.clip_id]):
            found[set_of(clip, by)].append(clip)
    for name, own in found.items():
        if not own:
            raise UserError(
                f"no enrolment clip of {named(name, by)} has {words(needed)}; leave the {by} "
                f"out, or train without --adapt"
            )
    return found

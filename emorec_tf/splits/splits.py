"""Which speakers train, validate and test: disjoint by construction, and checked."""

from __future__ import annotations

import csv
import dataclasses
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from emorec_tf.config.clip import Clip
from emorec_tf.config.config import DataConfig
from emorec_tf.config.fields import nearest
from emorec_tf.config.natural_order import natural
from emorec_tf.datasets.corpora import parts_of
from emorec_tf.datasets.speakers import normal_form
from emorec_tf.errors import UserError

NO_SPEAKERS = "none"  # test on none: a final model, evaluated by a cross-validation


@dataclass(frozen=True)
class Split:
    """Speakers of each subset, or clips (``clip_id``) where ``leaky``. No name is in two.

    ``test_clips`` are the clips of the test speakers that are scored; (): all of them.
    ``validation_clips`` are clips of training speakers that validate and do not train, in a corpus
    of so few speakers that none can be spared for validation.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    leaky: bool = False
    test_clips: tuple[str, ...] = ()
    validation_clips: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a speaker in two subsets, and empty subsets."""
        subsets = {"train": self.train, "validation": self.validation, "test": self.test}
        for a, b in (("train", "test"), ("validation", "test"), ("train", "validation")):
            both = self._in_both(subsets[a], subsets[b])
            if both:
                spelled = any(" = " in names for names in both)
                way_out = "prepare the data again, which takes them as one, or " * spelled
                raise UserError(
                    f"speakers {', '.join(both)} are in both {a} and {b}, which makes the "
                    f"results meaningless; {way_out}name each in one subset only"
                )
        for subset, speakers in subsets.items():
            spared = subset == "validation" and self.validation_clips
            if not speakers and subset != "test" and not spared:
                raise UserError(f"no speaker is left for {subset}; hold out fewer speakers")

    @property
    def facts(self) -> dict[str, Any]:
        """All fields, as they are stored and hashed; ``validation_clips`` only where there are."""
        kept = dataclasses.asdict(self)
        return {k: v for k, v in kept.items() if k != "validation_clips" or v}

    def _in_both(self, some: Iterable[str], others: Iterable[str]) -> list[str]:
        """Names of ``some`` that ``others`` have in any spelling; ids of clips have only one."""
        form: Callable[[str], str] = str if self.leaky else normal_form
        theirs = {form(name): name for name in sorted(others, reverse=True)}
        both = {name: theirs[form(name)] for name in some if form(name) in theirs}
        pairs = (one if one == other else f"{one} = {other}" for one, other in both.items())
        return sorted(pairs, key=natural)

    def clips(self, clips: Iterable[Clip]) -> dict[str, list[Clip]]:
        """Return {"train", "validation", "test": clips}; clips in no subset are left out."""
        role_of = {n: r for r in ("train", "validation", "test") for n in getattr(self, r)}
        found: dict[str, list[Clip]] = {"train": [], "validation": [], "test": []}
        chosen, validating = frozenset(self.test_clips), frozenset(self.validation_clips)
        for clip in clips:
            role = role_of.get(clip.clip_id if self.leaky else clip.speaker)
            if role == "train" and clip.clip_id in validating:
                role = "validation"
            unused = role == "test" and self.test_clips and clip.clip_id not in chosen
            if role is not None and not unused:
                found[role].append(clip)
        return found


def named(text: str | None, known: Sequence[str], subset: str) -> tuple[str, ...]:
    """Split a comma list of speakers, in any spelling, and refuse those not in the data.

    A name that holds a comma, or that is "none", goes into double quotes.
    """
    spellings: dict[str, list[str]] = defaultdict(list)
    for name in known:
        spellings[normal_form(name)].append(name)
    found: list[str] = []
    for name in next(csv.reader([text or ""], skipinitialspace=True), []):
        if name.strip() and normal_form(name) not in spellings:
            raise UserError(
                f"{subset}_speakers: {name.strip()!r} is not in the data; {nearest(name, known)}"
            )
        found += spellings.get(normal_form(name), [])
    return tuple(sorted(dict.fromkeys(found), key=natural))


def speakers_of(clips: Iterable[Clip]) -> list[str]:
    """All speakers in natural order."""
    return sorted({c.speaker for c in clips}, key=natural)


def make(clips: Sequence[Clip], data: DataConfig, seed: int) -> Split:
    """Make the split that ``data`` asks for.

    Without ``test_speakers`` the last quarter of the speakers is held out, with ``none`` no one;
    without ``validation_speakers`` an eighth of the rest (at least one) is drawn by ``seed``. A
    corpus of people not identified is validated and tested on its own subsets.

    Raises:
        UserError: a speaker that is not in the data, one in two subsets, or an empty subset.
    """
    known = speakers_of(clips)
    if len(known) < 3:
        raise UserError(
            f"{len(known)} speaker(s) in the data; training, validating and testing on different "
            f"speakers needs at least 3"
        )
    data = _with_own_split(data, known)
    untested = (data.test_speakers or "").strip() == NO_SPEAKERS
    if untested and NO_SPEAKERS in map(normal_form, known):
        raise UserError(
            "test_speakers none: a speaker of the data is called none; write '\"none\"' with the "
            "double quotes to test on them, or rename them to hold out no speaker"
        )
    test = () if untested else named(data.test_speakers, known, "test")
    if not test and not untested:
        test = tuple(known[-max(1, len(known) // 4) :])
    train = named(data.train_speakers, known, "train")
    validation = named(data.validation_speakers, known, "validation")
    rest = train or tuple(s for s in known if s not in test and s not in validation)
    if not validation:
        count = max(1, round(len(rest) / 8))
        # Sorted names and a seed of its own: the draw depends on nothing else.
        drawn = random.Random(seed).sample(rest, min(count, len(rest)))
        validation = tuple(sorted(drawn, key=natural))
        rest = tuple(s for s in rest if s not in validation)
    return Split(rest, validation, test)


def _with_own_split(data: DataConfig, known: Sequence[str]) -> DataConfig:
    """Name the subsets of a corpus's own split, where they stand for speakers and none is named."""
    parts = parts_of(data.dataset)
    if not parts or not set(parts) <= set(known):
        return data
    _, validation, test = parts
    return replace(
        data,
        validation_speakers=data.validation_speakers or validation,
        test_speakers=data.test_speakers or test,
    )


def clips_of(clips: Iterable[Clip], speakers: Iterable[str]) -> list[Clip]:
    """Clips of these speakers."""
    wanted = set(speakers)
    return [c for c in clips if c.speaker in wanted]

"""Speakers as people write them: one normal form for spellings, and folders that are no speaker."""

from __future__ import annotations

import functools
import logging
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from emorec_tf.config.clip import Clip
from emorec_tf.errors import UserError

# Names of subsets. "dev" and "val" are people's names too, so what may follow them is narrower.
_SPLIT = re.compile(
    r"(train|training|trn|test|testing|tst|validation|eval|evaluation|devel|development)"
    r"([ _.-].*|set|split|data|\d*)"
    r"|(dev|val|valid)([ _.-]?(set|split|data|\d+|(?-i:[A-Z]{3,}.*)))?"
    r"|(fold|split)[ _.-]?\d*|hold[ _-]?out|held[ _-]?out"
    r"|.*[ _.-](train|training|test|testing|validation|eval)([ _.-]?(set|split|data))?",
    re.IGNORECASE,
)
_SUBSETS = {
    "train": r"train|training|trn|(train)(set|split|data)",
    "validation": r"val|valid|validation|dev|devel|development|(val|dev)(set|split|data)",
    "test": r"test|testing|tst|(test)(set|split|data)",
}
_LOG = logging.getLogger(__name__)


@functools.lru_cache(maxsize=10_000)
def normal_form(name: str) -> str:
    """Return the form in which names are compared: "01" is "1", "Anna " is "anna".

    Unicode NFC, without case, invisible characters and leading zeros of numbers; blanks count
    between two numbers only.
    """
    shown = "".join(c for c in name if unicodedata.category(c) != "Cf")
    text = " ".join(unicodedata.normalize("NFC", shown).casefold().split())
    text = re.sub(r"(?<!\d) | (?!\d)", "", text)
    return unicodedata.normalize("NFC", re.sub(r"(?<!\d)0+(?=\d)", "", text))


def path_form(path: str) -> str:
    """Return the form in which paths are compared: the normal form of each of their parts."""
    return "/".join(map(normal_form, path.split("/")))


def one_spelling(clips: Sequence[Clip]) -> list[Clip]:
    """Give the clips of one speaker one spelling: the most frequent, of equals the first.

    Raises:
        UserError: two spellings have the same clip, so they may be two people or two copies.
    """
    kept = _kept_spellings(clip.speaker for clip in clips)
    merged = {name: chosen for name, chosen in kept.items() if name != chosen}
    if not merged:
        return list(clips)
    _check_distinct([clip for clip in clips if clip.speaker in {*merged, *merged.values()}])
    named = ", ".join(f"{name!r} as {chosen!r}" for name, chosen in merged.items())
    _LOG.warning("speakers of equal names taken as one: %s; rename them if they differ", named)
    return [replace(clip, speaker=kept[clip.speaker]) for clip in clips]


def _kept_spellings(speakers: Iterable[str]) -> dict[str, str]:
    """Return {spelling: the spelling that is kept}."""
    spellings: dict[str, list[str]] = defaultdict(list)
    for name, _ in Counter(speakers).most_common():
        spellings[normal_form(name)].append(name)
    return {name: names[0] for names in spellings.values() for name in names}


def _check_distinct(clips: Iterable[Clip]) -> None:
    """Refuse clips that differ in the spelling of their speaker alone."""
    first: dict[str, Clip] = {}
    for clip in clips:
        before, found, after = _around(clip.speaker, clip.clip_id)
        other = first.setdefault(before + normal_form(found) + after, clip)
        if other.speaker != clip.speaker:
            raise UserError(
                f"speakers {other.speaker!r} and {clip.speaker!r} have the same clip "
                f"({other.clip_id} and {clip.clip_id}): rename one if they are two people, remove "
                "one if they are copies"
            )


def _around(speaker: str, clip_id: str) -> tuple[str, str, str]:
    """Split an id at the speaker in it, which is a part of it or begins one."""
    spelled = re.search(rf"(?<![^/ ]){re.escape(speaker)}(?![^/_])", clip_id)
    start, end = spelled.span() if spelled else (0, 0)
    return clip_id[:start], clip_id[start:end], clip_id[end:]


def subset_named(name: str) -> str:
    """Which subset a folder's name stands for: "train", "validation", "test"; "" if none surely."""
    if not looks_like_split(name):
        return ""
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())
    found = {
        subset
        for subset, pattern in _SUBSETS.items()
        if any(re.fullmatch(pattern, word) for word in words)
    }
    return found.pop() if len(found) == 1 else ""


def check_people(speakers: Iterable[str], where: str) -> None:
    """Refuse a column of speakers that holds the subsets of a split.

    Raises:
        UserError: all names look like subsets, so that nothing is known about people.
    """
    names = list(dict.fromkeys(speakers))
    if names and all(looks_like_split(name) for name in names):
        raise UserError(
            f"{where}: the speakers {', '.join(names[:3])} look like subsets of a split, not like "
            "people; name the column of people: --columns speaker=NAME"
        )


def looks_like_split(name: str) -> bool:
    """Whether a folder is named like a subset (``train_set``, ``fold1``), not like a person."""
    return _SPLIT.fullmatch(name.strip()) is not None

"""Folds, and the generic protocols, which assign sorted names to folds without a random seed."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from emorec_tf.config.clip import Clip, corpus_of
from emorec_tf.errors import UserError
from emorec_tf.splits.splits import Split, natural

DEFAULT_FOLDS = 5
VALIDATION_SHARE = 8  # one in so many
LEAKY_NOTE = (
    "LEAKY: clips, not speakers, were assigned to the folds, so every speaker is in all subsets; "
    "the results are inflated by leakage and say nothing about new speakers"
)
HALF_NOTE = "only half of each test session's clips is scored; the other half is not used"
# Protocols whose folds are scored among the classes of the test clips (``tasks.restriction``).
RESTRICTED = ("leave_one_corpus_out",)
COUNTED = ("group_kfold", "leaky_kfold")


@dataclass(frozen=True)
class Fold:
    """One fold: names of the speakers in each subset, or of clips (``clip_id``) where ``leaky``."""

    name: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    leaky: bool = False
    test_clips: tuple[str, ...] = ()  # of the test speakers, those scored; (): all
    validation_clips: tuple[str, ...] = ()  # of training speakers, where none can be spared

    def __post_init__(self) -> None:
        """Refuse empty subsets and a name in two of them."""
        try:
            _ = self.split
        except UserError as error:
            raise UserError(f"fold {self.name}: {error}") from error

    @property
    def split(self) -> Split:
        """The subsets without the fold's name, sorted as ``splits.make`` sorts them."""
        train, validation, test = (
            tuple(sorted(names, key=natural)) for names in (self.train, self.validation, self.test)
        )
        return Split(train, validation, test, self.leaky, self.test_clips, self.validation_clips)

    def clips(self, clips: Iterable[Clip]) -> dict[str, list[Clip]]:
        """Return {"train", "validation", "test": clips}; clips in no subset are left out."""
        return self.split.clips(clips)


def generate(kind: str, number: str, clips: Sequence[Clip]) -> tuple[list[Fold], list[str]]:
    """Make the folds of a generic protocol, and notes on them.

    Args:
        kind: a key of ``GENERIC_PROTOCOLS``.
        number: how many folds, as the user wrote it; "": five, or one per session.
        clips: all clips of the data.

    Raises:
        UserError: not a number, or the data has too few speakers, sessions or clips.
    """
    counted = kind in COUNTED
    if number and not (counted and number.isdecimal() and int(number) >= 2):
        form = f"{kind}:K with K a whole number from 2" if counted else f"{kind} alone"
        raise UserError(f"unknown protocol '{kind}:{number}'; write {form}")
    return GENERIC_PROTOCOLS[kind](clips, int(number or DEFAULT_FOLDS))


def sha256(text: str) -> str:
    """Hash a text, for an order that depends only on the names."""
    return hashlib.sha256(text.encode()).hexdigest()


def _leave_one_session_out(
    clips: Sequence[Clip], _: int, kind: str = "loso_session"
) -> tuple[list[Fold], list[str]]:
    """Leave one session out; sessions must not share speakers."""
    speakers_in: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        speakers_in[clip.session].add(clip.speaker)
    if len(speakers_in) < 3 or "" in speakers_in:
        raise UserError(f"{kind} needs clips of at least 3 named sessions; use group_kfold")
    homes: dict[str, str] = {}
    for session in sorted(speakers_in, key=natural):
        for speaker in sorted(speakers_in[session], key=natural):
            if homes.setdefault(speaker, session) != session:
                raise UserError(
                    f"{kind}: speaker {speaker} is in sessions {homes[speaker]} and "
                    f"{session}, so sessions do not separate speakers; use group_kfold"
                )
    groups = {s: sorted(speakers_in[s], key=natural) for s in sorted(speakers_in, key=natural)}
    return _rotated(groups, clips), []


def _half_sessions(clips: Sequence[Clip], _: int) -> tuple[list[Fold], list[str]]:
    """Leave one session out and test half of its clips, as the reimplemented baselines do.

    The originals draw the halves again in each run and look at the other half during training;
    here clips are selected in each class by the hash of their ids, and the other half is unused.
    """
    folds, notes = _leave_one_session_out(clips, 0, "seed_half_session")
    found = []
    for fold in folds:
        own = sorted(fold.clips(clips)["test"], key=lambda c: (c.emotion, sha256(c.clip_id)))
        half = tuple(sorted(c.clip_id for c in own[::2]))  # every second one of each class
        found.append(replace(fold, test_clips=half))
    return found, [*notes, HALF_NOTE]


def _group_kfold(clips: Sequence[Clip], count: int) -> tuple[list[Fold], list[str]]:
    """Assign speakers to folds by sex, then by the hash of their names."""
    sexes = sexes_of(clips)
    speakers = sorted(sexes, key=lambda s: (sexes[s], sha256(s)))
    if len(speakers) < max(count, 3):
        raise UserError(
            f"group_kfold:{count} needs at least {max(count, 3)} speakers, the data has "
            f"{len(speakers)}; use fewer folds or more speakers"
        )
    groups = {str(i + 1): sorted(speakers[i::count], key=natural) for i in range(count)}
    return _rotated(groups, clips), []


def sexes_of(clips: Sequence[Clip]) -> dict[str, str]:
    """Return {speaker: sex}; "" where the corpus does not say it."""
    return {c.speaker: c.traits.get("sex", "") for c in sorted(clips, key=lambda c: c.clip_id)}


def _rotated(groups: dict[str, list[str]], clips: Sequence[Clip]) -> list[Fold]:
    """Test each group once; validate on an eighth of the rest, from the next group on."""
    sexes, keys, found = sexes_of(clips), list(groups), []
    for at, name in enumerate(keys):
        rest = [s for key in keys[at + 1 :] + keys[:at] for s in groups[key]]
        turns = _turns(rest, sexes)
        count = min(max(2, len(rest) // VALIDATION_SHARE), max(1, len(rest) // 3))
        validation = tuple(sorted(sorted(rest, key=lambda s: turns[s])[:count], key=natural))
        train = tuple(sorted((s for s in rest if s not in validation), key=natural))
        found.append(Fold(name, train, validation, tuple(groups[name])))
    return found


def _leave_one_corpus_out(clips: Sequence[Clip], _: int) -> tuple[list[Fold], list[str]]:
    """Test on one whole corpus; an eighth of the speakers of each other corpus validates."""
    sexes = sexes_of(clips)
    groups: dict[str, list[str]] = defaultdict(list)
    for speaker in sorted(sexes, key=sha256):
        groups[corpus_of(speaker)].append(speaker)
    if len(groups) < 2 or "" in groups:
        raise UserError(
            "leave_one_corpus_out needs records of several corpora (prepare --dataset a+b); use "
            "group_kfold"
        )
    drawn = {name: an_eighth({s: sexes[s] for s in speakers}) for name, speakers in groups.items()}
    found = []
    for name in sorted(groups):
        others = [other for other in sorted(groups) if other != name]
        validation = tuple(speaker for other in others for speaker in drawn[other])
        train = tuple(s for other in others for s in groups[other] if s not in validation)
        found.append(Fold(name, train, validation, tuple(groups[name])))
    single = [name for name, speakers in groups.items() if not drawn[name]]
    return found, [f"{name} has one speaker, who does not validate" for name in sorted(single)]


def an_eighth(sexes: Mapping[str, str]) -> list[str]:
    """Pick about an eighth of the speakers, at least one, the sexes in turn; none of a single one.

    Args:
        sexes: {speaker: sex}; speakers are taken by the hash of their names.
    """
    speakers = sorted(sexes, key=sha256)
    turns = _turns(speakers, sexes)
    count = min(max(1, round(len(speakers) / VALIDATION_SHARE)), len(speakers) - 1)
    return sorted(speakers, key=lambda s: turns[s])[:count]


def _turns(speakers: Sequence[str], sexes: Mapping[str, str]) -> dict[str, int]:
    """Number the speakers of each sex: first come the first of each, then the second, ..."""
    return {s: [r for r in speakers if sexes[r] == sexes[s]].index(s) for s in speakers}


def _leaky_kfold(clips: Sequence[Clip], count: int) -> tuple[list[Fold], list[str]]:
    """Assign clips to folds by the hash of their ids: bad practice, to show the inflation."""
    ids = sorted({c.clip_id for c in clips}, key=sha256)
    if len(ids) < max(count, 3):
        raise UserError(f"leaky_kfold:{count} needs at least {max(count, 3)} clips")
    found = []
    for at in range(count):
        rest = [i for k in range(1, count) for i in ids[(at + k) % count :: count]]
        cut = max(1, len(rest) // VALIDATION_SHARE)
        found.append(
            Fold(str(at + 1), tuple(rest[cut:]), tuple(rest[:cut]), tuple(ids[at::count]), True)
        )
    return found, [LEAKY_NOTE]


GENERIC_PROTOCOLS: dict[str, Callable[..., tuple[list[Fold], list[str]]]] = {
    "loso_session": _leave_one_session_out,
    "seed_half_session": _half_sessions,
    "group_kfold": _group_kfold,
    "leave_one_corpus_out": _leave_one_corpus_out,
    "leaky_kfold": _leaky_kfold,
}

"""Leaks of a split: test data that reaches training or model selection."""

from __future__ import annotations

import posixpath
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from emorec_tf.config.clip import Clip
from emorec_tf.datasets.corpora import DATASETS
from emorec_tf.datasets.corpus import take_named
from emorec_tf.datasets.discovery import is_media
from emorec_tf.datasets.speakers import normal_form
from emorec_tf.errors import UserError
from emorec_tf.splits.splits import natural

ROLES = ("train", "validation", "test")
PAIRS = (("train", "test"), ("validation", "test"), ("train", "validation"))
SHOWN = 5  # names in a line


@dataclass(frozen=True)
class Row:
    """One row of a split: a clip of a speaker has a role in a fold."""

    path: str
    speaker: str
    fold: str
    role: str
    recording: str  # the same for all names of one recording
    form: str  # of the path, the same for all its spellings


def recording_of(path: str) -> str:
    """Name the recording behind a path: one for RAVDESS's 01-, 02-, 03- and for a1.wav, a1.avi."""
    stem = posixpath.splitext(path)[0] if is_media(path) else path
    takes = ((name, take_named(corpus, stem)) for name, corpus in DATASETS.items())
    return next((f"{name} {take}" for name, take in takes if take), stem)


def leaks(
    rows: Sequence[Row], audio_hashes: Mapping[str, str] | None = None, leaky: bool = False
) -> list[str]:
    """Find what invalidates the results of a split: one line each, none where it is clean.

    Args:
        rows: all rows of all folds.
        audio_hashes: {path: hash of the decoded waveform}; paths without one are not compared.
        leaky: speakers, and so takes with equal audio, may be in two subsets.
    """
    hashes = {} if leaky or audio_hashes is None else audio_hashes
    by_fold: dict[str, list[Row]] = defaultdict(list)
    speakers: dict[str, set[str]] = defaultdict(set)
    tested: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        by_fold[row.fold].append(row)
        speakers[row.recording].add(normal_form(row.speaker))
        if row.role == "test":
            tested[row.recording].add(row.fold)
    ambiguous = [name for name, given in speakers.items() if len(given) > 1]
    twice = [name for name, folds in tested.items() if len(folds) > 1]
    found = [f"{some('recording', ambiguous)} given to more than one speaker"] if ambiguous else []
    for fold in sorted(by_fold, key=natural):
        found += [f"fold {fold}: {line}" for line in _of_fold(by_fold[fold], hashes, leaky)]
    if twice:
        folds = sorted(set().union(*(tested[name] for name in twice)), key=natural)
        found.append(f"{some('recording', twice)} scored twice: in test of folds {_list(folds)}")
    return found


def doubts(rows: Sequence[Row]) -> list[str]:
    """Find what is no leak but suspicious; one line each."""
    by_fold: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_fold[row.fold].append(row)
    found = _merged("speakers", rows, _speaker) + _merged("paths", rows, _path)
    for fold in sorted(by_fold, key=natural):
        subsets = {role: [r for r in by_fold[fold] if r.role == role] for role in ROLES}
        empty = [role for role in ROLES if not subsets[role]]
        found += [f"fold {fold}: nothing has the role {role}" for role in empty]
        found += [
            f"fold {fold}: {line} in train and validation, so the model is selected on speakers "
            "that it was trained on"
            for line in _in_both("speaker", subsets["train"], subsets["validation"], _speaker)
        ]
    tested = {r.recording for r in rows if r.role == "test"}
    dropped = {r.recording for r in rows} - tested
    if len(by_fold) > 1 and dropped:
        found.append(f"{some('recording', dropped)} dropped: in no fold's test")
    return found


def guard(
    clips_by_role: Mapping[str, Sequence[Clip]],
    audio_hashes: Mapping[str, str],
    leaky: bool = False,
) -> None:
    """Stop a run whose split leaks.

    Args:
        clips_by_role: the clips of ``train``, ``validation`` and ``test``.
        audio_hashes: {clip_id: hash of the decoded waveform}, of those clips that have one.
        leaky: the run leaks on purpose: speakers may be in two subsets, but no recording.

    Raises:
        UserError: naming the first leak.
    """
    rows = [
        # Ids are compared as they are: of one speaker, "1" and "01" may be two takes.
        Row(clip.clip_id, clip.speaker, "of this run", role, _recording_of_clip(clip), clip.clip_id)
        for role, clips in clips_by_role.items()
        for clip in clips
    ]
    found = leaks(rows, audio_hashes, leaky)
    if found:
        more = f" (and {len(found) - 1} more leaks)" if found[1:] else ""
        raise UserError(f"leak: {found[0]}{more}; split by speaker, each clip into one subset")


def some(what: str, names: Collection[str]) -> str:
    """Count and name: ``speaker 3``, ``7 paths (a.wav, b.wav, ...)``."""
    if len(names) == 1:
        return f"{what} {next(iter(names))}"
    return f"{len(names)} {what}s ({_list(sorted(names, key=natural))})"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def _recording_of_clip(clip: Clip) -> str:
    whole = not clip.start_seconds and clip.end_seconds is None
    part = "" if whole else f" from {clip.start_seconds:g} to {clip.end_seconds} s"
    return recording_of(clip.audio or clip.video or clip.clip_id) + part


def _of_fold(rows: Sequence[Row], hashes: Mapping[str, str], leaky: bool) -> list[str]:
    found = []
    counts = Counter((row.role, row.path) for row in rows)
    for role in ROLES:
        again = [path for (of, path), count in counts.items() if of == role and count > 1]
        if again:
            found.append(f"{some('path', again)} listed twice in {role}: did two runs write here?")
    for one, other in PAIRS:
        left = [row for row in rows if row.role == one]
        right = [row for row in rows if row.role == other]
        recordings = [_keys(subset, _recording).keys() for subset in (left, right)]
        if one == "validation" and left and recordings[0] == recordings[1]:
            found.append("validation and test are the same: model selection on the test set")
            continue
        lines = _of_pair(left, right, hashes, ask_speakers=other == "test" and not leaky)
        found += [f"{line} in {one} and {other}" for line in lines]
    return found


def _of_pair(
    left: Sequence[Row], right: Sequence[Row], hashes: Mapping[str, str], ask_speakers: bool
) -> list[str]:
    """Name what two subsets share, by speaker, by path, by recording and by audio."""
    found = _in_both("speaker", left, right, _speaker) if ask_speakers else []
    found += _in_both("path", left, right, _path)

    def twins(key: Callable[[Row], str], name: Callable[[Row], str]) -> list[tuple[str, str]]:
        a, b = _keys(left, key), _keys(right, key)
        both = sorted(a.keys() & b.keys())
        return [(a[k].path, b[k].path) for k in both if name(a[k]) != name(b[k])]

    named = twins(_recording, lambda row: row.form)
    equal = twins(lambda row: hashes.get(row.path, ""), _recording)
    for pairs, what in ((named, "recording under two names"), (equal, "audio under two names")):
        if pairs:
            count = "the same" if len(pairs) == 1 else f"{len(pairs)} times the same"
            found.append(f"{count} {what} ({' = '.join(pairs[0])})")
    return found


def _in_both(
    what: str, left: Sequence[Row], right: Sequence[Row], name: Callable[[Row], str]
) -> list[str]:
    """Name the speakers or the paths that are in both subsets, and those by two spellings."""
    ours, theirs = _spellings(left, name), _spellings(right, name)
    same, spelled = set(), []
    for form in sorted(ours.keys() & theirs.keys(), key=natural):
        if both := ours[form] & theirs[form]:
            same.add(min(both))
        else:
            spelled.append(f"{min(ours[form])!r} and {min(theirs[form])!r}")
    found = [some(what, same)] if same else []
    if spelled:
        found.append(f"same {what} under two spellings: {_list(spelled)}")
    return found


def _spellings(rows: Sequence[Row], name: Callable[[Row], str]) -> dict[str, set[str]]:
    """Return {normal form: all spellings} of the speakers or of the paths."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        found[row.form if name is _path else normal_form(row.speaker)].add(name(row))
    return found


def _merged(what: str, rows: Sequence[Row], name: Callable[[Row], str]) -> list[str]:
    """Name the speakers or the paths that are spelt in several ways and compared as one."""
    several = [sorted(names) for names in _spellings(rows, name).values() if len(names) > 1]
    named = [" = ".join(map(repr, names)) for names in sorted(several)]
    return [f"{what} of equal names compared as one: {_list(named)}"] if named else []


def _keys(rows: Sequence[Row], key: Callable[[Row], str]) -> dict[str, Row]:
    """Return {key: first row by path}; rows without the key are left out."""
    found: dict[str, Row] = {}
    for row in sorted(rows, key=_path):
        if key(row):
            found.setdefault(key(row), row)
    return found


def _recording(row: Row) -> str:
    return row.recording


def _speaker(row: Row) -> str:
    return row.speaker


def _path(row: Row) -> str:
    return row.path

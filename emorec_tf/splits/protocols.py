"""Protocols: training, validation and test speakers of each fold, fixed before any run.

A corpus's own protocols are manifests: data files with a hash, never drawn at run time. They hold
the test speakers used in the literature and add validation speakers from the training speakers,
which most of the originals lack. The generic protocols follow from sorted names alone, without a
random seed. ``folds`` fits either to the data and reports what does not fit.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from emorec_tf.config.clip import Clip
from emorec_tf.config.fields import nearest
from emorec_tf.datasets.speakers import normal_form
from emorec_tf.errors import UserError
from emorec_tf.splits import generic_folds
from emorec_tf.splits.generic_folds import GENERIC_PROTOCOLS, Fold, sha256
from emorec_tf.splits.splits import natural, speakers_of

FOLDER = Path(__file__).parent / "manifests"


def folds(
    protocol: str, clips: Sequence[Clip], allow_partial: bool = True
) -> tuple[list[Fold], list[str]]:
    """Fit a protocol to the data.

    Args:
        protocol: a manifest (``names``) or ``loso_session``, ``seed_half_session``,
            ``group_kfold:K``, ``leave_one_corpus_out``, ``leaky_kfold:K``.
        clips: all clips of the data.
        allow_partial: accept fewer speakers or clips than the manifest lists.

    Returns:
        The folds that can be run, and a note on everything that differs from the manifest.

    Raises:
        UserError: unknown protocol, none of its speakers in the data, too few speakers or clips,
            or, without ``allow_partial``, anything missing.
    """
    kind, _, number = protocol.partition(":")
    if kind in GENERIC_PROTOCOLS:
        return generic_folds.generate(kind, number, clips)
    if protocol not in names():
        known = [*names(), *GENERIC_PROTOCOLS]
        raise UserError(f"unknown protocol {protocol!r}; {nearest(protocol, known)}")
    found, notes = _fitted(protocol, manifest(protocol), clips)
    if notes and not allow_partial:
        more = f" (and {len(notes) - 1} more notes)" if len(notes) > 1 else ""
        raise UserError(f"{protocol}: {notes[0]}{more}; complete the data or use --allow_partial")
    return found, notes


def names() -> list[str]:
    """List the protocols that are manifests."""
    return sorted(p.stem.replace("_", "/", 1) for p in FOLDER.glob("*.yaml"))


@cache
def manifest(name: str) -> dict[str, Any]:
    """Read a manifest: source, sha256, clips (of the complete corpus), speakers, folds.

    A fold has ``test`` and ``validation``, and may have ``instead``: the test speakers if none of
    ``test`` is in the data. All other speakers train.

    Raises:
        UserError: the content does not match its hash.
    """
    path = FOLDER / f"{name.replace('/', '_', 1)}.yaml"
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    if digest(name, content) != content["sha256"]:
        raise UserError(f"{path} was edited by hand; reinstall emorec_tf, or use group_kfold")
    return content


def digest(name: str, content: dict[str, Any]) -> str:
    """Hash what determines the folds: sha256 of name, clips, speakers and folds as sorted JSON."""
    kept = {"name": name, **{key: content[key] for key in ("clips", "speakers", "folds")}}
    return sha256(json.dumps(kept, sort_keys=True, separators=(",", ":")))


def fingerprint(protocol: str, folds: Sequence[Fold]) -> str:
    """Hash the folds as they were run: eight hexadecimal digits, for the tables of a run."""
    subsets = [
        [f.name, f.train, f.validation, f.test, f.leaky]
        + [clips for clips in (f.test_clips, f.validation_clips) if clips]
        for f in folds
    ]
    return sha256(json.dumps([protocol, subsets]))[:8]


def _fitted(
    protocol: str, content: dict[str, Any], clips: Sequence[Clip]
) -> tuple[list[Fold], list[str]]:
    """Reduce a manifest's folds to the speakers in the data."""
    content = _as_spelled(content, speakers_of(clips))
    listed: list[str] = content["speakers"]
    present = [s for s in listed if s in {c.speaker for c in clips}]
    if not present:
        raise UserError(
            f"{protocol} has none of the speakers in the data ({_listed(speakers_of(clips))}); "
            "use a protocol of this corpus or group_kfold"
        )
    notes = []
    others = [s for s in speakers_of(clips) if s not in listed]
    if others:
        notes.append(f"{_listed(others)} left out: not in {protocol}")
    count = sum(c.speaker in listed for c in clips)
    if count < content["clips"]:
        notes.append(f"{count} of the {content['clips']} clips of {protocol} are in the data")
    found = []
    for fold in content["folds"]:
        test, note = _test_speakers(fold, present)
        notes += note
        if test:
            validation, note = _validation_speakers(fold, test, listed, present)
            notes += note
            train = tuple(s for s in present if s not in test + validation)
            found.append(Fold(fold["name"], train, validation, test))
    if not found:
        raise UserError(f"{protocol}: no test speaker is in the data; use group_kfold")
    return found, notes


def _as_spelled(content: dict[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """Give the manifest's speakers the spelling of the data: "1" is the data's "01"."""
    spelling = {normal_form(name): name for name in known}

    def spelled(names: Sequence[str]) -> list[str]:
        return [spelling.get(normal_form(name), name) for name in names]

    folds = [
        {key: value if key == "name" else spelled(value) for key, value in fold.items()}
        for fold in content["folds"]
    ]
    return {**content, "speakers": spelled(content["speakers"]), "folds": folds}


def _test_speakers(fold: dict[str, Any], present: list[str]) -> tuple[tuple[str, ...], list[str]]:
    test = tuple(s for s in fold["test"] if s in present)
    missing = [s for s in fold["test"] if s not in present]
    if not missing:
        return test, []
    gone = f"{_listed(missing)} {'is' if len(missing) == 1 else 'are'} not in the data"
    if test:
        return test, [f"fold named {fold['name']} tests only {_listed(test)}: {gone}"]
    instead = tuple(s for s in fold.get("instead", ()) if s in present)
    if instead:
        return instead, [f"fold named {fold['name']} tests {_listed(instead)} instead: {gone}"]
    return (), [f"fold named {fold['name']} left out: {gone}"]


def _validation_speakers(
    fold: dict[str, Any], test: tuple[str, ...], listed: list[str], present: list[str]
) -> tuple[tuple[str, ...], list[str]]:
    """Replace each speaker that is missing, or tests, by the next one of the manifest."""
    wanted: list[str] = fold["validation"]
    chosen = [s for s in wanted if s in present and s not in test]
    missing = [s for s in wanted if s not in chosen]
    substitutes = []
    for speaker in missing:
        at = listed.index(speaker)
        free = [s for s in listed[at:] + listed[:at] if s in present]
        free = [s for s in free if s not in test and s not in chosen]
        if len(free) > 1:  # one has to stay for training
            chosen.append(free[0])
            substitutes.append(free[0])
    if not missing:
        return tuple(chosen), []
    does = "validates" if len(substitutes) == 1 else "validate"
    stand_in = f"{_listed(substitutes)} {does}" if substitutes else "no speaker can validate"
    note = f"fold named {fold['name']}: {stand_in} in place of {_listed(missing)}, not in the data"
    return tuple(sorted(chosen, key=natural)), [note]


def _listed(speakers: Sequence[str]) -> str:
    text = ", ".join(speakers[:12]) + (f" and {len(speakers) - 12} more" if speakers[12:] else "")
    return f"speaker{'' if len(speakers) == 1 else 's'} {text}"

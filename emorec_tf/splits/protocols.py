"""Protocols: who trains, validates and tests in each fold, fixed in writing before any run.

A corpus's own protocols are manifests: data files with a hash, never drawn at run time. They hold
the test speakers that the literature uses and add validation speakers from the training side,
which most of the originals lack. The generic protocols follow from sorted names alone: no seed.
``folds`` fits either to the data at hand and says in words what does not fit.
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
from emorec_tf.errors import UserError
from emorec_tf.splits import generic_folds
from emorec_tf.splits.generic_folds import DEALERS, Fold, sha256
from emorec_tf.splits.splits import natural, speakers_of

FOLDER = Path(__file__).parent / "manifests"


def folds(
    protocol: str, clips: Sequence[Clip], allow_partial: bool = True
) -> tuple[list[Fold], list[str]]:
    """Fit a protocol to the data.

    Args:
        protocol: a manifest (``names``) or ``loso_session``, ``seed_half_session``,
            ``group_kfold:K``, ``leaky_kfold:K``.
        clips: all clips of the data.
        allow_partial: go on with fewer speakers or clips than the manifest promises.

    Returns:
        The folds that can be run, and one line for everything that is not as promised.

    Raises:
        UserError: unknown protocol, no speaker of it in the data, too few speakers or clips, or,
            without ``allow_partial``, anything missing.
    """
    kind, _, number = protocol.partition(":")
    if kind in DEALERS:
        return generic_folds.deal(kind, number, clips)
    if protocol not in names():
        raise UserError(f"unknown protocol {protocol!r}; {nearest(protocol, [*names(), *DEALERS])}")
    found, notes = _fitted(protocol, manifest(protocol), clips)
    if notes and not allow_partial:
        more = f" (and {len(notes) - 1} more such)" if len(notes) > 1 else ""
        raise UserError(f"{protocol}: {notes[0]}{more}; complete the data or use --allow_partial")
    return found, notes


def names() -> list[str]:
    """List the protocols that are manifests."""
    return sorted(p.stem.replace("_", "/", 1) for p in FOLDER.glob("*.yaml"))


@cache
def manifest(name: str) -> dict[str, Any]:
    """Read a manifest: source, sha256, clips (promised), speakers, folds.

    A fold has ``test`` and ``validation``, and may have ``instead``: who tests where nobody of
    ``test`` is in the data. Everybody else trains.

    Raises:
        UserError: the content is not what its hash was made from.
    """
    path = FOLDER / f"{name.replace('/', '_', 1)}.yaml"
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    if digest(name, content) != content["sha256"]:
        raise UserError(f"{path} was changed by hand; install emorec_tf anew, or use group_kfold")
    return content


def digest(name: str, content: dict[str, Any]) -> str:
    """Hash what decides the folds: sha256 of name, clips, speakers and folds as sorted JSON."""
    kept = {"name": name, **{key: content[key] for key in ("clips", "speakers", "folds")}}
    return sha256(json.dumps(kept, sort_keys=True, separators=(",", ":")))


def stamp(protocol: str, folds: Sequence[Fold]) -> str:
    """Eight hexadecimal digits of the folds as they were run, for the tables of a run."""
    sides = [
        [f.name, f.train, f.validation, f.test, f.leaky, *([f.test_clips] if f.test_clips else [])]
        for f in folds
    ]
    return sha256(json.dumps([protocol, sides]))[:8]


def _fitted(
    protocol: str, content: dict[str, Any], clips: Sequence[Clip]
) -> tuple[list[Fold], list[str]]:
    """Shrink a manifest's folds to the speakers that are there."""
    everybody: list[str] = content["speakers"]
    there = [s for s in everybody if s in {c.speaker for c in clips}]
    if not there:
        raise UserError(
            f"{protocol} knows none of the speakers in the data ({_listed(speakers_of(clips))}); "
            "use a protocol of this corpus or group_kfold"
        )
    notes = []
    strangers = [s for s in speakers_of(clips) if s not in everybody]
    if strangers:
        notes.append(f"{_listed(strangers)} left out: {protocol} does not know them")
    count = sum(c.speaker in everybody for c in clips)
    if count < content["clips"]:
        notes.append(f"{count} of the {content['clips']} clips of {protocol} are in the data")
    found = []
    for fold in content["folds"]:
        test, said = _test_side(fold, there)
        notes += said
        if test:
            validation, said = _validation_side(fold, test, everybody, there)
            notes += said
            train = tuple(s for s in there if s not in test + validation)
            found.append(Fold(fold["name"], train, validation, test))
    if not found:
        raise UserError(f"{protocol}: no test speaker is in the data; use group_kfold")
    return found, notes


def _test_side(fold: dict[str, Any], there: list[str]) -> tuple[tuple[str, ...], list[str]]:
    test = tuple(s for s in fold["test"] if s in there)
    missing = [s for s in fold["test"] if s not in there]
    if not missing:
        return test, []
    gone = f"{_listed(missing)} {'is' if len(missing) == 1 else 'are'} not in the data"
    if test:
        return test, [f"fold {fold['name']} tests only {_listed(test)}: {gone}"]
    instead = tuple(s for s in fold.get("instead", ()) if s in there)
    if instead:
        return instead, [f"fold {fold['name']} tests {_listed(instead)} instead: {gone}"]
    return (), [f"fold {fold['name']} left out: {gone}"]


def _validation_side(
    fold: dict[str, Any], test: tuple[str, ...], everybody: list[str], there: list[str]
) -> tuple[tuple[str, ...], list[str]]:
    """Let the next speaker of the manifest stand in for each that is missing or tests."""
    wanted: list[str] = fold["validation"]
    chosen = [s for s in wanted if s in there and s not in test]
    missing = [s for s in wanted if s not in chosen]
    substitutes = []
    for speaker in missing:
        at = everybody.index(speaker)
        free = [s for s in everybody[at:] + everybody[:at] if s in there]
        free = [s for s in free if s not in test and s not in chosen]
        if len(free) > 1:  # one has to stay for training
            chosen.append(free[0])
            substitutes.append(free[0])
    if not missing:
        return tuple(chosen), []
    does = "validates" if len(substitutes) == 1 else "validate"
    stand_in = f"{_listed(substitutes)} {does}" if substitutes else "nobody can validate"
    note = f"fold {fold['name']}: {stand_in} in place of {_listed(missing)}, not in the data"
    return tuple(sorted(chosen, key=natural)), [note]


def _listed(speakers: Sequence[str]) -> str:
    text = ", ".join(speakers[:12]) + (f" and {len(speakers) - 12} more" if speakers[12:] else "")
    return f"speaker{'' if len(speakers) == 1 else 's'} {text}"

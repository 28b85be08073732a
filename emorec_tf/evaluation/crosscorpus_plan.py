"""What a matrix of corpora trains and tests: training sets, folds, rows of trained models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emorec_tf.config.class_names import listing
from emorec_tf.config.clip import Clip, corpus_of
from emorec_tf.config.config import Config, build
from emorec_tf.config.fields import check
from emorec_tf.datasets.labels import class_names, labelled
from emorec_tf.errors import UserError
from emorec_tf.evaluation import crosscorpus_files as files
from emorec_tf.evaluation.corpus_scores import FEWEST_CLASSES
from emorec_tf.evaluation.crossvalidation import CrossValidation
from emorec_tf.records.records_dir import Records
from emorec_tf.splits import corpus_folds, leaks
from emorec_tf.splits.corpus_folds import Parts
from emorec_tf.splits.generic_folds import DEFAULT_FOLDS, Fold
from emorec_tf.splits.splits import speakers_of
from emorec_tf.training import experiment as experiments
from emorec_tf.training.run_dir import Run

ALL_SPEAKERS = "all speakers"
LEAVE_ONE_OUT = "leave_one_corpus_out"
# a model's probabilities [N, K] of clips, NaN of those that have nothing of what it uses, and the
# clips in the same order
Answers = Callable[[Sequence[Clip]], tuple[np.ndarray, Sequence[Clip]]]


@dataclass(frozen=True)
class Training:
    """One training set.

    Attributes:
        row: of the matrix.
        held_out: corpus that is left out; "": the row is a corpus.
        whole: one fold that trains on all its speakers.
        within: cross-validation inside the corpus; None: too few speakers, or several corpora.
        tested: corpora that the whole run is scored on.
    """

    row: str
    held_out: str
    whole: CrossValidation
    within: CrossValidation | None
    tested: tuple[str, ...]


@dataclass(frozen=True)
class ModelRow:
    """A trained model as a row.

    Attributes:
        name: of the row.
        run: its run directory, opened.
        answers: see ``Answers``; called once for each corpus.
    """

    name: str
    run: Run
    answers: Answers


@dataclass(frozen=True)
class Plan:
    """What is trained and tested. Made by ``plan``."""

    parts: Parts
    trainings: tuple[Training, ...] = ()
    models: tuple[ModelRow, ...] = ()
    settings: Config | None = None
    notes: tuple[str, ...] = ()


def plan(
    settings: Config | None, records: Records, folds: int, models: Sequence[ModelRow] = ()
) -> Plan:
    """Plan all trainings, and stop at the first leak; nothing is trained.

    Args:
        settings: complete, as ``experiment.resolve`` gives them; None: only models are rows.
        records: hold all corpora.
        folds: of the cross-validation within a corpus; fewer where speakers are few.
        models: further rows.

    Raises:
        UserError: one corpus, a target other than emotions, no class in common, or a leak.
    """
    check(folds >= 2, "folds", folds, "at least 2")
    dataset = str(records.manifest["dataset"])
    if settings is None:
        return Plan(by_corpus(records.clips, dataset), models=tuple(models))
    experiments.check_speakers(records, leaky=False)
    check(settings.data.target == "emotion", "target", settings.data.target, "emotion here")
    parts = by_corpus(labelled(records.clips, settings.data), dataset)
    if len(parts) < 2:
        raise UserError(
            f"records {records.folder} hold one corpus, {dataset}; give several folders joined by "
            "commas, or prepare with --dataset a+b"
        )
    _check_classes(parts)
    notes: list[str] = []
    trainings = [_of_corpus(settings, records, parts, name, folds, notes) for name in parts]
    if len(parts) > 2:  # of two, the other one is all others
        trainings += [_of_others(settings, records, parts, name, notes) for name in parts]
    _check_leaks(parts, trainings, records.audio_hashes)
    return Plan(parts, tuple(trainings), tuple(models), settings, tuple(dict.fromkeys(notes)))


def by_corpus(clips: Sequence[Clip], dataset: str) -> dict[str, list[Clip]]:
    """Group clips by corpus, in the order of the dataset's name."""
    found: dict[str, list[Clip]] = {name: [] for name in dataset.split("+")}
    for clip in clips:
        found.setdefault(corpus_of(clip.speaker, dataset), []).append(clip)
    return {name: part for name, part in found.items() if part}


def _of_corpus(
    settings: Config, records: Records, parts: Parts, name: str, folds: int, notes: list[str]
) -> Training:
    """Train on one corpus."""
    own = {name: parts[name]}
    whole = corpus_folds.whole(name, own)
    inside = corpus_folds.within(parts[name], folds)
    if not inside:
        notes.append(f"{name} has one speaker: no cross-validation within it")
    elif len(inside) != folds:
        notes.append(f"{name} has {len(speakers_of(parts[name]))} speakers: {len(inside)} folds")
    protocol = f"group_kfold:{len(inside)}"
    return Training(
        row=name,
        held_out="",
        whole=_cross_validation(settings, records, own, ALL_SPEAKERS, [whole], notes),
        within=_cross_validation(settings, records, own, protocol, inside, notes)
        if inside
        else None,
        tested=tuple(other for other in parts if other != name and _comparable(own, parts[other])),
    )


def _of_others(
    settings: Config, records: Records, parts: Parts, name: str, notes: list[str]
) -> Training:
    """Train on all corpora but one."""
    others = {other: part for other, part in parts.items() if other != name}
    fold = corpus_folds.whole(name, others, parts[name])
    planned = _cross_validation(settings, records, others, LEAVE_ONE_OUT, [fold], notes)
    return Training(files.ALL_OTHERS, name, planned, None, (name,))


def _cross_validation(
    settings: Config,
    records: Records,
    parts: Parts,
    protocol: str,
    folds: Sequence[Fold],
    notes: list[str],
) -> CrossValidation:
    """Give settings the classes of these corpora, and no more inner folds than they allow."""
    own = class_names(clip.emotion for part in parts.values() for clip in part)
    values: dict[str, Any] = {}
    if settings.data.classes not in ("7", "8"):
        values["classes"] = listing(own)
    elif len(own) != int(settings.data.classes):
        raise UserError(
            f"classes {settings.data.classes}: {' + '.join(parts)} has {len(own)} "
            f"({', '.join(own)}); merge them in prepare, and leave the setting out here"
        )
    fewest = min(len({*fold.train, *fold.validation}) for fold in folds)
    values["inner_folds"] = inner = _inner_folds(settings, len(parts), fewest)
    if inner != settings.train.inner_folds:
        text = f"inner_folds is {inner} for {' + '.join(parts)} ({protocol})"
        notes.append(f"{text}: {fewest} speakers to train on")
    return CrossValidation(build(values, settings), records, protocol, tuple(folds), ())


def _inner_folds(settings: Config, corpora: int, speakers: int) -> int:
    """As many inner folds as asked for, or as the speakers of the training subset allow."""
    asked: Any = settings.train.inner_folds
    if not isinstance(asked, int):  # one for each corpus
        if corpora > 1:
            return asked
        asked = DEFAULT_FOLDS
    return asked if asked <= speakers else (speakers if speakers > 1 else 0)


def _check_classes(parts: Parts) -> None:
    found = {name: {clip.emotion for clip in part} for name, part in parts.items()}
    for name, own in found.items():
        others = set().union(*(theirs for other, theirs in found.items() if other != name))
        if len(own & others) < FEWEST_CLASSES:
            raise UserError(
                f"{name} shares fewer than two emotions with the other corpora "
                f"({', '.join(sorted(own))}); leave it out"
            )


def _comparable(trained: Parts, tested: Sequence[Clip]) -> bool:
    """Whether a training set and a corpus have enough classes in common."""
    known = {clip.emotion for part in trained.values() for clip in part}
    return len(known & {clip.emotion for clip in tested}) >= FEWEST_CLASSES


def _check_leaks(
    parts: Parts, trainings: Sequence[Training], audio_hashes: Mapping[str, str]
) -> None:
    """Stop at a recording that is on both sides of a training and its test."""
    clips = [clip for part in parts.values() for clip in part]
    for training in trainings:
        for fold in training.within.folds if training.within else ():
            leaks.guard(fold.clips(clips), audio_hashes)
        subsets = training.whole.folds[0].clips(clips)
        subsets["test"] = [clip for name in training.tested for clip in parts[name]]
        leaks.guard(subsets, audio_hashes)

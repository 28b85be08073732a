"""Cross-validation: folds times random seeds, each an ordinary run that is then scored.

Resumable: a finished fold is left alone. Several processes may share the folds of one folder.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emorec_tf.config.clip import Clip
from emorec_tf.config.config import Config, build, comparable, flat
from emorec_tf.config.fields import check
from emorec_tf.datasets import corpora
from emorec_tf.datasets.labels import classes_by_corpus, classes_of, labelled, lacking_line
from emorec_tf.errors import UserError
from emorec_tf.evaluation import completeness, crossval_files, score_run, summary
from emorec_tf.evaluation.environment import machine, versions
from emorec_tf.evaluation.fold_training import Work, train_fold
from emorec_tf.records.records_dir import Records
from emorec_tf.splits import leaks, protocols, splits
from emorec_tf.splits.generic_folds import GENERIC_PROTOCOLS, RESTRICTED, Fold
from emorec_tf.storage import resumable
from emorec_tf.storage.files import write_atomically
from emorec_tf.storage.locks import alone
from emorec_tf.training import checks, stages
from emorec_tf.training import experiment as experiments
from emorec_tf.training.enrolment import scored_clips
from emorec_tf.training.experiment import Experiment
from emorec_tf.training.run_dir import Run

KIND = resumable.Kind(
    "cross-validation",
    crossval_files.FACTS,
    "--run",
    {
        "config": "",
        "protocol_stamp": "protocol {protocol} of other folds",
        "steps": "a config or run of pretrain has changed",
    },
    rest="seed-*/fold-*/run.json",
    spelled={"config": comparable},
)
DECIDED = "protocol and random seeds decide"
SET_BY_PROTOCOL = ("train_speakers", "validation_speakers", "test_speakers", "seed")
SUBSETS = ("train", "validation", "test")
PEOPLE = "people are not identified: subsets of the corpus's own split stand for speakers"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class CrossValidation:
    """What is cross-validated, and by which folds. Made by ``plan``.

    Attributes:
        settings: complete, as ``experiment.resolve`` gives them.
        records: of these settings.
        protocol: its name.
        folds: the protocol's, as far as they fit the records.
        notes: what is not as the protocol has it.
    """

    settings: Config
    records: Records
    protocol: str
    folds: tuple[Fold, ...]
    notes: tuple[str, ...]

    def chosen(self, positions: str | None) -> list[Fold]:
        """Pick folds by a comma list of positions from 0; None: all.

        Raises:
            UserError: no such fold.
        """
        if positions is None:
            return list(self.folds)
        known = ", ".join(f"{i} (named {f.name})" for i, f in enumerate(self.folds[:12]))
        found = []
        for word in positions.split(","):
            if not word.strip().isdecimal() or int(word) >= len(self.folds):
                raise UserError(f"folds: {word.strip()!r} is none; there are {known}")
            found.append(self.folds[int(word)])
        return found

    def label(self, fold: Fold) -> str:
        """The fold as ``--folds`` counts it, with its stored name."""
        return completeness.fold_label([f.name for f in self.folds], fold.name)

    def experiment(self, fold: Fold, seed: int) -> Experiment:
        """The experiment of one fold and seed; its settings name the speakers of the fold."""
        values: dict[str, Any] = {"seed": seed}
        if not fold.leaky:
            for subset in SUBSETS:
                values[f"{subset}_speakers"] = ",".join(getattr(fold.split, subset))
            if not fold.test:
                values["test_speakers"] = splits.NO_SPEAKERS
        return experiments.make(build(values, self.settings), self.records, fold.split)


def without_decided(given: Mapping[str, Any], single: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out, and log, settings that the protocol and the random seeds decide.

    Args:
        given: {setting: value}.
        single: those of them that the caller named one by one.

    Raises:
        UserError: one of these is named there.
    """
    for name in [n for n in SET_BY_PROTOCOL if given.get(n) is not None]:
        if single.get(name) is not None:
            raise UserError(f"crossval takes no {name}: {DECIDED}; leave it out")
        _LOG.info("note: %s of config is not used; %s", name, DECIDED)
    return {name: value for name, value in given.items() if name not in SET_BY_PROTOCOL}


def plan(
    settings: Config, records: Records, protocol: str | None, allow_partial: bool = False
) -> CrossValidation:
    """Fit a protocol to the records and stop at the first leak; nothing is trained.

    Args:
        settings: complete, as ``experiment.resolve`` gives them.
        records: of these settings.
        protocol: its name, such as "group_kfold:5".
        allow_partial: go on with fewer speakers or clips than the protocol has.

    Raises:
        UserError: no or an unknown protocol, one that does not fit, or a leak.
    """
    if protocol is None:
        own = [n for n in protocols.names() if n.split("/")[0] == settings.data.dataset]
        raise UserError(
            f"crossval needs --protocol; for {settings.data.dataset} there are "
            f"{', '.join([*own, *GENERIC_PROTOCOLS])}"
        )
    clips = labelled(records.clips, settings.data)
    generic = protocol.partition(":")[0] in GENERIC_PROTOCOLS
    folds, notes = protocols.folds(protocol, clips if generic else records.clips, allow_partial)
    experiments.check_speakers(records, folds[0].leaky)
    if folds[0].leaky and settings.data.adapt:
        raise UserError("--adapt has no meaning where every speaker is known; drop it")
    if folds[0].test_clips and settings.data.adapt:
        raise UserError(f"{protocol} is speaker-independent; drop --adapt")
    if protocol in RESTRICTED and settings.data.target_scale == "bins":
        notes = [*notes, *_restriction(clips)]
    if corpora.parts_of(settings.data.dataset):
        notes = [*notes, PEOPLE]
    hashes = records.audio_hashes
    for fold in folds:
        leaks.guard(fold.clips(clips), hashes, fold.leaky)
    return CrossValidation(settings, records, protocol, tuple(folds), tuple(notes))


def _restriction(clips: Sequence[Clip]) -> list[str]:
    """Declare how a corpus that lacks classes is scored."""
    lacking = lacking_line(classes_by_corpus(clips))
    rule = "each fold is scored among the classes of its corpus: the probabilities of the others "
    return [f"{rule}are set to zero and the rest is renormalised ({lacking})"] if lacking else []


def crossval(
    planned: CrossValidation,
    folder: Path,
    *,
    seeds: int = 3,
    folds: Sequence[Fold] | None = None,
    overwrite: bool = False,
    command: str = "",
    robustness: bool = True,
) -> dict[str, Any]:
    """Train, score and join one fold after the other, by seeds 0, 1, 2, ...

    Args:
        planned: by ``plan``.
        folder: for all folds.
        seeds: how many.
        folds: those to do here; None: all.
        overwrite: throw away what an earlier cross-validation left in the folder.
        command: that does the same, to be noted in crossval.json.
        robustness: measure it in the folds that are scored here.

    Returns:
        Metrics of all folds that are done.

    Raises:
        UserError: settings that cannot be trained on a fold, or another cross-validation in the
            way. Then nothing was written.
    """
    check(seeds >= 1, "seeds", seeds, "at least 1")
    folds = planned.folds if folds is None else folds
    facts = _facts(planned, seeds, command)
    if not resumable.check(folder, facts, KIND, overwrite, _stored):
        check_folds(planned, folds, folder)
    _begin(folder, facts, overwrite)
    for note in planned.notes:
        _LOG.info("note: %s", note)
    for seed in range(seeds):
        for fold in folds:
            _one(planned, fold, seed, folder, robustness)
    return crossval_files.join(folder)


def check_folds(
    planned: CrossValidation, folds: Sequence[Fold], folder: Path, networks: bool = True
) -> None:
    """Refuse what any fold's training would refuse; nothing is written.

    Args:
        planned: has settings and records.
        folds: of it.
        folder: for all folds.
        networks: build them too; they are the same in all folds.

    Raises:
        UserError: so it would.
    """
    for number, fold in enumerate(folds):
        experiment = planned.experiment(fold, 0)
        before = stages.plan(experiment, folder.parent / stages.FOLDER)
        checks.check_clips(experiment, before)
        if networks and number == 0:
            checks.check_networks(experiment, before)


def _facts(planned: CrossValidation, seeds: int, command: str) -> dict[str, Any]:
    """What crossval.json says before anything is trained."""
    settings, records, folds = planned.settings, planned.records, planned.folds
    clips = labelled(records.clips, settings.data)
    tested = [c for fold in folds for c in fold.clips(clips)["test"]]
    subsets = [{"name": f.name} | f.split.facts for f in folds]
    subsets = [{k: v for k, v in s.items() if k != "leaky"} for s in subsets]
    return {
        "protocol": planned.protocol,
        "protocol_stamp": protocols.fingerprint(planned.protocol, folds),
        "notes": list(planned.notes),
        "leaky": folds[0].leaky,
        "mode": settings.data.mode,
        "enrol": settings.data.adapt,
        **({} if settings.data.adapt_by == "speaker" else {"adapt_by": settings.data.adapt_by}),
        "seeds": list(range(seeds)),
        "folds": [{k: v for k, v in s.items() if k in SUBSETS or v != ()} for s in subsets],
        "done": [],
        "config": flat(settings),
        "steps": stages.fingerprints(settings),
        "dataset": settings.data.dataset,
        "target": settings.data.target,
        "target_scale": settings.data.target_scale,
        "label_meaning": records.manifest["label_meaning"],
        "licence": records.manifest["licence"],
        "classes": classes_of(clips, settings.data),
        "clips_to_score": len(scored_clips(tested, settings.data, 0)),
        "versions": versions(),
        "machine": machine(),
        "command": command,
    }


def _begin(folder: Path, facts: dict[str, Any], overwrite: bool) -> None:
    """Write the plan, or find the same one there; more seeds than before are added to it.

    Raises:
        UserError: another plan, or something that is no cross-validation, is in the way.
    """
    with alone(folder / ".lock"):
        stored = resumable.begin_or_resume(folder, facts, KIND, overwrite, _stored)
        if stored:
            facts = {**stored, "seeds": max(stored["seeds"], facts["seeds"], key=len)}
        write_atomically(folder / KIND.file, json.dumps(facts, indent=1))


def _stored(folder: Path) -> dict[str, Any]:
    found = {"steps": {}, **crossval_files.planned(folder)}  # older versions have no stages
    return {**found, "config": {**flat(Config()), **found["config"]}}  # and fewer settings


def _one(planned: CrossValidation, fold: Fold, seed: int, folder: Path, robustness: bool) -> None:
    """Train and score one fold by one seed, and join; nothing if that was done."""
    label = planned.label(fold)

    def score(run: Run) -> None:
        metrics = score_run.evaluate(run, planned.records, planned.protocol, robustness=robustness)
        score = f"{run.task.score.upper()} {metrics[run.task.score]:.3f}"
        _LOG.info("seed %d, %s: %s %s", seed, label, summary.speaker_mode(metrics), score)

    work = Work(
        name=f"{label} of seed {seed} in {folder}",
        title=f"seed {seed}, {label}",
        target=crossval_files.fold_folder(folder, seed, fold.name),
        shared=folder.parent / stages.FOLDER,  # cross-validations beside each other share stages
        is_done=crossval_files.is_done,
        score=score,
    )
    train_fold(lambda: planned.experiment(fold, seed), work)
    crossval_files.join(folder)

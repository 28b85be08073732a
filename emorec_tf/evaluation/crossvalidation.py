"""Cross-validation: a protocol's folds times seeds, each an ordinary run that is then scored.

Resumable: a finished fold is left alone. Several processes may share the folds of one folder.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emorec_tf import __version__
from emorec_tf.config.config import Config, build, flat
from emorec_tf.config.fields import check
from emorec_tf.datasets import corpora
from emorec_tf.datasets.labels import classes_of, labelled
from emorec_tf.errors import UserError
from emorec_tf.evaluation import crossval_files, score_run, summary
from emorec_tf.records.records_dir import Records
from emorec_tf.splits import leaks, protocols
from emorec_tf.splits.generic_folds import GENERIC_PROTOCOLS, Fold
from emorec_tf.storage import resumable
from emorec_tf.storage.files import write_atomically
from emorec_tf.storage.locks import alone
from emorec_tf.training import checks, run_dir, stages, train_run
from emorec_tf.training import experiment as experiments
from emorec_tf.training.enrolment import scored_clips
from emorec_tf.training.experiment import Experiment

KIND = resumable.Kind(
    "cross-validation",
    crossval_files.FACTS,
    "--run",
    {
        "config": "",
        "protocol_stamp": "protocol {protocol} of other folds",
        "steps": "a config of pretrain has changed",
    },
    rest="seed-*/fold-*/run.json",
)
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
        known = ", ".join(f"{i} (fold {f.name})" for i, f in enumerate(self.folds[:12]))
        found = []
        for word in positions.split(","):
            if not word.strip().isdecimal() or int(word) >= len(self.folds):
                raise UserError(f"folds: {word.strip()!r} is none; there are {known}")
            found.append(self.folds[int(word)])
        return found

    def experiment(self, fold: Fold, seed: int) -> Experiment:
        """The experiment of one fold and seed; its settings name the speakers of the fold."""
        values: dict[str, Any] = {"seed": seed}
        if not fold.leaky:
            for subset in ("train", "validation", "test"):
                values[f"{subset}_speakers"] = ",".join(getattr(fold.split, subset))
        return experiments.make(build(values, self.settings), self.records, fold.split)


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
    if folds[0].leaky and settings.data.enrol:
        raise UserError("--enrol has no meaning where every speaker is known; drop it")
    if folds[0].test_clips and settings.data.enrol:
        raise UserError(f"{protocol} is speaker-independent; drop --enrol")
    if corpora.parts_of(settings.data.dataset):
        notes = [*notes, PEOPLE]
    hashes = records.audio_hashes
    for fold in folds:
        leaks.guard(fold.clips(clips), hashes, fold.leaky)
    return CrossValidation(settings, records, protocol, tuple(folds), tuple(notes))


def crossval(
    planned: CrossValidation,
    folder: Path,
    *,
    seeds: int = 3,
    folds: Sequence[Fold] | None = None,
    overwrite: bool = False,
    command: str = "",
) -> dict[str, Any]:
    """Train, score and join one fold after the other, by seeds 0, 1, 2, ...

    Args:
        planned: by ``plan``.
        folder: for all folds.
        seeds: how many.
        folds: those to do here; None: all.
        overwrite: throw away what an earlier cross-validation left in the folder.
        command: that does the same, to be noted in crossval.json.

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
        _check(planned, folds, folder)
    _begin(folder, facts, overwrite)
    for note in planned.notes:
        _LOG.info("note: %s", note)
    for seed in range(seeds):
        for fold in folds:
            _one(planned, fold, seed, folder)
    return crossval_files.join(folder)


def _check(planned: CrossValidation, folds: Sequence[Fold], folder: Path) -> None:
    """Refuse what any fold's training would refuse."""
    for number, fold in enumerate(folds):
        experiment = planned.experiment(fold, 0)
        before = stages.plan(experiment, folder.parent / stages.FOLDER)
        for own in [experiment, *(experiment.with_settings(stage.settings) for stage in before)]:
            checks.check_clips(own)
        if number == 0:  # networks are the same in all folds
            checks.check_networks(experiment, before)


def _facts(planned: CrossValidation, seeds: int, command: str) -> dict[str, Any]:
    """What crossval.json says before anything is trained."""
    settings, records, folds = planned.settings, planned.records, planned.folds
    clips = labelled(records.clips, settings.data)
    tested = [c for fold in folds for c in fold.clips(clips)["test"]]
    splits = [{"name": f.name} | dataclasses.asdict(f.split) for f in folds]
    return {
        "protocol": planned.protocol,
        "protocol_stamp": protocols.fingerprint(planned.protocol, folds),
        "notes": list(planned.notes),
        "leaky": folds[0].leaky,
        "mode": settings.data.mode,
        "enrol": settings.data.enrol,
        "seeds": list(range(seeds)),
        "folds": [{k: v for k, v in s.items() if k != "leaky" and v != ()} for s in splits],
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
        "versions": _versions(),
        "machine": _machine(),
        "command": command,
    }


def _versions() -> dict[str, str]:
    """Versions of what decides the scores."""
    import keras
    import tensorflow as tf

    return {
        "emorec_tf": __version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
    }


def _machine() -> str:
    """Name the kind of machine, not the machine."""
    import tensorflow as tf

    graphics = [
        tf.config.experimental.get_device_details(d).get("device_name", "GPU")
        for d in tf.config.list_physical_devices("GPU")
    ]
    parts = [platform.system(), platform.machine(), f"{os.cpu_count()} cores", *graphics]
    return ", ".join(parts)


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
    return {"steps": {}, **crossval_files.planned(folder)}  # files of older versions have no stages


def _one(planned: CrossValidation, fold: Fold, seed: int, folder: Path) -> None:
    """Train and score one fold by one seed, and join; nothing if that was done."""
    import keras

    target = crossval_files.fold_folder(folder, seed, fold.name)
    lock = target.with_name(f".{target.name}.lock")
    work = f"fold {fold.name} of seed {seed} in {folder}"
    with alone(lock, f"another process is at work on {work}; give each its own --folds, or wait"):
        experiment = planned.experiment(fold, seed)
        if crossval_files.is_done(target):
            if run_dir.load(target).config != experiment.settings:
                raise UserError(f"{target} has other settings; give another --run, or remove it")
            return
        _LOG.info("\nseed %d, fold %s", seed, fold.name)
        keras.utils.clear_session()
        # cross-validations beside each other share stages
        shared = folder.parent / stages.FOLDER
        run = train_run.train(experiment, target, shared_stages=shared)
        metrics = score_run.evaluate(run_dir.load(run.folder), planned.records, planned.protocol)
        score = f"{run.task.score.upper()} {metrics[run.task.score]:.3f}"
        _LOG.info("seed %d, fold %s: %s %s", seed, fold.name, summary.speaker_mode(metrics), score)
    crossval_files.join(folder)

"""Start from a trained model on other clips: its features or branches, a head for their labels.

A model with a classical head gets a new one of the same kind on its features. A network gets a new
head on its branches, which stay as they are, and with ``unfreeze`` is then trained whole. Of an
ensemble, each member is treated so. The result is a run as any other.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from emorec_tf.config.config import (
    Config,
    DataConfig,
    FeaturesConfig,
    TrainConfig,
)
from emorec_tf.config.given import refuse_others
from emorec_tf.datasets import detection
from emorec_tf.errors import UserError
from emorec_tf.records import cached_records, joining
from emorec_tf.records.records_dir import Records
from emorec_tf.storage.files import write_atomically
from emorec_tf.training import experiment as experiments
from emorec_tf.training import (
    model_parts,
    model_store,
    run_dir,
    source_runs,
    stages,
    train_run,
)
from emorec_tf.training.experiment import Experiment
from emorec_tf.training.model_parts import Part
from emorec_tf.training.run_dir import Run

FEWEST = 2  # training clips of a class
INNER_FOLDS = 4  # of a classical head, where there are as many speakers
SMALLER = 0.1  # learning rate of the whole network, as part of that of its head
# of a network's training; flags go before them
DEFAULTS = {"epochs": 60, "patience": 10, "learning_rate": 1e-3, "batch_size": 32}
DECIDED = ("pretrain", "freeze_branches", "refit")  # by the model
_LOG = logging.getLogger(__name__)


def finetune(
    model: str | Path,
    source: str | Path | None = None,
    *,
    records: str | Path | Records | None = None,
    run: str | Path | None = None,
    unfreeze: bool = False,
    overwrite: bool = False,
    show_progress: bool = False,
    **settings: Any,
) -> Run:
    """Train a model on other labelled clips; go on where the same call stopped.

    Args:
        model: a name of ``list_models()``, or a run's folder.
        source: folder of the clips; they are prepared in the cache folder.
        records: records of the model's features, in place of ``source``.
        run: folder to write; None: ``runs/NAME-tuned``.
        unfreeze: after the new head, train the branches too. For networks alone.
        overwrite: remove an earlier run in that folder.
        show_progress: draw a progress bar while clips are decoded.
        settings: single settings of data and training, such as ``dataset="ravdess"``,
            ``label_map="calm=neutral"``, ``test_speakers="none"`` or ``epochs=20``.

    Raises:
        UserError: no such model, one that cannot be trained on, too few clips, speakers or classes,
            or test speakers that the model was trained on.

    >>> emorec_tf.finetune("runs/demo-concat", records="records", run="runs/mine", epochs=1,
    ...     label_map="sad=neutral", test_speakers="actor04", validation_speakers="actor03")
    Run('runs/mine', 2 classes, validation UAR ...)
    """
    for name in DECIDED:
        if name in settings:
            raise UserError(f"finetune takes no {name}: the model decides it")
    refuse_others("finetune", settings, {*vars(DataConfig()), *vars(TrainConfig())} - {*DECIDED})
    folder = model_store.folder_of(model)
    model_store.check_sums(folder)
    old = run_dir.load(folder)
    if not old.classes:
        raise UserError(f"{folder} predicts a rating; only models of classes are fine-tuned")
    opened = _records(old, source, records, settings, show_progress)
    target = Path(run or f"runs/{folder.resolve().name}-tuned")
    parts = model_parts.usable(model_parts.of_model(old), opened)
    first = target.parent / stages.FOLDER
    made, configs = _experiment(parts, opened, settings, first / target.name)
    _check(made)
    for file, text in configs.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, text)
    _warn(old, made)
    if unfreeze:
        made = _after_head(made, parts, first / f"{target.name}-head", overwrite, settings)
    return train_run.train(made, target, overwrite=overwrite)


def _records(
    old: Run,
    source: str | Path | None,
    records: str | Path | Records | None,
    settings: Mapping[str, Any],
    show_progress: bool,
) -> Records:
    """Open the records, or prepare the clips by the model's features.

    Raises:
        UserError: neither or both, or records of other features.
    """
    if (source is None) == (records is None):
        raise UserError("finetune needs --source FOLDER of labelled clips, or --records, not both")
    if source is not None:
        names = ("label", "channel", "modality")
        given = {name: settings[name] for name in names if name in settings}
        dataset = settings.get("dataset") or detection.recognised(str(source))
        features = old.config.features
        return cached_records.of_source(
            source, dataset, features, show_progress=show_progress, **given
        )
    opened = records if isinstance(records, Records) else joining.open_all(str(records))
    if other := other_features(old, opened.features):
        raise UserError(
            f"records {opened.folder} have other features than {old.folder.name} "
            f"({', '.join(other)}); give --source, whose clips are prepared as it needs them"
        )
    return opened


def other_features(run: Run, features: FeaturesConfig) -> list[str]:
    """Names of the features that differ from those of a run, as far as it uses them."""
    theirs = vars(run.config.features)
    kinds = {name: "face" if name.startswith("face_") else "audio" for name in theirs}
    ours = vars(features)
    return [n for n in theirs if theirs[n] != ours[n] and kinds[n] in run.modalities]


def _experiment(
    parts: list[Part], records: Records, given: Mapping[str, Any], place: Path
) -> tuple[Experiment, dict[Path, str]]:
    """Complete the settings; those of an ensemble's members are texts of files in ``place``."""
    train = {name: value for name, value in given.items() if name in vars(TrainConfig())}
    data = {n: v for n, v in given.items() if n not in train or n == "seed"}
    draft, _ = experiments.resolve({**data, "records": str(records.folder)})
    split = experiments.make(draft, records)
    speakers = len({clip.speaker for clip in split.train_and_validation})
    tuned = [_tuned(part, train, len(split.train), speakers) for part in parts]
    chosen, model = tuned[0]
    files: dict[Path, str] = {}
    if len(parts) > 1:
        for part, (own, network) in zip(parts, tuned, strict=True):
            values = {**vars(network), **vars(own)}
            files[place / f"{part.name}.yaml"] = yaml.safe_dump(values, sort_keys=False)
        model = dataclasses.replace(Config().model, ensemble=",".join(map(str, files)))
        size = min(own.batch_size for own, _ in tuned)
        chosen = dataclasses.replace(TrainConfig(), refit=True, batch_size=size, seed=chosen.seed)
    settings = dataclasses.replace(draft, model=model, train=chosen)
    return experiments.make(settings, records, split.split), files


def _tuned(
    part: Part, given: Mapping[str, Any], clips: int, speakers: int
) -> tuple[TrainConfig, Any]:
    """Settings of training and model for one network."""
    old, model = part.settings.train, part.settings.model
    values: dict[str, Any] = {"pretrain": None, "freeze_branches": False}
    if part.source is not None and model_parts.has_branch_weights(part.source):
        values["pretrain"] = str(part.source.folder.resolve())
    if stages.has_classifier(part.settings):
        folds = old.inner_folds if isinstance(old.inner_folds, int) else INNER_FOLDS
        folds = min(folds, speakers)
        values |= {"refit": True, "inner_folds": folds if folds > 1 else 0, **given}
    else:
        frozen = values["pretrain"] is not None
        values |= {"freeze_branches": frozen, "refit": False, "inner_folds": 0, "augment": False}
        values |= {**DEFAULTS, **given}
    size = values.get("batch_size", old.batch_size)
    train = dataclasses.replace(old, **{**values, "batch_size": max(1, min(size, clips))})
    return train, model


def _check(made: Experiment) -> None:
    """Refuse clips that are too few.

    Raises:
        UserError: one class, or fewer than two training clips of one.
    """
    counts = Counter(clip.emotion for clip in made.train)
    if len(made.classes) > 1:  # one class is refused by training
        few = [f"{name} {counts[name]}" for name in made.classes if counts[name] < FEWEST]
        if few:
            raise UserError(
                f"too few training clips: {', '.join(few)}; a class needs at least {FEWEST}, of "
                f"speakers that are neither tested nor validated on"
            )


def _warn(old: Run, made: Experiment) -> None:
    """Say that the model knows the corpus."""
    known, dataset = source_runs.trained_on(old), made.settings.data.dataset
    both = [name for name in dataset.split("+") if name in known]
    if both:
        _LOG.warning(
            "%s was trained on %s, so nothing about these clips is new to it: scores of speakers "
            "it knows are too good",
            old.folder.name,
            ", ".join(both),
        )


def _after_head(
    made: Experiment, parts: list[Part], place: Path, overwrite: bool, given: Mapping[str, Any]
) -> Experiment:
    """Train the head, and return the experiment that trains the whole network from there.

    Raises:
        UserError: an ensemble, a classical head, or branches without weights.
    """
    settings = made.settings
    if len(parts) > 1 or stages.has_classifier(settings) or settings.train.pretrain is None:
        raise UserError(
            f"unfreeze: {' and '.join(part.name for part in parts)} has a classical head or "
            f"branches without weights, so there is nothing more to train; leave it out"
        )
    head = train_run.train(made, place, overwrite=overwrite)
    rate = settings.train.learning_rate * SMALLER
    train = dataclasses.replace(
        settings.train, pretrain=str(head.folder), freeze_branches=False, learning_rate=rate
    )
    if "augment" not in given:
        train = dataclasses.replace(train, augment=True)
    return made.with_settings(dataclasses.replace(settings, train=train))

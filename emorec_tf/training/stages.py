"""Pretraining stages: branches or ensemble members, each a run of its own that is trained first.

A stage takes model and training from its own config; data, features, split and seed from the run
that needs it, so no stage is trained on a speaker that the run is tested on. Stages lie in
``first/`` beside the run (or the cross-validation), named by all that decides them: runs beside
each other share them. A finished run in their list is not trained again: see ``source_runs``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorec_tf.config import choices, config_files, spellings
from emorec_tf.config.config import (
    LATER,
    RENAMED,
    Config,
    ModelConfig,
    TrainConfig,
    build,
    flat,
    read_yaml,
    section_of,
)
from emorec_tf.config.flags import checked
from emorec_tf.errors import UserError
from emorec_tf.storage.locks import alone
from emorec_tf.storage.paths import copy
from emorec_tf.training import run_dir, source_runs
from emorec_tf.training.run_dir import Run

if TYPE_CHECKING:
    from emorec_tf.training.experiment import Experiment

FOLDER = "first"  # of stages, beside the runs that share them
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """A run that is trained first."""

    file: Path  # its config
    folder: Path
    settings: Config

    def facts(self, folder: Path) -> dict[str, Any]:
        """What the run.json in ``folder`` says of this stage before it is trained."""
        return {"config": str(self.file), "folder": os.path.relpath(self.folder, folder)}


def has_classifier(settings: Config) -> bool:
    """Whether a classical head is asked for."""
    return choices.parse(settings.model.classifier)[0] != "none"


@contextlib.contextmanager
def naming(file: Path) -> Iterator[None]:
    """Put the config of a stage or an ensemble member before what is refused of it."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{file}: {error}") from error


def configs_of(settings: Config) -> dict[Path, Config]:
    """Settings of each stage by the file of its config, in order.

    Raises:
        UserError: no such config, or one that has stages itself.
    """
    files = [path for path in files_of(settings.train.pretrain or "") if path.is_file()]
    if settings.model.ensemble:
        files = files_of(settings.model.ensemble, "ensemble")
    return {file: of_file(file, settings) for file in files}


def sources_of(settings: Config) -> list[Run]:
    """Open the finished runs that a run starts from.

    Raises:
        UserError: no such run, or one that is not finished.
    """
    if settings.model.ensemble:
        return []
    names = files_of(settings.train.pretrain or "")
    return source_runs.opened(path for path in names if not path.is_file())


def plan(experiment: Experiment, folder: Path) -> list[Stage]:
    """Name the stages and their folders in ``folder``; nothing is trained or written here.

    Raises:
        UserError: no such config, or one that has stages itself.
    """
    found = []
    for file, settings in configs_of(experiment.settings).items():
        name = f"{file.stem}-{run_fingerprint(experiment.with_settings(settings))}"
        found.append(Stage(file, folder / name, settings))
    return found


def fingerprints(settings: Config) -> dict[str, str]:
    """Fingerprint of model and training of each stage by its config, of source runs by name."""
    found = {
        str(file): fingerprint(
            first_named(vars(own.model)),
            first_named({**vars(own.train), "seed": 0}),
            *_source_fingerprints(own),
        )
        for file, own in configs_of(settings).items()
    }
    return found | dict(_source_fingerprints(settings))


def _source_fingerprints(settings: Config) -> list[tuple[str, str]]:
    """Name and checksum of each source run."""
    return [*source_runs.fingerprints(sources_of(settings)).items()]


def run_fingerprint(experiment: Experiment) -> str:
    """Fingerprint of all that decides a run."""
    split = experiment.split.facts
    settings, defaults = flat(experiment.settings), flat(Config())
    known = {k: v for k, v in settings.items() if k not in LATER or v != defaults[k]}
    sources = _source_fingerprints(experiment.settings)
    return fingerprint(first_named(known), list(experiment.classes), split, *sources)


def first_named(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they were first named and spelled, so that a rename changes no fingerprint."""
    old = {new: old for old, new in RENAMED.items()}
    return {old.get(n, n): spellings.first(n, value) for n, value in values.items()}


def fingerprint(*facts: Any) -> str:
    """Eight hexadecimal digits that change with any of these facts."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]


def files_of(names: str, setting: str = "pretrain") -> list[Path]:
    """Find the configs of a comma list: files, or names of configs that come with the package.

    ``pretrain`` may also name runs, by folder or as a model; their folders are returned.

    Raises:
        UserError: no such file or run.
    """
    found = []
    for name in [n.strip() for n in names.split(",") if n.strip()]:
        source = source_runs.folder_of(name) if setting == "pretrain" else None
        try:
            what = "config or run" if setting == "pretrain" else "config"
            file = config_files.file_of(name, what)
        except UserError as error:
            if source is None:
                raise UserError(f"{setting}: {error}") from error
            file = source
        found.append(file)
    return found


def of_file(file: Path, settings: Config) -> Config:
    """Model and training of a stage's config, with the rest of the run that needs it.

    Raises:
        UserError: the config has stages or a classifier itself, or an unknown choice.
    """
    values = read_yaml(file)
    given = {k: v for k, v in values.items() if section_of(k) in ("model", "train")}
    given = checked(given, file, ModelConfig, TrainConfig)
    with naming(file):
        own = build(given)
    classifier = has_classifier(own) and settings.model.ensemble is None
    staged = any(path.is_file() for path in files_of(own.train.pretrain or ""))
    if staged or own.model.ensemble or classifier:
        raise UserError(f"pretrain: {file} has stages of its own; name those here instead")
    with naming(file):
        for kind in choices.NETWORK:
            choices.check(kind, getattr(own.model, kind))
    same = {name: getattr(settings.train, name) for name in ("seed", "precision", "jit")}
    if settings.model.ensemble and "precision" in values:
        same["precision"] = own.train.precision  # a network of its own
    train = dataclasses.replace(own.train, **same)
    return dataclasses.replace(settings, model=own.model, train=train)


def run_all(stages: Sequence[Stage], run: Run, train: Callable[[Stage], Run]) -> Run:
    """Train the stages that are not trained yet; write their scores to the run's run.json.

    Args:
        stages: in order; each is trained by one process at a time.
        run: that needs them.
        train: trains one.
    """
    import keras

    scores: dict[str, Mapping[str, Any]] = {}
    for stage in stages:
        with alone(stage.folder.with_name(f".{stage.folder.name}.lock")):
            done = finished(stage.folder)
            _LOG.info("first: %s%s", stage.file, ", trained already" if done else "")
            keras.utils.clear_session()
            done = done or train(stage)
        reached = done.scores(done.history)
        score = max(reached) if done.config.train.keep == "best" else reached[-1]
        scores[stage.folder.name] = stage.facts(run.folder) | {f"val_{done.task.score}": score}
    run = dataclasses.replace(run, steps=scores)
    run_dir.write_facts(run)
    return run


def finished(folder: Path) -> Run | None:
    """Open a run if its training is finished; the temperature is written last."""
    run = run_dir.load(folder) if (folder / "run.json").exists() else None
    return run if run and run.is_finished() and run.temperature is not None else None


def adopt(run: Run, experiment: Experiment, folder: Path) -> None:
    """Copy a finished stage in ``folder`` that is identical: same settings, data and split."""
    for stage in sorted(folder.glob(f"*-{run_fingerprint(experiment)}")):
        done = finished(stage)
        if done and done.unused == run.unused and not run.history:
            _LOG.info("trained already, as a stage of another run: %s", stage)
            for name in [n for n in run_dir.RESULTS if (stage / n).exists()]:
                copy(stage / name, run.folder / name)

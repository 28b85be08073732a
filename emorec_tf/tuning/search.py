"""A search: what all its trials share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from emorec_tf.config import config
from emorec_tf.config.config import Config, flat
from emorec_tf.config.fields import check, option
from emorec_tf.errors import UserError
from emorec_tf.evaluation import crossvalidation
from emorec_tf.records.records_dir import Records
from emorec_tf.training import experiment as experiments
from emorec_tf.training.experiment import Experiment
from emorec_tf.tuning import search_files, search_space
from emorec_tf.tuning.axes import Axis


@dataclass(frozen=True)
class Tuner:
    """What chooses the trials, and how many."""

    tuner: Literal["random", "bayesian", "hyperband"] = option(
        "random",
        "search algorithm; hyperband: starts many trials with few epochs and continues the best",
    )
    trials: int = option(
        20, "largest number of trials; with hyperband, a continued trial counts again"
    )
    factor: int | None = option(
        None,
        "hyperband continues one trial in this many (default: the smallest, from 3, that fits "
        "--trials)",
        expert=True,
    )
    failures: int = option(3, "stop after this many failed trials in a row", expert=True)

    def __post_init__(self) -> None:
        """Refuse impossible searches."""
        check(self.trials >= 1, "trials", self.trials, "at least 1")
        check(self.failures >= 1, "failures", self.failures, "at least 1")
        check(self.factor is None or self.factor >= 2, "factor", self.factor, "at least 2")


@dataclass(frozen=True)
class Search:
    """What all trials share. Made by ``make``.

    Attributes:
        folder: of the search.
        experiment: settings that trials vary, records and split.
        space: axes that are searched.
        tuner: what chooses.
        facts: what plan.json says.
    """

    folder: Path
    experiment: Experiment
    space: Sequence[Axis]
    tuner: Tuner = field(default_factory=Tuner)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Config:
        """Settings that trials vary."""
        return self.experiment.settings

    @property
    def score(self) -> str:
        """Column of history.csv that is maximised."""
        return f"val_{self.experiment.task.score}"

    def run_folder(self, trial_id: str) -> Path:
        """Run directory of a trial."""
        return self.folder / "trials" / trial_id

    def file(self, trial_id: str, suffix: str = ".json") -> Path:
        """The result of a trial, or another file beside its run."""
        return self.folder / "trials" / f"{trial_id}{suffix}"

    def result(self, trial_id: str) -> dict[str, Any] | None:
        """Read how a trial went; None while it is not done."""
        try:
            found = json.loads(self.file(trial_id).read_text(encoding="utf-8"))
            return found if isinstance(found, dict) and "status" in found else None
        except (OSError, ValueError):
            return None


def make(
    folder: Path,
    experiment: Experiment,
    section: Mapping[str, Any],
    tuner: Tuner,
    protocol: str | None = None,
    command: str = "",
) -> Search:
    """Check a ``search:`` section and make the search.

    Args:
        folder: of the search.
        experiment: by ``nested``.
        section: axes by name, as YAML gives them.
        tuner: what chooses.
        protocol: that the split is a fold of.
        command: the equivalent command line, stored in the plan.

    Raises:
        UserError: an axis that cannot be searched.
    """
    assigned = ("epochs",) if tuner.tuner == "hyperband" else ()
    named = search_space.present_names(section, experiment.settings)
    section = search_files.spelled_as_before(folder, named, experiment.settings)
    space = search_space.read(section, experiment.settings, assigned)
    facts = {
        "config": flat(experiment.settings),
        "search": section,
        "tuner": tuner.tuner,
        "factor": tuner.factor,
        "protocol": protocol,
        "split": experiment.split.facts,
        "command": command,
    }
    return Search(folder, experiment, space, tuner, facts)


def nested(
    settings: Config,
    records: Records,
    protocol: str | None = None,
    fold: int = 0,
    allow_partial: bool = False,
) -> tuple[Experiment, tuple[str, ...]]:
    """Make the experiment of a search; its settings name the speakers of every subset.

    So ``best.yaml`` means the same speakers.

    Args:
        settings: complete, as ``experiment.resolve`` gives them.
        records: of these settings.
        protocol: takes the speakers of a fold of it; None: those of ``settings.data``.
        fold: position of the fold.
        allow_partial: go on with fewer speakers or clips than the protocol has.

    Returns:
        The experiment, and notes on the protocol.

    Raises:
        UserError: an impossible split, or a protocol that is leaky or does not fit.
    """
    notes: tuple[str, ...] = ()
    split = None
    if protocol is not None:
        planned = crossvalidation.plan(settings, records, protocol, allow_partial)
        (chosen,) = planned.chosen(str(fold))
        if chosen.leaky:
            raise UserError(f"{protocol} knows every speaker; a search on it says nothing")
        split, notes = chosen.split, planned.notes
    found = experiments.make(settings, records, split)
    subsets = ("train", "validation", "test")
    names = {f"{subset}_speakers": ",".join(getattr(found.split, subset)) for subset in subsets}
    return found.with_settings(config.build(names, settings)), notes

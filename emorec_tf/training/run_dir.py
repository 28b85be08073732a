"""The run directory: everything that later commands need; each file is written atomically.

``config.yaml`` resolved settings, ``run.json`` classes, split and where the data came from,
``history.csv`` one line per epoch, ``best.keras`` and ``last.keras`` models with optimiser state,
``temperature.json`` what logits are divided by, ``familiarity.npz`` what clips are compared with.
``evaluate`` adds ``metrics.json``, ``predictions.csv`` and ``robustness.csv``.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from emorec_tf import __version__
from emorec_tf.config import choices
from emorec_tf.config.config import Config, build, comparable, flat, renamed, to_yaml
from emorec_tf.config.fields import nearest
from emorec_tf.errors import UserError
from emorec_tf.records.records_dir import Records
from emorec_tf.splits.splits import Split
from emorec_tf.storage import paths, resumable
from emorec_tf.storage.files import read_csv, rows_to_csv, write_atomically
from emorec_tf.tasks import familiarity_file, tasks
from emorec_tf.tasks.familiarity import Familiarity
from emorec_tf.tasks.joint_familiarity import JointFamiliarity, joint
from emorec_tf.training.model_files import load_model as load_model
from emorec_tf.training.model_files import save_model as save_model

NO_MATTER = ("cache",)  # settings that do not affect the result
OTHER_DATA = "the records hold other speakers or classes"
KIND = resumable.Kind(
    "run",
    "run.json",
    "--run",
    {
        "config": "",
        "split": OTHER_DATA,
        "classes": OTHER_DATA,
        "stages": "a config or run of pretrain has changed",
    },
)
INNER_ANSWERS = "inner_answers.npz"  # of inner cross-validation
SHIFT_ANSWERS = "shift_answers.npz"  # of heads that were fitted to the other corpora
FAMILIARITY = "familiarity.npz"
FEATURE_STANDARD = "feature_standard.npz"  # by which a speaker-independent run is adapted
# files that training writes; an identical run copies them
RESULTS = ("best.keras", "last.keras", "refitted.keras", "history.csv", "temperature.json",
           INNER_ANSWERS, SHIFT_ANSWERS, FAMILIARITY, FEATURE_STANDARD)  # fmt: skip


@dataclass(frozen=True, repr=False)
class Run:
    """A run directory, and what it was started with."""

    folder: Path
    config: Config
    classes: tuple[str, ...]
    split: Split
    source: Mapping[str, Any]  # dataset, licence, label meaning
    # pretraining stages by name of their folder: config, folder and, when done, score
    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unused: tuple[str, ...] = ()  # modalities that no training clip has: switched off
    # packaged models that it is made of, in place of weights of its own: name, folder, sha256
    members: tuple[Mapping[str, str], ...] = ()
    # finished runs whose branches were its first weights: see ``source_runs.facts``
    started_from: tuple[Mapping[str, Any], ...] = ()

    def __repr__(self) -> str:
        """One line: folder, what it answers, its score."""
        what = f"{len(self.classes)} classes" if self.classes else self.config.data.target
        return f"Run({str(self.folder)!r}, {what}, {self._score()})"

    def _score(self) -> str:
        name, parts = self.task.score, ", ".join(facts["name"] for facts in self.members)
        try:
            found = json.loads((self.folder / "metrics.json").read_text(encoding="utf-8"))
            return f"test {name.upper()} {found[name]:.2f}"
        except (OSError, ValueError, KeyError, TypeError):  # not scored yet
            if parts:
                return f"made of {parts}"
            scores = self.scores(self.history)
        last = scores[-1:] if self.config.train.keep == "last" else [max(scores, default=0)]
        return f"validation {name.upper()} {last[0]:.2f}" if scores else "not trained yet"

    @property
    def task(self) -> tasks.Task:
        """What the model learns, and how that is scored."""
        return tasks.of(self.config.data, self.classes)

    @property
    def modalities(self) -> tuple[str, ...]:
        """What the network uses of a clip: audio, face, or both; of an ensemble mostly both."""
        uses: tuple[str, ...] = ("audio", "face")
        if not self.config.model.ensemble:
            uses = choices.facts("fusion", self.config.model.fusion).uses
        return tuple(kind for kind in uses if kind not in self.unused)

    @property
    def model_file(self) -> Path:
        """The model that ``evaluate`` and ``predict`` use."""
        return self.folder / "refitted.keras" if self.config.train.refit else self.validated_file

    @property
    def validated_file(self) -> Path:
        """The model before ``refit``, without the validation speakers: it gives the temperature."""
        return self.folder / f"{self.config.train.keep}.keras"

    @property
    def history(self) -> list[dict[str, str]]:
        """One row per finished epoch."""
        path = self.folder / "history.csv"
        return read_csv(path) if path.exists() else []

    @property
    def temperature(self) -> float | None:
        """What logits are divided by; None where it was not fitted, or to an earlier epoch.

        Raises:
            UserError: it is no number above 0.
        """
        try:
            found = json.loads((self.folder / "temperature.json").read_text(encoding="utf-8"))
            value, fits = float(found["temperature"]), found["epochs"] == len(self.history)
        except (OSError, ValueError, KeyError, TypeError):  # then it is fitted again
            return None
        if not 0 < value < math.inf:
            raise UserError(
                f"{self.folder / 'temperature.json'} is damaged: temperature is {value:g}; delete "
                f"it, and evaluate fits it again"
            )
        return value if fits else None

    @property
    def unfamiliar_slope(self) -> float:
        """How fast the temperature grows with unfamiliarity; 0 where it does not."""
        return familiarity_file.slope_in(self.folder / "temperature.json")

    @property
    def familiarity_file(self) -> Path:
        """What clips are compared with, where the run has it."""
        return self.folder / FAMILIARITY

    @property
    def familiarity(self) -> Familiarity | JointFamiliarity | None:
        """What clips are compared with; None of a run that has none; damage is a UserError."""
        if not self.members:
            return familiarity_file.of_file(self.familiarity_file)
        runs = [load(self.folder / facts["folder"]) for facts in self.members]
        return joint(
            (familiarity_file.of_file(r.familiarity_file), r.temperature or 1.0, r.unfamiliar_slope)
            for r in runs
        )

    def is_finished(self, epochs: int | None = None) -> bool:
        """Whether training is over after this many epochs (None: all finished ones)."""
        if self.members:
            return True  # nothing of it was trained
        history = self.history[:epochs]
        done, settings = len(history), self.config.train
        if done >= settings.epochs or (history and "loss" not in history[-1]):
            return True  # without a loss, nothing is trained by gradient: one epoch
        if not settings.patience or not history:
            return False
        return done - best_epoch(self.scores(history)) >= settings.patience

    def scores(self, history: Sequence[Mapping[str, str]]) -> list[float]:
        """What each epoch reached on the validation speakers."""
        return [float(row[f"val_{self.task.score}"]) for row in history]


def best_epoch(scores: Sequence[float]) -> int:
    """Number (from 1) of the best epoch, the later one of equals."""
    return max(range(1, len(scores) + 1), key=lambda e: (scores[e - 1], e))


def check(wanted: Run, overwrite: bool = False) -> bool:
    """Whether a run was started by the same settings; nothing is written.

    Raises:
        UserError: a run of other settings, or something that is no run, is in the way.
    """
    return resumable.check(wanted.folder, _plan(wanted), KIND, overwrite, _stored) is not None


def create(wanted: Run, overwrite: bool = False) -> Run:
    """Make a run directory, or open the one that the same settings have started.

    Raises:
        UserError: see ``check``.
    """
    if resumable.begin_or_resume(wanted.folder, _plan(wanted), KIND, overwrite, _stored):
        return reopen(wanted)
    write_atomically(wanted.folder / "config.yaml", to_yaml(wanted.config))
    write_facts(wanted)
    return wanted


def reopen(wanted: Run) -> Run:
    """Open an existing run with the current settings, where the differences do not matter."""
    return dataclasses.replace(load(wanted.folder), config=wanted.config)


def source_of(records: Records) -> dict[str, Any]:
    """The part of the records' manifest that a run stores."""
    kept = ["dataset", "licence", "label_meaning", "label"]
    kept += ["speakers"] if records.unnamed else []
    return {k: records.manifest[k] for k in kept}


def _plan(run: Run) -> dict[str, Any]:
    return {
        "config": {k: v for k, v in comparable(flat(run.config)).items() if k not in NO_MATTER},
        "split": run.split.facts,
        "classes": run.classes,
        "stages": [*sorted(run.steps), *sorted(facts["sha256"] for facts in run.started_from)],
    }


def _stored(folder: Path) -> dict[str, Any]:
    return _plan(load(folder))


def write_facts(run: Run) -> None:
    """Write run.json."""
    facts: dict[str, Any] = {
        "emorec_tf": __version__,
        "classes": run.classes,
        "split": run.split.facts,
        "source": run.source,
        "steps": run.steps,
    }
    if run.unused:
        facts["unused"] = run.unused
    if run.members:
        facts["members"] = run.members
    if run.started_from:
        facts["started_from"] = run.started_from
    write_atomically(run.folder / "run.json", json.dumps(facts, indent=1))


def load(folder: str | Path) -> Run:
    """Open a run directory.

    Raises:
        UserError: no run there (with the nearest names), or a damaged one.
    """
    folder = paths.place(folder)
    if not (folder / "run.json").exists():
        beside = [p.parent.name for p in folder.parent.glob("*/run.json")]
        hint = nearest(folder.name, beside) if beside else "train one first"
        raise UserError(f"no run in {folder}; {hint}")
    try:
        facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        settings = renamed(yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")))
        names = facts["split"]
        train, validation, test = (tuple(names[s]) for s in ("train", "validation", "test"))
        chosen = (tuple(names.get(key, ())) for key in ("test_clips", "validation_clips"))
        split = Split(train, validation, test, bool(names.get("leaky", False)), *chosen)
        classes, steps = tuple(facts["classes"]), facts.get("steps", {})
        unused = tuple(facts.get("unused", ()))
        members = tuple(map(_member, facts.get("members", ())))
        started_from = tuple(facts.get("started_from", ()))
        more = steps, unused, members, started_from
        return Run(folder, build(settings), classes, split, facts["source"], *more)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        line = " ".join(str(error).split())[:200]
        raise UserError(f"run {folder} is damaged ({line}); train it again") from error


def _member(facts: Mapping[str, Any]) -> dict[str, str]:
    """Check what run.json says of a model that a packaged ensemble refers to."""
    found = {name: str(facts[name]) for name in ("name", "folder", "sha256")}
    beside = found["folder"].removeprefix("../")
    if beside in ("", "..", found["folder"]) or Path(beside).name != beside:
        raise ValueError(f"member {found['name']} is not beside it")
    return found


def write_history(run: Run, rows: list[dict[str, Any]]) -> None:
    """Write the table of epochs."""
    write_atomically(run.folder / "history.csv", rows_to_csv(rows))

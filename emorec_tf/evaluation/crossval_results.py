"""Results of a cross-validation, read back from its files and checked. No TensorFlow.

``crossval.json`` facts, ``predictions.csv`` the out-of-fold predictions, ``temperatures.csv``,
``robustness.csv`` and one ``history.csv`` per seed and fold. A cross-validation that was shared
out over machines is several such folders; ``joined`` makes one of them again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf.config.config import renamed
from emorec_tf.config.fields import nearest
from emorec_tf.datasets.corpora import parts_of
from emorec_tf.errors import UserError
from emorec_tf.evaluation.comparison import Predictions
from emorec_tf.evaluation.completeness import fold_label, fold_names, scope
from emorec_tf.evaluation.crossval_files import EMOTION, FACTS
from emorec_tf.storage.files import read_csv
from emorec_tf.tasks import tasks

NEEDED = ("protocol", "protocol_stamp", "mode", "leaky", "classes", "seeds", "folds", "dataset",
          "target", "target_scale")  # fmt: skip
# parts of one run may lie elsewhere and share out the seeds; all else must be equal
MAY_DIFFER = ("records", "run", "seed", "source", "workers")
MODES = ("unseen", "enrolled")
TEMPERATURES = ("temperature", "ece_before", "ece_after", "nll_before", "nll_after")
Table = list[dict[str, str]]


@dataclass(frozen=True)
class FinishedRun:
    """Out-of-fold predictions, one per clip and seed, and what is known of them."""

    name: str
    folders: tuple[Path, ...]
    facts: Mapping[str, Any]
    clip_ids: np.ndarray  # this and the next: [N] of str
    speakers: np.ndarray
    labels: np.ndarray
    seeds: np.ndarray
    folds: np.ndarray
    heard: np.ndarray  # [N] of bool: the clip has audio
    seen: np.ndarray  # [N] of bool: a face was found
    truth: np.ndarray  # [N] of class ids, or of ratings
    answers: np.ndarray  # [N, K] of probabilities, or [N] of ratings
    baselines: np.ndarray  # [N] of ratings: the mean of the training clips; [N] of NaN for classes
    temperatures: Table
    robustness: Table
    histories: Mapping[tuple[str, str], Table]  # by seed and fold

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the columns of ``answers``; () where ratings are estimated."""
        return tuple(self.facts["classes"])

    @property
    def task(self) -> tasks.Task:
        """What was learned."""
        return tasks.of_facts(self.facts)

    @property
    def target(self) -> str:
        """What was learned, in words."""
        return str(self.facts["target"]) + (" (ratings)" if self.task.rating else "")

    @property
    def missing(self) -> list[str]:
        """What was planned and is not done yet: "fold 2 (named 3) of seed 1"."""
        done = set(zip(self.seeds, self.folds, strict=True))
        pairs = [(str(s), name) for s in self.facts["seeds"] for name in fold_names(self.facts)]
        return [f"{self.label(fold)} of seed {s}" for s, fold in pairs if (s, fold) not in done]

    def label(self, fold: str) -> str:
        """A fold as ``crossval --folds`` counts it, with its stored name."""
        return fold_label(fold_names(self.facts), fold)

    @property
    def scope(self) -> str:
        """What part of the protocol was scored: "3 of 6 folds, 128 of 1,440 clips"; "": all."""
        return scope(self.facts, len(set(self.folds)), len(set(self.clip_ids)))

    @property
    def mode(self) -> str:
        """What the model knows of test speakers; in a leaky run they are in all subsets."""
        if not self.leaky and parts_of(str(self.facts["dataset"])):
            return "unidentified"
        return "known" if self.leaky else str(self.facts["mode"])

    @property
    def leaky(self) -> bool:
        """Whether the same speakers are in all subsets."""
        return bool(self.facts["leaky"])

    def predictions(self) -> Predictions:
        """Return the predictions in the form that runs are compared in."""
        ids = tuple(f"{c}@{s}" for c, s in zip(self.clip_ids, self.seeds, strict=True))
        protocol = f"{self.facts['protocol']} {self.facts['protocol_stamp']} {self.mode}"
        speakers, labels = tuple(map(str, self.speakers)), tuple(map(str, self.labels))
        return Predictions(self.name, protocol, self.classes, ids, speakers, labels, self.answers)


def read(folder: str | Path) -> FinishedRun:
    """Read the folder of a run.

    Raises:
        UserError: no such run, a damaged file, or speakers in two subsets of a fold.
    """
    folder = Path(folder)
    facts = _facts(folder)
    rows = _table(folder / "predictions.csv", needed=True)
    try:
        answers = _answers(rows, tasks.of_facts(facts))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder / 'predictions.csv'} is damaged ({error}); run crossval again to repair it"
        ) from error
    task = tasks.of_facts(facts)
    run = FinishedRun(
        name=folder.resolve().name,
        folders=(folder,),
        facts=facts,
        **answers,
        temperatures=_table(folder / "temperatures.csv", TEMPERATURES),
        robustness=_table(
            folder / "robustness.csv", task.reported[1:], ("condition", "seed", "fold")
        ),
        histories=_histories(folder, ("epoch", "val_loss", f"val_{task.score}")),
    )
    _check_subsets(run)
    return run


def joined(runs: Sequence[FinishedRun]) -> list[FinishedRun]:
    """Make one run of those that did different folds or seeds of one plan.

    Returns:
        The runs in the order given, each name once (a second "cv" becomes "cv-2").
    """
    found: list[FinishedRun] = []
    for run in runs:
        parts = [i for i, other in enumerate(found) if _are_parts(other, run)]
        if parts:
            found[parts[0]] = _join(found[parts[0]], run)
        else:
            found.append(run)
    used: Counter[str] = Counter()
    for at, run in enumerate(found):
        used[run.name] += 1
        if used[run.name] > 1:
            found[at] = replace(run, name=f"{run.name}-{used[run.name]}")
    return found


def _are_parts(first: FinishedRun, second: FinishedRun) -> bool:
    plans, done = [], []
    for run in (first, second):
        config = run.facts.get("config", {})
        plan = {k: run.facts[k] for k in NEEDED if k != "seeds"}
        plans.append([plan, {k: v for k, v in config.items() if k not in MAY_DIFFER}])
        done.append(set(zip(run.seeds, run.folds, strict=True)))
    return plans[0] == plans[1] and not done[0] & done[1]


def _join(first: FinishedRun, second: FinishedRun) -> FinishedRun:
    arrays = {
        key: np.concatenate([value, getattr(second, key)])
        for key, value in vars(first).items()
        if isinstance(value, np.ndarray)
    }
    facts = {
        **first.facts,
        "seeds": sorted({*first.facts["seeds"], *second.facts["seeds"]}),
        "notes": list(dict.fromkeys([*first.facts["notes"], *second.facts["notes"]])),
        "seconds": first.facts.get("seconds", 0) + second.facts.get("seconds", 0),
        "command": f"{first.facts.get('command', '')}\n{second.facts.get('command', '')}",
    }
    return replace(
        first,
        **arrays,
        folders=first.folders + second.folders,
        facts=facts,
        temperatures=first.temperatures + second.temperatures,
        robustness=first.robustness + second.robustness,
        histories={**first.histories, **second.histories},
    )


def _facts(folder: Path) -> dict[str, Any]:
    path = folder / FACTS
    if not path.is_file():
        beside = [p.parent.name for p in folder.parent.glob(f"*/{FACTS}")]
        hint = nearest(folder.name, beside) if beside else "make one: python -m emorec_tf.crossval"
        raise UserError(f"no cross-validated run in {folder}; {hint}")
    try:
        facts = EMOTION | json.loads(path.read_text(encoding="utf-8"))
        facts["config"] = renamed(facts.get("config", {}))
        lacking = [key for key in NEEDED if key not in facts]
        unnamed = not tasks.of_facts(facts).rating and not facts["classes"]
        if lacking or facts["mode"] not in MODES or not facts["folds"] or unnamed:
            raise ValueError(f"no {', '.join(lacking or ['such values as crossval writes'])}")
        for fold in facts["folds"]:
            _ = [fold[key] for key in ("name", "train", "validation", "test")]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); run crossval again to repair it") from error
    return {"notes": [], **facts}


def _histories(folder: Path, columns: Sequence[str]) -> dict[tuple[str, str], Table]:
    found = {}
    for path in sorted(folder.glob("seed-*/fold-*/history.csv")):
        key = (path.parent.parent.name[len("seed-") :], path.parent.name[len("fold-") :])
        table = _table(path, columns)
        if all("loss" in row for row in table):  # else there is no curve: not trained by gradient
            found[key] = table
    return found


def _table(
    path: Path, numbers: Sequence[str] = (), words: Sequence[str] = (), needed: bool = False
) -> Table:
    """Read a CSV that has these columns; an absent one is empty unless it is needed."""
    if not path.is_file() and not needed:
        return []
    try:
        rows = read_csv(path)
        for row in rows:
            _ = [row[name] for name in words], [float(row[name]) for name in numbers]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; run crossval first") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); run crossval again to repair it") from error
    if any(None in row.values() or None in row for row in rows) or (needed and not rows):
        raise UserError(f"{path} is cut off or empty; run crossval again to repair it")
    return rows


def _answers(rows: Table, task: tasks.Task) -> dict[str, np.ndarray]:
    keys = {"clip_ids": "clip_id", "speakers": "speaker", "labels": "label"}
    keys |= {"seeds": "seed", "folds": "fold"}
    found = {name: np.array([row[key] for row in rows]) for name, key in keys.items()}
    for at in np.flatnonzero(~np.isin(found["labels"], list(task.classes) or found["labels"])):
        raise ValueError(f"line {at + 2}: {rows[at]['label']!r} is no class")
    found["truth"], found["answers"] = task.read(rows)
    found["baselines"] = np.array([float(row.get("baseline", "nan")) for row in rows])
    truths = {"0": False, "1": True, "False": False, "True": True}
    found["heard"] = np.array([truths[row["audio_present"]] for row in rows])
    found["seen"] = np.array([float(row["faces_found"]) > 0 for row in rows])
    for at in np.flatnonzero(~_possible(found, task)):
        wrong = "probabilities do not add up to 1" if task.classes else "a rating beyond 1 to 5"
        raise ValueError(f"line {at + 2}: {wrong}")
    twice = Counter((row["clip_id"], row["seed"]) for row in rows).most_common(1)[0]
    if twice[1] > 1:
        raise ValueError(f"clip {twice[0][0]} is answered twice with seed {twice[0][1]}")
    return found


def _possible(found: Mapping[str, np.ndarray], task: tasks.Task) -> np.ndarray:
    """Which predictions are valid, [N]: shares that add up to 1, or ratings from 1 to 5."""
    answers = found["answers"]
    if task.classes:
        return (np.abs(answers.sum(1) - 1) < 0.01) & (answers >= 0).all(1)
    rated = np.stack([answers, found["truth"], found["baselines"]])
    return ((rated >= 1) & (rated <= 5)).all(0)


def _check_subsets(run: FinishedRun) -> None:
    """Refuse predictions about speakers that the model was trained on, unless the run is LEAKY."""
    folds = {str(fold["name"]): fold for fold in run.facts["folds"]}
    for speaker, fold in sorted(set(zip(run.speakers, run.folds, strict=True))):
        if fold not in folds:
            raise UserError(
                f"{run.folders[0]}: {FACTS} knows no fold {str(fold)!r}; run crossval again"
            )
        known = {*map(str, folds[fold]["train"]), *map(str, folds[fold]["validation"])}
        if speaker in known and not run.leaky:
            raise UserError(
                f"{run.folders[0]}: speaker {speaker} trained or validated in "
                f"{run.label(fold)} that tests them; its scores are worthless, run crossval again"
            )

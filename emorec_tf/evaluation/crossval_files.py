"""The files of a cross-validation: joined from its finished folds, whenever one is finished.

``crossval.json`` says what was planned and what is done, ``predictions.csv`` holds the out-of-fold
predictions, ``temperatures.csv`` and ``robustness.csv`` a line or some per seed and fold,
``metrics.json`` the metrics of all together. Each fold is a run in ``seed-S/fold-NAME``. No
TensorFlow here: what is joined was written by ``evaluate``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf.config.config import renamed
from emorec_tf.errors import UserError
from emorec_tf.evaluation.corpus_scores import by_corpus
from emorec_tf.storage.files import read_csv, rows_to_csv, write_atomically
from emorec_tf.storage.locks import alone
from emorec_tf.tasks import tasks
from emorec_tf.training import run_dir

FACTS = "crossval.json"
PREDICTIONS = "predictions"
EMOTION = {"target": "emotion", "target_scale": "bins"}  # where a file is older than targets
KEPT = ("dataset", "target", "target_scale", "label_meaning", "protocol", "protocol_stamp",
        "leaky", "mode", "enrol")  # fmt: skip
BEFORE_AND_AFTER = ("ece_before", "ece", "nll_before", "nll")
Row = dict[str, Any]


def fold_folder(folder: Path, seed: int, fold: str) -> Path:
    """Where the run of one seed and fold is."""
    return folder / f"seed-{seed}" / f"fold-{fold.replace('/', '_')}"


def is_done(folder: Path) -> bool:
    """True for a fold that is trained to its end and evaluated since."""
    if not all((folder / name).exists() for name in ("run.json", "metrics.json")):
        return False
    run = run_dir.load(folder)
    try:
        scored = _metrics(folder)
    except ValueError:  # damaged: evaluate writes it again
        return False
    return run.is_finished() and scored.get("epochs") == len(run.history)


def all_done(folder: Path, seeds: int, folds: Sequence[str]) -> bool:
    """Whether every fold is done, by each random seed."""
    pairs = [(seed, fold) for seed in range(seeds) for fold in folds]
    return all(is_done(fold_folder(folder, *pair)) for pair in pairs)


def planned(folder: Path) -> dict[str, Any]:
    """Read crossval.json.

    Raises:
        UserError: it is damaged.
    """
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        _ = [facts[key] for key in ("config", "protocol_stamp", "seeds", "folds")]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder / FACTS} is damaged; delete it, and the same command writes it again"
        ) from error
    return {**facts, "config": renamed(facts["config"])}


def join(folder: Path) -> dict[str, Any]:
    """Write the joined files from all folds that are done; return the metrics ({}: none is)."""
    with alone(folder / ".lock"):
        facts = EMOTION | planned(folder)
        names = [fold["name"] for fold in facts["folds"]]
        pairs = [(seed, name) for seed in facts["seeds"] for name in names]
        done = [pair for pair in pairs if is_done(fold_folder(folder, *pair))]
        if not done:
            return {}
        metrics = {pair: _metrics(fold_folder(folder, *pair)) for pair in done}
        predictions = [
            _with_fold(r, *p) | _baseline(metrics[p])
            for p in done
            for r in _table(folder, p, PREDICTIONS)
        ]
        robustness = [
            {"condition": r["condition"], "seed": p[0], "fold": p[1], **r}
            for p in done
            for r in _table(folder, p, "robustness", needed=False)
        ]
        temperatures = [_temperature(metrics[p], *p) for p in done if facts["classes"]]
        facts["done"] = done
        facts["parameters"] = metrics[done[0]]["parameters"]
        if "onnx_encoders" in metrics[done[0]]:
            facts["onnx_encoders"] = metrics[done[0]]["onnx_encoders"]
        facts["seconds"] = round(sum(_seconds(fold_folder(folder, *p)) for p in done), 1)
        found = pooled(predictions, facts)
        tables = {PREDICTIONS: predictions, "temperatures": temperatures, "robustness": robustness}
        for name, table in tables.items():
            if table:  # ratings have no temperature, and robustness may not have been measured
                write_atomically(folder / f"{name}.csv", rows_to_csv(table))
        write_atomically(folder / "metrics.json", json.dumps(found, indent=1))
        write_atomically(folder / FACTS, json.dumps(facts, indent=1))
        return found


def pooled(rows: list[Row], facts: dict[str, Any]) -> dict[str, Any]:
    """Metrics of all out-of-fold predictions together.

    With the same clips in each seed, UAR and WAR of all together are the means over the seeds.
    The interval resamples speakers, each with their clips of all seeds.
    """
    task = tasks.of_facts(facts)
    truth, answers = task.read(rows)
    seeds = np.array([row["seed"] for row in rows])
    per_seed = {
        str(seed): task.metrics(truth[seeds == seed], answers[seeds == seed])[task.score]
        for seed in sorted(set(seeds.tolist()))
    }
    values = list(per_seed.values())
    first = {row["clip_id"]: row for row in rows}.values()
    ids, people = ([str(row[key]) for row in rows] for key in ("clip_id", "speaker"))
    corpora = by_corpus(task, truth, answers, ids, people, str(facts["dataset"]))
    return {
        **{key: facts[key] for key in KEPT},
        **({"adapt_by": facts["adapt_by"]} if "adapt_by" in facts else {}),
        **task.pooled(rows),
        f"{task.score}_per_seed": per_seed,
        f"{task.score}_spread": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "test_speakers": sorted({row["speaker"] for row in rows}),
        "coverage": {
            "clips": len(first),
            "planned": facts["clips_to_score"],
            "without_voice": sum(row["audio_present"] == "0" for row in first),
            "without_face": sum(row["faces_found"] == "0" for row in first),
            "folds_done": len(facts["done"]),
            "folds_planned": len(facts["folds"]) * len(facts["seeds"]),
        },
        "notes": facts["notes"],
        **({"by_corpus": corpora} if corpora else {}),
    }


def calibration_line(folder: Path) -> str:
    """Say what temperature scaling did to the test speakers, averaged over folds."""
    rows = read_csv(folder / "temperatures.csv")
    before, after = (
        sum(float(row[f"ece_{when}"]) for row in rows) / len(rows) for when in ("before", "after")
    )
    helped = "" if after < before else "; temperature scaling did not lower it"
    return f"{after:.3f} (mean of folds; without temperature {before:.3f}{helped})"


def _metrics(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return found


def _table(
    folder: Path, pair: tuple[int, str], name: str, needed: bool = True
) -> list[dict[str, str]]:
    path = fold_folder(folder, *pair) / f"{name}.csv"
    return read_csv(path) if needed or path.exists() else []


def _seconds(folder: Path) -> float:
    return sum(float(row["seconds"]) for row in read_csv(folder / "history.csv"))


def _with_fold(row: dict[str, str], seed: int, fold: str) -> Row:
    """Put seed and fold after clip, speaker and label."""
    head = {key: row[key] for key in ("clip_id", "speaker", "label")}
    return {**head, "seed": seed, "fold": fold, **row}


def _baseline(metrics: dict[str, Any]) -> Row:
    """Mean rating of the fold's training clips, where ratings are estimated."""
    return {"baseline": metrics["baseline"]["prediction"]} if "baseline" in metrics else {}


def _temperature(metrics: dict[str, Any], seed: int, fold: str) -> Row:
    row = {"seed": seed, "fold": fold, "temperature": f"{metrics['temperature']:.6g}"}
    for key in BEFORE_AND_AFTER:
        name = key if key.endswith("_before") else f"{key}_after"
        row[name] = f"{metrics[key]:.6g}"
    return row

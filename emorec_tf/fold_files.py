"""The files of a cross-validation: joined from its finished folds, whenever one is finished.

``crossval.json`` says what was planned and what is done, ``predictions.csv`` holds the out-of-fold
answers, ``temperatures.csv`` and ``robustness.csv`` a line or eight per seed and fold,
``metrics.json`` the figures of all together. Each fold is a run in ``seed-S/fold-NAME``. No
TensorFlow here: what is joined was written by ``evaluate``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf import evaluate, runs
from emorec_tf.clip import UserError
from emorec_tf.records import read_csv, rows_to_csv, write_atomically

FACTS = "crossval.json"
BEFORE_AND_AFTER = ("ece_before", "ece", "nll_before", "nll")
Row = dict[str, Any]


def fold_folder(folder: Path, seed: int, fold: str) -> Path:
    """Where the run of one seed and fold is."""
    return folder / f"seed-{seed}" / f"fold-{fold.replace('/', '_')}"


def is_done(folder: Path) -> bool:
    """True for a fold that is trained to its end and evaluated since."""
    if not all((folder / name).exists() for name in ("run.json", "metrics.json")):
        return False
    run = runs.load(folder)
    try:
        scored = _metrics(folder)
    except ValueError:  # damaged: evaluate writes it anew
        return False
    return run.is_finished() and scored.get("epochs") == len(run.history)


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
            f"{folder / FACTS} is damaged; delete it, and the same command makes it anew"
        ) from error
    return dict(facts)


@contextlib.contextmanager
def alone(file: Path, waits_for: str = "") -> Iterator[None]:
    """Hold a lock; it goes with the process, however it ends.

    Args:
        file: the lock.
        waits_for: what another holder is doing; "": wait for it.

    Raises:
        UserError: another process holds it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | (fcntl.LOCK_NB if waits_for else 0))
        except BlockingIOError as error:
            raise UserError(
                f"another process {waits_for}; give each its own --folds, or wait"
            ) from error
        yield


def join(folder: Path) -> dict[str, Any]:
    """Write the joined files from all folds that are done; return the metrics ({}: none is)."""
    with alone(folder / ".lock"):
        facts = planned(folder)
        names = [fold["name"] for fold in facts["folds"]]
        pairs = [(seed, name) for seed in facts["seeds"] for name in names]
        done = [pair for pair in pairs if is_done(fold_folder(folder, *pair))]
        if not done:
            return {}
        figures = {pair: _metrics(fold_folder(folder, *pair)) for pair in done}
        predictions = [_marked(r, *p) for p in done for r in _table(folder, p, "predictions")]
        robustness = [
            {"condition": r["condition"], "seed": p[0], "fold": p[1]}
            | {key: r[key] for key in ("n", "uar", "war")}
            for p in done
            for r in _table(folder, p, "robustness")
        ]
        temperatures = [_temperature(figures[p], *p) for p in done]
        facts["done"] = done
        facts["parameters"] = figures[done[0]]["parameters"]
        facts["seconds"] = round(sum(_seconds(fold_folder(folder, *p)) for p in done), 1)
        found = pooled(predictions, facts)
        tables = {
            "predictions": predictions,
            "temperatures": temperatures,
            "robustness": robustness,
        }
        for name, table in tables.items():
            write_atomically(folder / f"{name}.csv", rows_to_csv(table))
        write_atomically(folder / "metrics.json", json.dumps(found, indent=1))
        write_atomically(folder / FACTS, json.dumps(facts, indent=1))
        return found


def pooled(rows: list[Row], facts: dict[str, Any]) -> dict[str, Any]:
    """Figures of all out-of-fold answers together.

    With the same clips in each seed, UAR and WAR of all together are the means over the seeds.
    The interval draws speakers, each with his clips of all seeds.
    """
    from emorec_tf import calibration, metrics

    classes = facts["classes"]
    shares = np.array([[float(row[name]) for name in classes] for row in rows])
    labels = [row["label"] for row in rows]
    ids = np.array([classes.index(name) for name in labels])
    seeds = np.array([row["seed"] for row in rows])
    per_seed = {}
    for seed in sorted(set(seeds.tolist())):
        confusion = np.zeros((len(classes), len(classes)), int)
        np.add.at(confusion, (ids[seeds == seed], shares[seeds == seed].argmax(1)), 1)
        per_seed[str(seed)] = float(metrics.uar_of(confusion))
    values = list(per_seed.values())
    first = {row["clip_id"]: row for row in rows}.values()
    kept = ("dataset", "label_meaning", "protocol", "protocol_stamp", "leaky", "mode", "enrol")
    return {
        **{key: facts[key] for key in kept},
        **metrics.scores(labels, shares, classes, [row["speaker"] for row in rows]),
        "uar_per_seed": per_seed,
        "uar_spread": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "ece": calibration.ece(shares, ids),
        "brier": calibration.brier(shares, ids),
        "nll": calibration.nll(shares, ids),
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
    }


def print_table(found: dict[str, Any], folder: Path) -> None:
    """Print the figures of all folds that are done."""
    from rich.console import Console
    from rich.table import Table

    if not found:
        return
    leaky = "LEAKY: no figure for new speakers\n" if found["leaky"] else ""
    title = f"{leaky}{folder}: {found['protocol']}, {evaluate.known(found).rstrip(',')}"
    table = Table(title=title, show_header=False)
    for line in evaluate.lines(found):
        table.add_row(*line)
    spread = found["uar_spread"]
    seeds = "  ".join(f"{uar:.3f}" for uar in found["uar_per_seed"].values())
    table.add_row("UAR per seed", seeds + (f" (sd {spread:.3f})" if spread is not None else ""))
    table.add_row("calibration error", calibration_line(folder))
    coverage = found["coverage"]
    done = f"{coverage['folds_done']} of {coverage['folds_planned']}"
    table.add_row("folds times seeds", f"{done} done")
    rows = read_csv(folder / "robustness.csv")
    for name in dict.fromkeys(row["condition"] for row in rows):
        uars = [float(row["uar"]) for row in rows if row["condition"] == name]
        table.add_row(f"UAR, {name}", f"{sum(uars) / len(uars):.3f} (mean of folds)")
    Console().print(table)
    print(f"written: {folder}/crossval.json, metrics.json, predictions.csv, robustness.csv, ...")


def calibration_line(folder: Path) -> str:
    """Say what the temperatures did to unseen speakers, in the mean of the folds."""
    rows = read_csv(folder / "temperatures.csv")
    before, after = (
        sum(float(row[f"ece_{when}"]) for row in rows) / len(rows) for when in ("before", "after")
    )
    helped = "" if after < before else "; temperature scaling did not lower it"
    return f"{after:.3f} (mean of folds; without temperature {before:.3f}{helped})"


def _metrics(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return found


def _table(folder: Path, pair: tuple[int, str], name: str) -> list[dict[str, str]]:
    return read_csv(fold_folder(folder, *pair) / f"{name}.csv")


def _seconds(folder: Path) -> float:
    return sum(float(row["seconds"]) for row in read_csv(folder / "history.csv"))


def _marked(row: dict[str, str], seed: int, fold: str) -> Row:
    """Say after clip, speaker and label which seed and fold answered."""
    head = {key: row[key] for key in ("clip_id", "speaker", "label")}
    return {**head, "seed": seed, "fold": fold, **row}


def _temperature(figures: dict[str, Any], seed: int, fold: str) -> Row:
    row = {"seed": seed, "fold": fold, "temperature": f"{figures['temperature']:.6g}"}
    for key in BEFORE_AND_AFTER:
        name = key if key.endswith("_before") else f"{key}_after"
        row[name] = f"{figures[key]:.6g}"
    return row

"""Cross-validations with made-up predictions, joined by crossval's own code."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf.config import config
from emorec_tf.evaluation import crossval_files
from emorec_tf.splits.splits import Split
from emorec_tf.storage.files import rows_to_csv
from emorec_tf.training import run_dir

CLASSES = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
CONDITIONS = ("clean", "face gone", "voice gone", "noise 0 dB")
EPOCHS = 6
SETTINGS = config.build({"audio": "conv1d", "face": "alexnet", "epochs": EPOCHS})
SOURCE = {
    "dataset": "ravdess",
    "label_meaning": "acted (intended by the actor)",
    "licence": "CC BY-NC-SA 4.0",
}
Fold = dict[str, Any]
Row = dict[str, Any]


def invent(
    folder: Path,
    skill: float = 2.0,
    speakers: int = 12,
    folds: int = 3,
    seeds: tuple[int, ...] = (0, 1),
    only: tuple[int, ...] | None = None,
    leaky: bool = False,
    draw: int = 0,
    **facts: Any,
) -> Path:
    """Write a run on RAVDESS-like clip ids; more skill means more correct predictions.

    Args:
        only: folds (from 0) that are done; None: all.
        draw: seed of the made-up predictions.
        facts: entries of crossval.json that differ.
    """
    rng = np.random.default_rng(draw)
    plan = _plan([str(n + 1) for n in range(speakers)], folds)
    folder.mkdir(parents=True)
    written = {
        "protocol": "leaky_kfold:3" if leaky else "ravdess/contiguous6",
        "protocol_stamp": "0badcafe" if leaky else "12ab34cd",
        "notes": ["fold 6 left out: speakers 21, 22, 23, 24 are not in the data"],
        "leaky": leaky,
        "mode": "unseen",
        "enrol": None,
        "seeds": list(seeds),
        "folds": plan,
        "config": {"audio": "conv1d", "face": "alexnet", "fusion": "concat", "epochs": EPOCHS},
        **SOURCE,
        "classes": list(CLASSES),
        "clips_to_score": sum(len(_clips(fold["test"])) for fold in plan),
        "versions": {"emorec_tf": "0", "tensorflow": "0", "keras": "0", "python": "0"},
        "machine": "invented",
        "command": "python -m emorec_tf.crossval --run invented",
    } | facts
    (folder / crossval_files.FACTS).write_text(json.dumps(written))
    for seed, (k, fold) in product(seeds, enumerate(plan)):
        rows = [_row(rng, clip, skill) for clip in _clips(fold["test"])]
        if only is None or k in only:  # the other folds are drawn as well, then left out
            own = np.random.default_rng((draw, seed, k))
            _write_fold(crossval_files.fold_folder(folder, seed, fold["name"]), fold, rows, own)
    crossval_files.join(folder)
    return folder


def _plan(people: list[str], folds: int) -> list[Fold]:
    """Assign speakers to folds; the first speaker of the next fold validates."""
    groups = [people[k::folds] for k in range(folds)]
    plan = []
    for k, group in enumerate(groups):
        validation = groups[(k + 1) % folds][:1]
        train = [p for p in people if p not in group + validation]
        plan.append({"name": str(k + 1), "train": train, "validation": validation, "test": group})
    return plan


def _write_fold(folder: Path, fold: Fold, rows: list[Row], rng: np.random.Generator) -> None:
    """Write the files of ``train`` and ``evaluate`` in a fold's folder, except the model."""
    folder.mkdir(parents=True)
    split = Split(tuple(fold["train"]), tuple(fold["validation"]), tuple(fold["test"]))
    run_dir.write_facts(run_dir.Run(folder, SETTINGS, CLASSES, split, SOURCE))
    tables = {
        "history": [_epoch(rng, number) for number in range(1, EPOCHS + 1)],
        "predictions": rows,
        "robustness": [_corrupted(rng, condition) for condition in CONDITIONS],
    }
    for name, table in tables.items():
        (folder / f"{name}.csv").write_text(rows_to_csv(table))
    metrics = {"epochs": EPOCHS, "parameters": 123456, "temperature": 1.25}
    metrics |= {"ece_before": 0.1, "ece": 0.05, "nll_before": 1.5, "nll": 1.4}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "config.yaml").write_text(config.to_yaml(SETTINGS))


def _clips(people: list[str]) -> list[tuple[str, str, str]]:
    """Return clip id, speaker, label: neutral only with normal intensity, as in RAVDESS."""
    found = []
    for person, (code, label), intensity, statement in product(
        people, enumerate(CLASSES, start=1), (1, 2), (1, 2)
    ):
        if label != "neutral" or intensity == 1:
            clip_id = f"01-{code:02d}-{intensity:02d}-{statement:02d}-01-{int(person):02d}"
            found.append((clip_id, person, label))
    return found


def _row(rng: np.random.Generator, clip: tuple[str, str, str], skill: float) -> Row:
    clip_id, speaker, label = clip
    logits = rng.normal(size=len(CLASSES))
    logits[CLASSES.index(label)] += skill * (0.6 + 0.8 * (int(speaker) % 5) / 4)
    odds = np.exp(logits)
    row: Row = {"clip_id": clip_id, "speaker": speaker, "label": label, "audio_present": 1}
    row["faces_found"] = 0 if clip_id.endswith("02-02-01-03") else 8
    return row | {c: f"{p:.6g}" for c, p in zip(CLASSES, odds / odds.sum(), strict=True)}


def _corrupted(rng: np.random.Generator, condition: str) -> Row:
    uar = 0.6 - 0.1 * CONDITIONS.index(condition) + rng.normal() / 50
    return {"condition": condition, "n": 120, "uar": f"{uar:.6f}", "war": f"{uar + 0.01:.6f}"}


def _epoch(rng: np.random.Generator, number: int) -> Row:
    loss = 2 / number + rng.random() / 10
    values = {"loss": loss, "war": 0.5, "val_loss": loss + 0.3, "val_uar": 0.6 - 0.4 / number}
    return {"epoch": number, **values, "val_war": 0.5, "seconds": 200.0}

"""Invented runs in the form crossval writes: made-up answers, never evidence about anything."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np

from emorec_tf.storage.files import rows_to_csv

CLASSES = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
CONDITIONS = ("clean", "face gone", "voice gone", "noise 0 dB")


def invent(
    folder: Path,
    skill: float = 2.0,
    speakers: int = 12,
    folds: int = 3,
    seeds: tuple[int, ...] = (0, 1),
    only: tuple[int, ...] | None = None,
    leaky: bool = False,
    draw: int = 0,
    **facts,
) -> Path:
    """Write a run on RAVDESS-like clip ids whose answers are right more often with more skill.

    Args:
        only: folds (from 0) that are done; None: all.
        draw: seed of the made-up answers.
    """
    rng = np.random.default_rng(draw)
    people = [str(n + 1) for n in range(speakers)]
    groups = [people[k::folds] for k in range(folds)]
    plan = []
    for k, group in enumerate(groups):
        validation = groups[(k + 1) % folds][:1]
        train = [p for p in people if p not in group + validation]
        plan.append({"name": str(k + 1), "train": train, "validation": validation, "test": group})
    rows, done = [], []
    for seed, k in product(seeds, range(folds)):
        drawn = [_row(rng, clip, seed, k + 1, skill) for clip in _clips(groups[k])]
        if only is None or k in only:  # the others are drawn all the same, and left out
            rows += drawn
            done.append((seed, k + 1))
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
        "done": done,
        "config": {"audio": "conv1d", "face": "alexnet", "fusion": "concat", "epochs": 6},
        "dataset": "ravdess",
        "label_meaning": "acted (intended by the actor)",
        "licence": "CC BY-NC-SA 4.0",
        "classes": list(CLASSES),
        "parameters": 123456,
        "seconds": 7200.0,
        "versions": {"emorec_tf": "0", "tensorflow": "0", "keras": "0", "python": "0"},
        "machine": "invented",
        "command": "python -m emorec_tf.crossval --run invented",
    } | facts
    (folder / "crossval.json").write_text(json.dumps(written))
    (folder / "predictions.csv").write_text(rows_to_csv(rows))
    (folder / "temperatures.csv").write_text(rows_to_csv([_temperature(*d) for d in done]))
    damaged = [_damaged(rng, c, *d) for c, d in product(CONDITIONS, done)]
    (folder / "robustness.csv").write_text(rows_to_csv(damaged))
    for seed, fold in done:
        history = folder / f"seed-{seed}" / f"fold-{fold}" / "history.csv"
        history.parent.mkdir(parents=True)
        history.write_text(rows_to_csv([_epoch(rng, n) for n in range(1, 7)]))
    return folder


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


def _row(rng, clip, seed, fold, skill):
    clip_id, speaker, label = clip
    logits = rng.normal(size=len(CLASSES))
    logits[CLASSES.index(label)] += skill * (0.6 + 0.8 * (int(speaker) % 5) / 4)
    odds = np.exp(logits)
    row = {"clip_id": clip_id, "speaker": speaker, "label": label, "seed": seed, "fold": fold}
    row |= {"audio_present": 1, "faces_found": 0 if clip_id.endswith("02-02-01-03") else 8}
    return row | {c: f"{p:.6g}" for c, p in zip(CLASSES, odds / odds.sum(), strict=True)}


def _temperature(seed, fold):
    errors = {"ece_before": 0.1, "ece_after": 0.05, "nll_before": 1.5, "nll_after": 1.4}
    return {"seed": seed, "fold": fold, "temperature": 1.25, **errors}


def _damaged(rng, condition, seed, fold):
    uar = 0.6 - 0.1 * CONDITIONS.index(condition) + rng.normal() / 50
    row = {"condition": condition, "seed": seed, "fold": fold, "n": 120}
    return row | {"uar": f"{uar:.6f}", "war": f"{uar + 0.01:.6f}"}


def _epoch(rng, number):
    loss = 2 / number + rng.random() / 10
    values = {"loss": loss, "war": 0.5, "val_loss": loss + 0.3, "val_uar": 0.6 - 0.4 / number}
    return {"epoch": number, **values, "val_war": 0.5, "seconds": 1.0}

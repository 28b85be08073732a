"""Is one run better than another? Paired over the same clips, with speakers as the unit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from emorec_tf.errors import UserError
from emorec_tf.storage.files import read_csv
from emorec_tf.tasks import bootstrap, metrics


@dataclass(frozen=True)
class Predictions:
    """Predictions of a run: ``probabilities`` is [N, K], columns in the order of ``classes``."""

    run: str
    protocol: str
    classes: tuple[str, ...]
    clip_ids: tuple[str, ...]  # with "@seed" appended where the file has several seeds
    speakers: tuple[str, ...]
    labels: tuple[str, ...]
    probabilities: np.ndarray

    def __post_init__(self) -> None:
        """Refuse duplicate clips: they would count twice."""
        if len(set(self.clip_ids)) < len(self.clip_ids):
            twice = next(i for i in self.clip_ids if self.clip_ids.count(i) > 1)
            raise UserError(f"{self.run}: clip {twice} has two predictions; every clip counts once")


def read(run: str | Path, name: str = "predictions.csv") -> Predictions:
    """Read a run's predictions and, from its metrics.json, its protocol and classes.

    Args:
        run: the run directory.
        name: CSV with clip_id, speaker, label, one column per class and, if need be, seed.

    Raises:
        UserError: a file is missing or holds something else, ratings for instance.
    """
    folder = Path(run)
    try:
        rows = read_csv(folder / name)
        found = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        if "ccc" in found:
            raise UserError(f"{folder} estimates ratings; only classifiers are compared")
        classes = tuple(found["classes"])
        return Predictions(
            run=str(run),
            protocol=found["protocol"],
            classes=classes,
            clip_ids=tuple(r["clip_id"] + (f"@{r['seed']}" if "seed" in r else "") for r in rows),
            speakers=tuple(r["speaker"] for r in rows),
            labels=tuple(r["label"] for r in rows),
            probabilities=np.array([[float(r[c]) for c in classes] for r in rows]),
        )
    except OSError as error:
        raise UserError(
            f"cannot read {error.filename}: {error.strerror}; evaluate first"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder}: {name} or metrics.json is damaged; evaluate again") from error


def compare(
    first: Predictions, second: Predictions, seed: int = 0, across_protocols: bool = False
) -> dict[str, Any]:
    """Subtract the scores of ``second`` from those of ``first``, over the same clips.

    The interval (95 %, percentile) draws speakers and takes both runs' predictions for each: what
    is hard for both cancels out. Wilcoxon's signed-rank test asks whether the scores of speakers
    are higher in one run; with fewer than 6 speakers it cannot reach 5 %.

    Args:
        first: one run.
        second: the other.
        seed: of the bootstrap.
        across_protocols: compare runs of different protocols too, to show the protocol's effect.

    Returns:
        ``n``, ``speakers`` (count) and, for ``uar`` and ``war``: first, second, difference, ci95
        (None with one speaker), wilcoxon_p.

    Raises:
        UserError: the runs differ in protocol, classes, clips, labels or speakers.
    """
    order = _joined(first, second, across_protocols)
    names, whose = np.unique(np.array(first.speakers), return_inverse=True)
    ids = np.array([first.classes.index(label) for label in first.labels])
    counts = np.zeros((len(names), 2, len(first.classes), len(first.classes)), int)
    for run, probabilities in enumerate((first.probabilities, second.probabilities[order])):
        np.add.at(counts[:, run], (whose, ids, probabilities.argmax(1)), 1)
    return {
        "first": first.run,
        "second": second.run,
        "n": len(ids),
        "speakers": len(names),
        "uar": _difference(counts, metrics.uar_of, seed),
        "war": _difference(counts, metrics.war_of, seed),
    }


def _joined(first: Predictions, second: Predictions, across_protocols: bool) -> list[int]:
    """Return the positions in ``second`` of the clips of ``first``."""
    pair = f"{first.run} and {second.run}"
    if first.protocol != second.protocol and not across_protocols:
        raise UserError(
            f"{pair} follow different protocols ({first.protocol}; {second.protocol}), so their "
            "scores are not comparable; run both with one protocol"
        )
    if first.classes != second.classes:
        raise UserError(
            f"{pair} have different classes; train both with the same --classes and --target"
        )
    at = {clip_id: position for position, clip_id in enumerate(second.clip_ids)}
    unequal = sorted(set(first.clip_ids) ^ at.keys())
    if unequal or not at:
        such = f" ({len(unequal)} are in one only, such as {unequal[0]})" if unequal else ""
        raise UserError(f"{pair} predict different clips{such}; evaluate both on the same")
    order = [at[clip_id] for clip_id in first.clip_ids]
    for name in ("labels", "speakers"):
        theirs = [getattr(second, name)[i] for i in order]
        for clip_id, a, b in zip(first.clip_ids, getattr(first, name), theirs, strict=True):
            if a != b:
                raise UserError(f"{pair} disagree on clip {clip_id}: {name} {a} and {b}")
    return order


def _difference(
    counts: np.ndarray, metric: Callable[[np.ndarray], np.ndarray], seed: int
) -> dict[str, Any]:
    """Compare two runs by the confusion matrices [S, 2, K, K] of each speaker and run."""
    first, second = metric(counts.sum(0))
    by_speaker = metric(counts)
    gaps = by_speaker[:, 0] - by_speaker[:, 1]
    ci95 = None
    if len(counts) > 1:
        resampled = metric(bootstrap.resampled(counts, seed))
        ci95 = bootstrap.interval(resampled[:, 0] - resampled[:, 1])
    return {
        "first": float(first),
        "second": float(second),
        "difference": float(first - second),
        "ci95": ci95,
        "wilcoxon_p": float(wilcoxon(gaps).pvalue) if gaps.any() else 1.0,
    }

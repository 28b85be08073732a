"""One cell of a matrix of corpora: scores over the classes of both corpora.

A model that was trained on other classes than the tested corpus has is asked about those that both
have: probabilities are restricted to them and renormalised. No TensorFlow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emorec_tf.config.class_names import columns
from emorec_tf.config.clip import corpus_of
from emorec_tf.tasks.restriction import restricted
from emorec_tf.tasks.tasks import Task

FEWEST_CLASSES = 2
HALF = 0.5  # coverage at which accuracy is reported
Rows = Sequence[Mapping[str, Any]]


def cell(rows: Rows) -> dict[str, Any] | None:
    """Score predictions on one corpus.

    Args:
        rows: clip_id, speaker, label, and one column of probability per class of the model; a clip
            occurs once for each seed.

    Returns:
        Counts, the classes of both, UAR and WAR with 95 % intervals over speakers, recalls, the
        class predicted most often, calibration, and accuracy at half coverage. None where fewer
        than two classes are those of both.
    """
    from emorec_tf.tasks import calibration, metrics  # loads scikit-learn

    known = list(columns(rows[0])) if rows else []
    labels = {row["label"] for row in rows}
    kept = [name for name in known if name in labels]
    rows = [row for row in rows if row["label"] in kept]
    if len(kept) < FEWEST_CLASSES:
        return None
    every = np.array([[float(row[name]) for name in known] for row in rows])
    answers = restricted(every, known, kept)[:, [known.index(name) for name in kept]]
    truth = np.array([kept.index(row["label"]) for row in rows])
    speakers = [row["speaker"] for row in rows]
    found = metrics.scores([row["label"] for row in rows], answers, kept, speakers)
    coverage, risk, area = calibration.risk_coverage(answers, truth)
    half = min(int(np.searchsorted(coverage, HALF - 1e-9)), len(risk) - 1)
    predicted = Counter(kept[column] for column in answers.argmax(1))
    most, count = max(predicted.items(), key=lambda item: (item[1], -kept.index(item[0])))
    return {
        "n": len({row["clip_id"] for row in rows}),
        "speakers": len(set(speakers)),
        "classes": kept,
        **{key: found[key] for key in ("uar", "uar_ci95", "war", "war_ci95", "chance_uar")},
        "per_class_recall": found["per_class_recall"],
        "confusion": found["confusion"],
        "most_predicted": most,
        "share": count / len(rows),
        "ece": calibration.ece(answers, truth),
        "nll": calibration.nll(answers, truth),
        "aurc": area,
        "accuracy_at_50": 1 - float(risk[half]),
    }


def by_corpus(
    task: Task,
    truth: np.ndarray,
    answers: np.ndarray,
    clip_ids: Sequence[str],
    speakers: Sequence[str],
    dataset: str,
) -> list[dict[str, Any]]:
    """Score the clips of each corpus by themselves.

    Args:
        task: what was learned.
        truth: [N], see ``task.read``.
        answers: [N, K] or [N].
        clip_ids: [N]; a clip may occur once for each seed.
        speakers: [N].
        dataset: of the records; where clips are of a single corpus there are no rows.

    Returns:
        One row per corpus: counts, metrics, and of classes the interval of UAR over speakers.
    """
    from emorec_tf.tasks import metrics  # loads scikit-learn

    corpora = np.array([corpus_of(str(speaker), dataset) for speaker in speakers])
    if len(set(corpora.tolist())) < 2:
        return []
    people, rows = np.asarray(speakers), []
    for corpus in dict.fromkeys(corpora.tolist()):
        here = corpora == corpus
        row = {
            "corpus": corpus,
            "clips": len(set(np.asarray(clip_ids)[here].tolist())),
            "speakers": len(set(people[here].tolist())),
            **task.metrics(truth[here], answers[here]),
        }
        if task.classes:
            guess, count = answers[here].argmax(1), len(task.classes)
            row["uar_ci95"] = metrics.intervals(truth[here], guess, people[here], count, 0)[0]
            row["chance"] = 1 / len(set(truth[here].tolist()))
        rows.append(row)
    return rows


def flat(one: Mapping[str, Any]) -> dict[str, Any]:
    """Write a cell as a row of matrix.csv: plain values, the ends of intervals by themselves."""
    low, high = one["uar_ci95"] or ("", "")
    war_low, war_high = one["war_ci95"] or ("", "")
    recalls = one["per_class_recall"]
    return {
        **{key: one[key] for key in ("train", "test", "kind", "within", "n", "speakers")},
        "classes": " ".join(one["classes"]),
        "uar": one["uar"],
        "uar_low": low,
        "uar_high": high,
        "war": one["war"],
        "war_low": war_low,
        "war_high": war_high,
        **{key: one[key] for key in ("ece", "nll", "chance_uar", "most_predicted", "share")},
        **{key: one[key] for key in ("aurc", "accuracy_at_50")},
        "recalls": " ".join(f"{name}={recall:.6g}" for name, recall in recalls.items()),
    }

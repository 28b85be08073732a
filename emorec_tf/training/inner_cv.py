"""Inner cross-validation: predictions for training speakers by heads that have not seen them.

Training and validation speakers, or whole corpora, are assigned to folds; a classical head is
fitted to all but one fold and predicts that one. So each of these clips has a prediction as
unbiased as that for a test speaker, or for a corpus that was not trained on. The predictions
choose a head's settings, fit its temperature, and compare runs without using the test speakers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np
from scipy.special import log_softmax

from emorec_tf.config.clip import corpus_of
from emorec_tf.errors import UserError
from emorec_tf.models.classical.head_search import Round, Rows
from emorec_tf.tasks import calibration
from emorec_tf.training import array_files
from emorec_tf.training.run_dir import INNER_ANSWERS, Run

FILE = INNER_ANSWERS


def rounds(
    rows: Rows, clip_ids: Sequence[str], folds: int | Literal["corpora"], unscored: Collection[str]
) -> tuple[list[Round], list[str]]:
    """Assign speakers to folds of about equal size; each round scores one and fits to the rest.

    Args:
        rows: of clips, then of their copies, which are used for fitting but never scored.
        clip_ids: of the clips.
        folds: how many; "corpora": one for each corpus, which is left out as a whole.
        unscored: ids of clips that are not scored: enrolment clips.

    Returns:
        Rounds, and the ids of the clips in the order in which rounds score them.

    Raises:
        UserError: fewer speakers than folds.
    """
    from sklearn.model_selection import GroupKFold, LeaveOneGroupOut

    groups, by_corpus = rows.speakers, folds == "corpora"
    if folds == "corpora":
        groups = np.array([corpus_of(speaker) for speaker in rows.speakers])
    elif len(set(groups)) < folds:
        raise UserError(
            f"inner_folds is {folds}, but there are {len(set(groups))} speakers; lower it"
        )
    scored = np.zeros(len(rows.labels), bool)
    scored[: len(clip_ids)] = [clip_id not in unscored for clip_id in clip_ids]
    found, judged = [], []
    folder = LeaveOneGroupOut() if by_corpus else GroupKFold(folds)
    for fitted, left in folder.split(rows.labels, groups=groups):
        left = left[scored[left]]
        found.append((rows.some(fitted), rows.some(left)))
        judged += [clip_ids[row] for row in left]
    return found, judged


def write(run: Run, clip_ids: Sequence[str], logits: np.ndarray, labels: np.ndarray) -> None:
    """Keep answers, logits [N, K] and class ids [N], in the run's folder."""
    arrays = {"clip_ids": np.array(clip_ids, str), "logits": logits, "labels": labels}
    array_files.write(run.folder / FILE, arrays)


def answers(run: Run) -> tuple[list[str], np.ndarray, np.ndarray] | None:
    """Clip ids, logits [N, K] and class ids [N]; None of a run that has none.

    Raises:
        UserError: a damaged file.
    """
    found = array_files.read(run.folder / FILE, ("clip_ids", "logits", "labels"))
    return (list(found["clip_ids"]), found["logits"], found["labels"]) if found else None


def write_product(run: Run, members: Sequence[Run], temperatures: Sequence[float]) -> None:
    """Keep the product of the members' answers as the run's, if all of them have some.

    Args:
        run: of the product.
        members: in order.
        temperatures: of the members.
    """
    parts = [answers(member) for member in members]
    if not parts or any(part is None for part in parts):
        return
    known = [dict(zip(part[0], part[1], strict=True)) for part in parts if part]
    first = parts[0]
    assert first is not None
    rows = [n for n, clip_id in enumerate(first[0]) if all(clip_id in k for k in known)]
    clip_ids = [first[0][n] for n in rows]
    total = np.zeros((len(rows), first[1].shape[1]))
    for own, temperature in zip(known, temperatures, strict=True):
        logits = np.array([own[clip_id] for clip_id in clip_ids])
        total += log_softmax(logits / temperature, axis=1)
    write(run, clip_ids, total, first[2][rows])


def scores(run: Run) -> dict[str, float] | None:
    """Score the inner answers: ``uar``, ``war`` and ``nll``; None without any."""
    from sklearn.metrics import accuracy_score, recall_score

    kept = answers(run)
    if kept is None:
        return None
    _, logits, labels = kept
    predicted = logits.argmax(1)
    shares = calibration.scaled(logits, calibration.temperature(logits, labels))
    return {
        "uar": float(recall_score(labels, predicted, average="macro", zero_division=0)),
        "war": float(accuracy_score(labels, predicted)),
        "nll": calibration.nll(shares, labels),
    }

"""Predictions under shift: for each training corpus, by a head that was fitted to the others.

They say how much an unfamiliar clip's confidence must be lowered. Speakers of joined corpora are
called "<corpus>/<speaker>"; with a single corpus there is nothing to learn from.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emorec_tf.errors import UserError
from emorec_tf.models.classical import head_search
from emorec_tf.storage.files import write_atomically
from emorec_tf.tasks import familiarity
from emorec_tf.training.run_dir import SHIFT_ANSWERS, Run

if TYPE_CHECKING:
    from emorec_tf.models.classical.classifiers import Search
    from emorec_tf.models.classical.head_search import Rows


def corpora_of(speakers: Sequence[str]) -> np.ndarray:
    """Corpus of each speaker, "" of a single one."""
    return np.array([s.partition("/")[0] if "/" in s else "" for s in speakers])


def collect(run: Run, search: Search, best: Any, rows: Rows, clip_ids: Sequence[str]) -> None:
    """Fit a head to all corpora but one, for each; keep its predictions for that one.

    Args:
        run: written to.
        search: of the head.
        best: the chosen hyperparameters.
        rows: of clips, then of their copies, which are used for fitting but never scored.
        clip_ids: of the clips.
    """
    corpora = corpora_of(rows.speakers)
    names = sorted(set(corpora))
    if len(names) < 2:
        return
    classes = len(set(rows.labels))
    rounds, lefts = [], []
    for name in names:
        others = corpora != name
        if len(set(rows.labels[others])) < classes:
            continue  # a head that lacks a class cannot be compared
        lefts.append(np.flatnonzero(~others[: len(clip_ids)]))
        rounds.append((rows.some(others), rows.some(lefts[-1])))
    if not rounds:
        return
    found = head_search.answered(search, best, head_search.parts_of(search, rounds))
    at = np.concatenate(lefts)
    _write(
        run,
        clip_ids=np.array([clip_ids[i] for i in at], str),
        corpora=corpora[at],
        logits=found,
        labels=rows.labels[at],
    )


def place(
    run: Run, rows: np.ndarray, clip_ids: Sequence[str], widths: Sequence[int], speakers: Any
) -> None:
    """Add how unfamiliar each clip is to the corpora that its head was fitted to.

    Args:
        run: that may have such predictions.
        rows: embeddings [N, E].
        clip_ids: of the rows.
        widths: of the embedding's parts.
        speakers: of the rows.
    """
    kept = _read(run)
    if kept is None:
        return
    numbers = {clip_id: n for n, clip_id in enumerate(clip_ids)}
    corpora, far = corpora_of(speakers), np.zeros(len(kept["clip_ids"]))
    for name in set(kept["corpora"]):
        others, own = corpora != name, kept["corpora"] == name
        found = familiarity.across_folds(rows[others], widths, np.asarray(speakers)[others])
        if found is not None:
            at = [numbers[clip_id] for clip_id in kept["clip_ids"][own]]
            far[own] = found.of(rows[at])[0]
    _write(run, **{**kept, "unfamiliarity": far})


def answers(run: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Logits [N, K], class ids [N] and unfamiliarity [N]; None of a run that has none."""
    kept = _read(run)
    if kept is None or "unfamiliarity" not in kept:
        return None
    return kept["logits"], kept["labels"], kept["unfamiliarity"]


def _write(run: Run, **arrays: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_atomically(run.folder / SHIFT_ANSWERS, buffer.getvalue())


def _read(run: Run) -> dict[str, np.ndarray] | None:
    path = run.folder / SHIFT_ANSWERS
    if not path.exists():
        return None
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as found:
            return dict(found)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is damaged ({error}); train the run again") from error

"""Predictions under shift: for each training corpus, by a head that was fitted to the others.

They say how much an unfamiliar clip's confidence must be lowered. Speakers of joined corpora are
called "<corpus>/<speaker>"; with a single corpus there is nothing to learn from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import log_softmax

from emorec_tf.config.clip import corpus_of
from emorec_tf.models.classical import head_search
from emorec_tf.tasks import familiarity
from emorec_tf.training import array_files
from emorec_tf.training.run_dir import SHIFT_ANSWERS, Run

if TYPE_CHECKING:
    from emorec_tf.models.classical.classifiers import Search
    from emorec_tf.models.classical.head_search import Rows


def collect(run: Run, search: Search, best: Any, rows: Rows, clip_ids: Sequence[str]) -> None:
    """Fit a head to all corpora but one, for each; keep its predictions for that one.

    Args:
        run: written to.
        search: of the head.
        best: the chosen hyperparameters.
        rows: of clips, then of their copies, which are used for fitting but never scored.
        clip_ids: of the clips.
    """
    own = np.array([corpus_of(speaker) for speaker in rows.speakers])
    names = sorted(set(own))
    if len(names) < 2:
        return
    classes = len(set(rows.labels))
    rounds, lefts = [], []
    for name in names:
        others = own != name
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
        corpora=own[at],
        logits=found,
        labels=rows.labels[at],
    )


def place(
    run: Run,
    rows: np.ndarray,
    clip_ids: Sequence[str],
    widths: Sequence[int],
    speakers: Sequence[str],
) -> None:
    """Add how unfamiliar each clip is to what its head was fitted to: the other corpora.

    Also how unfamiliar clips are when only their speakers are held out, as in inner folds.

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
    names = np.asarray(speakers)
    homes = np.array([corpus_of(speaker) for speaker in speakers])
    _, held = familiarity.across_folds(rows, widths, names)
    far = np.zeros(len(kept["clip_ids"]))
    numbers = {clip_id: n for n, clip_id in enumerate(clip_ids)}
    for name in sorted(set(kept["corpora"])):
        others, own = homes != name, kept["corpora"] == name
        found, _ = familiarity.across_folds(rows[others], widths, names[others])
        if found is not None:
            far[own] = found.of(rows[[numbers[i] for i in kept["clip_ids"][own]]])[0]
    added = {"unfamiliarity": far, "held_ids": np.array(clip_ids, str), "held": held}
    _write(run, **{**kept, **added})


def with_inner(
    run: Run, inner: tuple[Sequence[str], np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Predictions of held-out corpora, then those of held-out speakers.

    Args:
        run: that may have the first.
        inner: clip ids, logits and class ids of inner folds.

    Returns:
        Logits [N, K], class ids [N] and unfamiliarity [N]; None of a run that has none.
    """
    kept = _read(run)
    if kept is None or "unfamiliarity" not in kept:
        return None
    held = dict(zip(kept["held_ids"], kept["held"], strict=True))
    clip_ids, logits, labels = inner
    near = np.array([held.get(clip_id, 0.0) for clip_id in clip_ids])
    return (
        np.concatenate([kept["logits"], logits]),
        np.concatenate([kept["labels"], labels]),
        np.concatenate([kept["unfamiliarity"], near]),
    )


def corpora(run: Run) -> list[str]:
    """Names of the corpora that were held out."""
    return sorted(set((_read(run) or {}).get("corpora", np.zeros(0, str)).tolist()))


def write_product(run: Run, members: Sequence[Run], temperatures: Sequence[float]) -> None:
    """Keep the product of the members' predictions as the run's, if all of them have some.

    Args:
        run: of the product.
        members: in order.
        temperatures: of the members.
    """
    found = [_read(member) for member in members]
    parts = [part for part in found if part is not None]
    if not parts or len(parts) < len(found):
        return
    rows = [{clip_id: n for n, clip_id in enumerate(part["clip_ids"])} for part in parts]
    both = [n for n, clip_id in enumerate(parts[0]["clip_ids"]) if all(clip_id in r for r in rows)]
    clip_ids = parts[0]["clip_ids"][both]
    total = sum(
        log_softmax(part["logits"][[row[i] for i in clip_ids]] / temperature, axis=1)
        for part, row, temperature in zip(parts, rows, temperatures, strict=True)
    )
    kept = {name: parts[0][name][both] for name in ("corpora", "labels")}
    _write(run, clip_ids=clip_ids, logits=np.asarray(total), **kept)


def _write(run: Run, **arrays: np.ndarray) -> None:
    array_files.write(run.folder / SHIFT_ANSWERS, arrays)


def _read(run: Run) -> dict[str, np.ndarray] | None:
    return array_files.read(run.folder / SHIFT_ANSWERS)

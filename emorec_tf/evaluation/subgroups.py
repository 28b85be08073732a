"""Subgroup analysis: metrics by sex, age, intensity, ..., and the gaps with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf.config.clip import Clip
from emorec_tf.datasets.corpora import DATASETS, clip_from_path
from emorec_tf.errors import UserError
from emorec_tf.records.records_dir import REPORT, clip_of_row
from emorec_tf.splits.splits import natural
from emorec_tf.storage.files import read_csv
from emorec_tf.tasks import bootstrap, metrics

ENOUGH_SPEAKERS = 10
INCONCLUSIVE = f"inconclusive with fewer than {ENOUGH_SPEAKERS} speakers"
MOST_VALUES = 8  # a trait with more values describes clips rather than groups of people
BOOKKEEPING = {trait for corpus in DATASETS.values() for trait in corpus.bookkeeping}
AGE_BANDS = ((0, 29, "under 30"), (30, 49, "30 to 49"), (50, 200, "50 and over"))
Traits = Mapping[str, Mapping[str, str]]  # {clip id: {trait: value}}


def traits_of(
    clip_ids: Sequence[str],
    dataset: str,
    records: str | Path | None = None,
    with_emotion: bool = False,
) -> Traits:
    """Traits of each clip, from records if given, else from its id.

    Args:
        clip_ids: as in the predictions.
        dataset: the corpus, or several joined by "+".
        records: folder of records whose report.csv holds the traits.
        with_emotion: make the emotion a trait too, for runs with another target.

    Raises:
        UserError: the records have no readable report.csv, or hold none of the clips.
    """
    if records is None:
        return {clip_id: _traits_by_name(clip_id, dataset, with_emotion) for clip_id in clip_ids}
    path = Path(records) / REPORT
    try:
        clips = [clip_of_row(row) for row in read_csv(path)]
        found = {clip.clip_id: _traits(clip, with_emotion) for clip in clips}
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; give --records FOLDER") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged; prepare the records again") from error
    known = {clip_id: found[clip_id] for clip_id in clip_ids if clip_id in found}
    if not known:
        raise UserError(f"{path} holds none of the run's clips; give the records it was scored on")
    return known


def _traits(clip: Clip, with_emotion: bool) -> Mapping[str, str]:
    return {**clip.traits, "emotion": clip.emotion} if with_emotion else clip.traits


def _traits_by_name(clip_id: str, dataset: str, with_emotion: bool) -> Mapping[str, str]:
    name, _, bare = clip_id.rpartition("/") if "+" in dataset else (dataset, "", clip_id)
    if name not in DATASETS or not DATASETS[name].pattern:
        return {}
    try:
        read = clip_from_path(name, f"{DATASETS[name].id_stem.format(clip_id=bare)}.wav")
    except UserError:
        return {}
    return _traits(read[0], with_emotion) if read else {}


def groups(clip_ids: Sequence[str], traits: Traits) -> dict[str, np.ndarray]:
    """Return {trait: value of each clip [N]} of the traits to analyse; "" where unknown."""
    names = sorted({name for known in traits.values() for name in known} - BOOKKEEPING)
    found = {}
    for name in names:
        values = [_banded(name, traits.get(clip_id, {}).get(name, "")) for clip_id in clip_ids]
        if 2 <= len(set(values) - {""}) <= MOST_VALUES:
            found[name] = np.array(values)
    return found


def _banded(name: str, value: str) -> str:
    if name != "age" or not value.strip().isdecimal():
        return value
    return next(word for low, high, word in AGE_BANDS if low <= min(int(value), 200) <= high)


def slices(
    clip_ids: np.ndarray,
    truth: np.ndarray,
    predicted: np.ndarray,
    speakers: np.ndarray,
    classes: int,
    by: Mapping[str, np.ndarray],
) -> list[dict[str, Any]]:
    """Score each subgroup, and its gap to all other clips.

    A gap compares recalls of the classes that occur in both (neutral is never strong), so it need
    not be the difference of two rows' UAR.

    Args:
        clip_ids: [N]; a clip may occur once for each seed.
        truth: class ids [N].
        predicted: class ids [N].
        speakers: [N]; the bootstrap draws speakers.
        classes: number of classes.
        by: {trait: value of each clip [N]}, as ``groups`` returns it.

    Returns:
        Rows with trait, value, clips, speakers, uar, uar_ci95, war, chance, gap, gap_ci95, follows.
    """
    rows = []
    for trait, values in by.items():
        present = sorted(set(values) - {""}, key=natural)
        for value in present:
            inside = values == value
            confusion = np.zeros((classes, classes), int)
            np.add.at(confusion, (truth[inside], predicted[inside]), 1)
            uar_ci95, _ = metrics.intervals(
                truth[inside], predicted[inside], speakers[inside], classes, seed=0
            )
            others = (values != value) & (values != "")
            gap, gap_ci95 = _gap(truth, predicted, speakers, classes, [inside, others])
            smaller = min(len(set(speakers[inside])), len(set(speakers[others])))
            rows.append(
                {
                    "trait": trait,
                    "value": value,
                    "clips": len(set(clip_ids[inside])),
                    "speakers": len(set(speakers[inside])),
                    "uar": float(metrics.uar_of(confusion)),
                    "uar_ci95": uar_ci95,
                    "war": float(metrics.war_of(confusion)),
                    "chance": 1 / max(int((confusion.sum(1) > 0).sum()), 1),
                    "gap": gap,
                    "gap_ci95": gap_ci95,
                    "follows": _conclusion(smaller, gap_ci95),
                }
            )
    return rows


def _conclusion(speakers: int, gap_ci95: list[float] | None) -> str:
    if speakers < ENOUGH_SPEAKERS:
        return INCONCLUSIVE
    if gap_ci95 is None or gap_ci95[0] <= 0 <= gap_ci95[1]:
        return "no significant gap"
    return "better than the rest" if gap_ci95[0] > 0 else "worse than the rest"


def _gap(
    truth: np.ndarray,
    predicted: np.ndarray,
    speakers: np.ndarray,
    classes: int,
    subsets: Sequence[np.ndarray],
) -> tuple[float | None, list[float] | None]:
    """UAR of the first subset minus that of the second, with its interval over speakers."""
    names, whose = np.unique(speakers, return_inverse=True)
    counts = np.zeros((len(names), 2, classes, classes))
    for number, subset in enumerate(subsets):
        rows = (whose[subset], number, truth[subset], predicted[subset])
        np.add.at(counts, rows, 1)
    shared = (counts.sum((0, 3)) > 0).all(0)
    counts *= shared[:, None]
    if not shared.any():
        return None, None
    totals = bootstrap.resampled(counts, seed=0)  # [R, 2, K, K]
    totals = totals[(totals.sum((2, 3)) > 0).all(1)]  # a draw may have no speaker of a small group
    values = metrics.uar_of(counts.sum(0))
    if len(names) < 2 or not len(totals):
        return float(values[0] - values[1]), None
    spread = np.subtract(*np.moveaxis(metrics.uar_of(totals), 1, 0))
    return float(values[0] - values[1]), bootstrap.interval(spread)

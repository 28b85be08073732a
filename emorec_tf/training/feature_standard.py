"""What the features under a classical head are like over the training clips; kept beside a run.

A speaker-independent run is adapted by it: features of unlabelled recordings are given the mean and
the spread of those that the head was fitted to. Runs of older versions have no such file.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emorec_tf.config.clip import Clip
from emorec_tf.errors import UserError
from emorec_tf.models.classical.set_scale import FeatureStandard, pooled_deviation
from emorec_tf.training import array_files
from emorec_tf.training.enrolment import set_of
from emorec_tf.training.run_dir import FEATURE_STANDARD, Run


def measured(features: np.ndarray, clips: Sequence[Clip]) -> FeatureStandard:
    """Mean, and deviation within speakers and within corpora, of features [N, E] of clips.

    Rows of zeros are left out: those clips lack what the branches use.
    """
    there = features.any(axis=1)
    rows = features[there].astype(np.float64)
    kept = [clip for clip, real in zip(clips, there, strict=True) if real]
    found = {}
    for by in ("speaker", "corpus"):
        sets: dict[str, list[int]] = defaultdict(list)
        for number, clip in enumerate(kept):
            sets[set_of(clip, by)].append(number)
        found[by] = pooled_deviation({name: rows[own] for name, own in sets.items()})
    return FeatureStandard(rows.mean(0).astype(np.float32), found["speaker"], found["corpus"])


def write(run: Run, standard: FeatureStandard) -> None:
    """Keep it in the run's folder."""
    arrays = dataclasses.asdict(standard)
    array_files.write(run.folder / FEATURE_STANDARD, arrays, compress=True)


def read(folder: Path) -> FeatureStandard | None:
    """Read it; None where there is none.

    Raises:
        UserError: a damaged file.
    """
    path = folder / FEATURE_STANDARD
    names = [field.name for field in dataclasses.fields(FeatureStandard)]
    found = array_files.read(path, names)
    if found is None:
        return None
    standard = FeatureStandard(**{name: found[name] for name in names})
    try:
        _check(standard)
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); train the run again") from error
    return standard


def _check(standard: FeatureStandard) -> None:
    """Refuse anything but vectors of numbers of one length, and deviations below 0."""
    vectors = dataclasses.astuple(standard)
    fits = all(v.ndim == 1 and v.dtype.kind == "f" and len(v) == len(vectors[0]) for v in vectors)
    fits = fits and all(bool(np.isfinite(v).all()) for v in vectors)
    if not fits or bool((standard.speaker < 0).any()) or bool((standard.corpus < 0).any()):
        raise ValueError("its values are out of bounds")


def write_product(run: Run, members: Sequence[Run]) -> None:
    """Keep that of an ensemble, if every member has one.

    Args:
        run: of the ensemble.
        members: in order.
    """
    parts = [found for found in (read(member.folder) for member in members) if found]
    if parts and len(parts) == len(members):
        names = [field.name for field in dataclasses.fields(FeatureStandard)]
        joined = {n: np.concatenate([getattr(part, n) for part in parts]) for n in names}
        write(run, FeatureStandard(**joined))

"""Familiarity: how much a clip is like the training corpora, by the features of the branches.

A clip's distance is that to the nearest training clips (Sun et al. 2022), in the tenth of the
features that differ most between training speakers for their spread within one: there a recording
from elsewhere differs, too. Distances are compared with those of clips of
familiar corpora whose speakers were held out. Nothing here needs TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

NEIGHBOURS = 5
KEPT_FEATURES, LEAST_FEATURES = 0.1, 32  # a share of them, and at least so many
MOST_REFERENCES = 1000  # training clips that are stored
MOST_QUANTILES = 512  # of held-out clips that are stored
UNFAMILIAR_BELOW = 0.02  # of held-out familiar clips, one in fifty is less familiar
FEWEST_HELD_OUT = 100  # clips; with fewer, the least familiar fiftieth is not known
SMALLEST = 1e-6
FOLDS = 4  # of speakers, to hold some out


@dataclass(frozen=True)
class Part:
    """Training clips as one branch sees them; ``columns`` of the embedding are compared.

    The branch's own features are ``start`` to ``stop``; all are zero where it has nothing.
    """

    start: int
    stop: int
    columns: np.ndarray  # int32 [C]
    mean: np.ndarray  # float32 [C]
    scale: np.ndarray  # float32 [C]
    references: np.ndarray  # float32 [R, C], standardised
    centre: float = 0.0  # mean logarithm of the distance of held-out clips
    spread: float = 1.0  # its standard deviation


@dataclass(frozen=True)
class Familiarity:
    """What the score of a clip is made from.

    ``held_out`` [P, Q]: sorted unfamiliarity of held-out clips, in row n of those of which n + 1
    branches have something. ``width``: of the embedding. Below ``threshold`` a clip is said to be
    unlike anything in training; 0, so never, where too few clips were held out.
    """

    parts: tuple[Part, ...]
    held_out: np.ndarray
    width: int
    threshold: float = UNFAMILIAR_BELOW

    def of(self, embedding: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Unfamiliarity [N] and familiarity [N] of clips.

        The first says how far a clip is from training clips, in standard deviations of held-out
        clips; 0, their mean, of a clip without anything. The second is the share of held-out
        familiar clips that are less familiar, 0 to 1.

        Args:
            embedding: mean over time of each branch's features, [N, E].

        Raises:
            ValueError: an embedding of another width.
        """
        if np.shape(embedding)[-1] != self.width:
            raise ValueError(f"an embedding of {np.shape(embedding)[-1]}, not {self.width}")
        here = present(self.parts, embedding)
        unfamiliarity = joined(self.parts, log_distances(self.parts, embedding), here)
        rows = self.held_out[np.maximum(here.sum(1), 1) - 1]
        less = rows > unfamiliarity[:, None]
        return unfamiliarity, less.mean(1)


def fit_parts(
    embedding: np.ndarray, widths: Sequence[int], speakers: Sequence[str] | np.ndarray
) -> tuple[Part, ...]:
    """Choose features and keep training clips, one part of each branch; not calibrated yet.

    Args:
        embedding: of N training clips, [N, E].
        widths: features of each branch; their sum is E.
        speakers: of the clips.
    """
    parts, start = [], 0
    for width in widths:
        rows = np.asarray(embedding, np.float64)[:, start : start + width]
        inside = rows.any(1)
        parts.append(_part(rows[inside], np.asarray(speakers)[inside], start))
        start += width
    return tuple(parts)


def _part(rows: np.ndarray, groups: np.ndarray, start: int) -> Part:
    if not len(rows):  # a branch that no training clip uses
        none = np.zeros(0, np.float32)
        stop, nothing = start + rows.shape[1], np.zeros((1, 0), np.float32)
        return Part(start, stop, none.astype(np.int32), none, none, nothing)
    kept = min(rows.shape[1], max(LEAST_FEATURES, round(KEPT_FEATURES * rows.shape[1])))
    columns = np.sort(np.argsort(-between_to_within(rows, groups), kind="stable")[:kept])
    mean, scale = rows[:, columns].mean(0), rows[:, columns].std(0)
    scale = np.where(scale > SMALLEST, scale, 1.0)
    chosen = spread_over(groups, MOST_REFERENCES)
    references = ((rows[chosen][:, columns] - mean) / scale).astype(np.float16)
    return Part(
        start,
        start + rows.shape[1],
        (columns + start).astype(np.int32),
        mean.astype(np.float32),
        scale.astype(np.float32),
        references.astype(np.float32),  # as they will be read from the file
    )


def between_to_within(rows: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Variance of the groups' means over the mean variance inside a group: [N, E] -> [E]."""
    inside = [rows[groups == name] for name in np.unique(groups)]
    between = np.var([part.mean(0) for part in inside], axis=0)
    within = np.mean([part.var(0) for part in inside], axis=0)
    return np.asarray(between / (within + SMALLEST))


def spread_over(groups: np.ndarray, most: int) -> np.ndarray:
    """Choose at most ``most`` rows, as evenly over the groups as their sizes allow."""
    if len(groups) <= most:
        return np.arange(len(groups))
    order = np.random.default_rng(0).permutation(len(groups))
    rank = np.zeros(len(groups), int)  # of a row within its group
    for name in np.unique(groups):
        own = order[groups[order] == name]
        rank[own] = np.arange(len(own))
    return np.sort(order[np.argsort(rank[order], kind="stable")[:most]])


def present(parts: Sequence[Part], embedding: np.ndarray) -> np.ndarray:
    """Whether each branch has something of a clip: [N, E] -> [N, P]."""
    return np.stack([np.any(embedding[:, p.start : p.stop] != 0, axis=1) for p in parts], axis=1)


def log_distances(parts: Sequence[Part], embedding: np.ndarray) -> np.ndarray:
    """Logarithm of the distance to the nearest training clips, of each branch: -> [N, P]."""
    values = np.asarray(embedding, np.float64)
    found = np.zeros((len(values), len(parts)))
    for number, part in enumerate(parts):
        z = (values[:, part.columns] - part.mean) / part.scale
        squares = (z * z).sum(1)[:, None] + (part.references**2).sum(1)
        squares = squares - 2 * z @ part.references.T.astype(np.float64)
        nearest = min(NEIGHBOURS, squares.shape[1]) - 1
        square = np.partition(squares, nearest, axis=1)[:, nearest]
        found[:, number] = np.log(np.maximum(square, SMALLEST)) / 2
    return found


def standardised(parts: Sequence[Part], logs: np.ndarray) -> np.ndarray:
    """Subtract each branch's centre and divide by its spread: [N, P]."""
    return (logs - [part.centre for part in parts]) / np.array([part.spread for part in parts])


def joined(parts: Sequence[Part], logs: np.ndarray, here: np.ndarray) -> np.ndarray:
    """Mean over the branches that have something, 0 without any: [N, P] and [N, P] -> [N]."""
    far = np.where(here, standardised(parts, logs), 0)
    return np.asarray(far.sum(1) / np.maximum(here.sum(1), 1))


def calibrated(parts: Sequence[Part], logs: np.ndarray, here: np.ndarray) -> Familiarity:
    """Compare with familiar clips whose speakers were held out.

    Args:
        parts: fitted to training clips.
        logs: ``log_distances`` of M held-out clips to others, [M, P].
        here: whether each branch has something of these, [M, P].

    Raises:
        ValueError: there is no held-out clip with anything.
    """
    if not here.any():
        raise ValueError("no held-out clip to compare with")
    placed = []
    for number, part in enumerate(parts):
        own = logs[here[:, number], number]
        centre, spread = (own.mean(), max(own.std(), 1e-3)) if len(own) else (0.0, 1.0)
        placed.append(replace(part, centre=float(centre), spread=float(spread)))
    far = np.where(here, standardised(placed, logs), np.nan)
    rows = []
    for count in range(1, len(parts) + 1):
        # Of one branch those of all branches, each alone; else clips that have so many, or more.
        enough = here.sum(1) >= count
        some = far[here] if count == 1 else np.nanmean(far[enough], axis=1) if enough.any() else []
        rows.append(_quantiles(np.asarray(some) if len(some) else far[here]))
    enough = here.any(1).sum() >= FEWEST_HELD_OUT
    threshold = UNFAMILIAR_BELOW if enough else 0.0
    return Familiarity(tuple(placed), np.stack(rows), parts[-1].stop, threshold)


def _quantiles(values: np.ndarray) -> np.ndarray:
    """Sorted: so many of them, evenly spaced, that the share above a value is as of all."""
    shares = (np.arange(MOST_QUANTILES) + 0.5) / MOST_QUANTILES
    return np.quantile(values, shares, method="inverted_cdf").astype(np.float32)


def across_folds(
    embedding: np.ndarray, widths: Sequence[int], speakers: np.ndarray
) -> tuple[Familiarity | None, np.ndarray]:
    """Keep all clips [N, E], and compare with the distances of each fold's speakers to the others.

    Returns:
        None of a single speaker, and where no branch has anything; and the unfamiliarity of each
        clip when its speaker was held out, [N].
    """
    from sklearn.model_selection import GroupKFold

    folds = min(FOLDS, len(np.unique(speakers)))
    if folds < 2:
        return None, np.zeros(len(embedding))
    logs = np.zeros((len(embedding), len(widths)))
    here = np.zeros(logs.shape, bool)
    for others, held in GroupKFold(folds).split(embedding, groups=speakers):
        parts = fit_parts(embedding[others], widths, speakers[others])
        logs[held] = log_distances(parts, embedding[held])
        here[held] = present(parts, embedding[held])
    parts = fit_parts(embedding, widths, speakers)
    if not here.any():
        return None, np.zeros(len(embedding))
    found = calibrated(parts, logs, here)
    return found, joined(found.parts, logs, here)

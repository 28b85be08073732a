"""Familiarity of clips to the members of an ensemble, each of which has its own training clips.

A clip is as familiar as it is to the member that knows it least, among those whose modality it has.
Each member's temperature grows with the clip's unfamiliarity to that member, so a member that does
not know such clips has less of a say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from emorec_tf.tasks import calibration
from emorec_tf.tasks.familiarity import Familiarity, Part, present


@dataclass(frozen=True)
class Member:
    """A member: what its clips are compared with, its temperature, and how fast that grows."""

    familiarity: Familiarity
    temperature: float = 1.0
    slope: float = 0.0


@dataclass(frozen=True)
class JointFamiliarity:
    """As ``Familiarity``, of an ensemble; embeddings are those of the members, joined in order."""

    members: tuple[Member, ...]

    @property
    def width(self) -> int:
        """Width of the embedding."""
        return sum(member.familiarity.width for member in self.members)

    @property
    def threshold(self) -> float:
        """Below it a clip is unlike anything that one of the members was trained on; 0: never."""
        return max(member.familiarity.threshold for member in self.members)

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts of all members; their columns count from the member's first."""
        return tuple(part for member in self.members for part in member.familiarity.parts)

    @property
    def grows(self) -> bool:
        """Whether the temperature of any member grows with unfamiliarity."""
        return any(member.slope for member in self.members)

    def of(self, embedding: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Unfamiliarity [N] and familiarity [N] of clips, to the member that knows each least.

        Familiarity is measured against ``threshold``: a member with another one is brought to it.

        Args:
            embedding: [N, E], of all members.

        Raises:
            ValueError: an embedding of another width.
        """
        if np.shape(embedding)[-1] != self.width:
            raise ValueError(f"an embedding of {np.shape(embedding)[-1]}, not {self.width}")
        columns = []
        for member, own in zip(self.members, self.split(embedding), strict=True):
            far, familiar = member.familiarity.of(own)
            here = present(member.familiarity.parts, own).any(1)
            familiar = moved(familiar, member.familiarity.threshold, self.threshold)
            columns.append((far, familiar, here))
        far, familiar, here = (np.stack(values, 1) for values in zip(*columns, strict=True))
        counts = here | ~here.any(1, keepdims=True)  # without anything, all members count
        return np.where(counts, far, -np.inf).max(1), np.where(counts, familiar, np.inf).min(1)

    def split(self, embedding: np.ndarray) -> list[np.ndarray]:
        """Embeddings of the members: [N, E] -> [N, E of each]."""
        ends = np.cumsum([member.familiarity.width for member in self.members])[:-1]
        return np.split(np.asarray(embedding), ends, axis=1)

    def tempered(
        self, logits: np.ndarray, experts: Sequence[np.ndarray], embedding: np.ndarray
    ) -> np.ndarray:
        """Lower the say of members to which a clip is unfamiliar.

        Args:
            logits: of the ensemble, [N, K]: sums of logarithms of the members' probabilities.
            experts: logits of the members, [N, K] each.
            embedding: [N, E], of all members.
        """
        total = np.asarray(logits, np.float64)
        rows = zip(self.members, experts, self.split(embedding), strict=True)
        for member, raw, own in rows:
            if not member.slope:
                continue
            growth = calibration.growth(member.slope, member.familiarity.of(own)[0])
            plain = np.asarray(raw, np.float64) / member.temperature
            change = log_softmax(plain / growth, axis=1) - log_softmax(plain, axis=1)
            total = total + np.where(growth > 1, change, 0.0)
        return total


def joint(
    members: Iterable[tuple[Familiarity | None, float, float]],
) -> JointFamiliarity | None:
    """Join members: familiarity, temperature and slope of each.

    None where one of them cannot say how familiar a clip is: nothing is said for the others alone.
    """
    rows = list(members)
    found = [Member(f, t, s) for f, t, s in rows if f is not None]
    return JointFamiliarity(tuple(found)) if len(found) == len(rows) else None


def moved(familiar: np.ndarray, own: float, wanted: float) -> np.ndarray:
    """Bring familiarity [N] from its own threshold to another; 0 and 1 stay what they are."""
    if own == wanted:
        return familiar
    below = familiar * wanted / own if own else np.zeros_like(familiar)
    above = wanted + (familiar - own) * (1 - wanted) / (1 - own)
    return np.where(familiar < own, below, above)

"""Answers as rows of a table for programs: equal columns for all clips of a model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emorec_tf.inference.answer_table import SHARED, Answer, is_heard

if TYPE_CHECKING:
    from emorec_tf.inference.predictor import Predictor

Row = dict[str, Any]  # a value for each column, None where there is none
WHERE = {"clip": str, "start_seconds": float, "end_seconds": float, "person": int}
BASIS = {
    "familiarity": float,
    "audio_present": bool,
    "speech": bool,
    "face_present": bool,
    "face_coverage": float,
    "missing": str,
    "reason": str,
    "notes": str,
}
RATED, NAMED = {"value": float}, {"emotion": str, "confidence": float}
TAKEN = {**WHERE, **RATED, **NAMED, **BASIS}


@dataclass(frozen=True)
class Layout:
    """The columns of a model's answers.

    ``clip``; ``start_seconds``, ``end_seconds`` and ``person`` of windows; ``emotion``, its
    probability ``confidence`` and a column of probabilities for each class, or ``value`` of a
    rating; then what the answer is based on, as in the answers of ``--json``.
    """

    classes: tuple[str, ...]  # () for a rating

    @classmethod
    def of(cls, model: Predictor) -> Layout:
        """Lay out the answers of a model."""
        return cls(() if model.run.task.rating else model.classes)

    @property
    def columns(self) -> dict[str, type]:
        """Names and types of the columns, in order."""
        shares = {column_of(name): float for name in self.classes}
        return {**WHERE, **({**NAMED, **shares} if self.classes else RATED), **BASIS}

    def rows(self, answer: Answer, each_window: bool = True) -> list[Row]:
        """Make the rows of one file's answer.

        Args:
            answer: the object of ``--json``.
            each_window: a row for each window and person, where it has them; else one row.
        """
        if not each_window or "windows" not in answer:
            return [self.row({**answer, "start_seconds": None, "end_seconds": None})]
        heard = Counter(row["start_seconds"] for row in answer["windows"] if is_heard(row))
        rows = []
        for part in answer["windows"]:
            shared = is_heard(part) and heard[part["start_seconds"]] > 1
            notes = [*answer.get("notes", ()), *([SHARED] if shared else [])]
            rows.append(self.row({**part, "clip": answer["clip"], "notes": notes}))
        return rows

    def row(self, part: Answer) -> Row:
        """Make one row of a clip's answer, or of a window's."""
        shares = part.get("probabilities", {})
        flat = {
            **part,
            "confidence": max(shares.values(), default=None),
            "missing": ", ".join(part.get("missing", ())) or None,
            "notes": "; ".join(part.get("notes", ())) or None,
            **{column_of(name): share for name, share in shares.items()},
        }
        return {name: flat.get(name) for name in self.columns}


def column_of(name: str) -> str:
    """Column of a class: its name, unless another column is called so."""
    return f"probability of {name}" if name in TAKEN else name

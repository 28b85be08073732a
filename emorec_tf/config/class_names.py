"""Names of classes: any text that a corpus has as a label.

This module alone decides which names are one class, in which order classes come, how a list of them
is written in a setting, and which names cannot be classes.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable, Sequence

from emorec_tf.config.clip import EMOTIONS
from emorec_tf.config.natural_order import natural
from emorec_tf.errors import UserError

# Columns beside those of the classes in the tables of results (predictions.csv, the table of a
# timeline), and the answer of a model that is not sure.
RESERVED = frozenset((
    "clip_id", "speaker", "label", "seed", "fold", "audio_present", "faces_found", "baseline",
    "prediction", "lacks", "start_seconds", "end_seconds", "person", "emotion", "value",
    "familiarity", "speech", "face_present", "face_coverage", "unsure",
))  # fmt: skip
LONGEST = 80  # characters; what is longer is a transcript in the wrong column
# control characters, undecodable bytes of a file name, separators of lines
UNSEEN = frozenset(("Cc", "Cs", "Zl", "Zp"))


def form(name: str) -> str:
    """Return the form in which names are compared: " Very  Happy" is "very happy".

    Unicode NFC, without case and invisible characters; blanks in a row count once.
    """
    shown = "".join(c for c in name if unicodedata.category(c) != "Cf")
    folded = unicodedata.normalize("NFC", shown).casefold()
    return unicodedata.normalize("NFC", " ".join(folded.split()))


def as_written(name: str) -> str:
    """Return a label as it becomes a class: trimmed, in Unicode NFC; all else stays."""
    return unicodedata.normalize("NFC", name.strip())


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct names in the order of class ids.

    Those of ``EMOTIONS`` come first, in its order, then all others in natural order, so that the
    order depends on the names alone.
    """
    present = {name for name in names if name}
    others = sorted(present - set(EMOTIONS), key=lambda name: (natural(form(name)), name))
    return (*(name for name in EMOTIONS if name in present), *others)


def check(name: str, where: str) -> None:
    """Refuse a name that cannot be a class.

    Raises:
        UserError: control characters, too long, or a column of the tables of results.
    """
    if any(unicodedata.category(c) in UNSEEN for c in name):
        raise UserError(f"{where}: the label {name!r} holds a line break or a control character")
    if len(name) > LONGEST:
        raise UserError(
            f"{where}: the label {name[:20]!r}... has {len(name)} characters, more than {LONGEST}; "
            "is it a transcript? give the column of labels: --columns emotion=NAME"
        )
    if name in RESERVED:
        raise UserError(
            f"{where}: {name!r} cannot be a class, it is a column of the results; rename it: "
            f"--label_map {listing([f'{name}=my {name}'])}"
        )


def listed(text: str) -> list[str]:
    """Split a comma list; a name that holds a comma or quotes stands in double quotes, as in CSV.

    Raises:
        UserError: quotes that are not closed.
    """
    try:
        row = next(csv.reader([text.strip()], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise UserError(
            f'{text}: quotes that do not fit; write a name with a comma as "a, b" in a list'
        ) from error
    return [name.strip() for name in row] or [""]


def listing(names: Sequence[str]) -> str:
    """Write a comma list that ``listed`` reads."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(names)
    return text.getvalue()


def columns(row: Iterable[str]) -> tuple[str, ...]:
    """Names of the classes among the columns of a table of results, in their order."""
    return ordered(set(row) - RESERVED)

"""Section "On other corpora" of a model card: the row of a matrix that stands for the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emorec_tf.config.clip import corpus_of
from emorec_tf.config.config import flat, renamed
from emorec_tf.errors import UserError
from emorec_tf.evaluation import corpus_tables
from emorec_tf.evaluation import crosscorpus_files as files
from emorec_tf.training.run_dir import NO_MATTER, Run

HEADING = "## On other corpora"
LIMITS = "## Limits of use"
# set by each training set of the matrix, paths, and settings that change no result
MAY_DIFFER = ("records", "seed", "train_speakers", "validation_speakers", "test_speakers",
              "dataset", "classes", "inner_folds", "precision", *NO_MATTER)  # fmt: skip


def matrix_section(trained: Run, name: str, matrix: Mapping[str, Any]) -> str:
    """Write the section as Markdown.

    Args:
        trained: the model's run.
        name: of the model.
        matrix: as ``crosscorpus_files.read`` returns it.

    Raises:
        UserError: the matrix has no row for the model, or was made with other settings.
    """
    row, explained = _row_of(trained, name, matrix)
    _, head, rows = corpus_tables.row_of(matrix, row)
    lines = [" | ".join(head), "|".join(["---"] * len(head)), *(" | ".join(line) for line in rows)]
    table = "\n".join(f"| {line} |" for line in lines)
    mean = matrix["means"].get(row)
    mean_line = f" Mean UAR over the other corpora: {100 * mean:.1f} %." if mean else ""
    return f"{HEADING}\n\n{explained} {corpus_tables.CELLS}{mean_line}\n\n{table}"


def with_section(card: str, section: str) -> str:
    """Put a section before the limits of use, or at the end; "" changes nothing."""
    if not section:
        return card
    before, limits, after = card.partition(LIMITS)
    return f"{before.rstrip()}\n\n{section}\n\n{limits}{after}".rstrip() + "\n"


def _row_of(trained: Run, name: str, matrix: Mapping[str, Any]) -> tuple[str, str]:
    """Name the row that stands for a model, and say what it is.

    Raises:
        UserError: none does.
    """
    rows = {row["name"]: row["kind"] for row in matrix["rows_planned"]}
    for called in (name, trained.folder.resolve().name):
        if rows.get(called) == files.MODEL:
            return called, "This model on clips of speakers that it was not trained on."
    dataset = str(trained.source["dataset"])
    known = () if trained.split.leaky else (*trained.split.train, *trained.split.validation)
    corpora = {corpus_of(name, dataset) for name in known} or set(dataset.split("+"))
    row = dataset = "+".join(name for name in dataset.split("+") if name in corpora)
    explained = f"Models trained with the same settings on {dataset}, tested on other corpora."
    if corpora == set(matrix["columns"]):
        row = files.ALL_OTHERS
        explained = (
            "This model was trained on all of these corpora. Each row is another model, trained "
            "with the same settings on the other corpora alone: what to expect of a corpus that "
            "was not trained on."
        )
    if row not in rows:
        raise UserError(
            f"the matrix {matrix['name']} has no row for a model of {dataset}; it has "
            f"{', '.join(rows)}"
        )
    own, theirs = flat(trained.config), renamed(matrix["config"])
    differ = [n for n in own if n in theirs and own[n] != theirs[n] and n not in MAY_DIFFER]
    if differ:
        raise UserError(
            f"the matrix {matrix['name']} has other settings than {trained.folder} "
            f"({', '.join(differ)})"
        )
    return row, explained

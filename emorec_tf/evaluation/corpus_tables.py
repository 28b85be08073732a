"""A matrix of corpora in words: tables for the console, the report page and the model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emorec_tf.evaluation.model_card import between, percent

MEAN = "mean elsewhere"
WITHIN = "*"  # marks a cross-validation within the corpus
CELLS = (
    "Scores are over the classes that training set and corpus both have; "
    f"{WITHIN} marks speakers of the same corpus, held out."
)
NOTE = f"{CELLS} Brackets: 95 % over speakers. The mean is over the other corpora."
Words = tuple[str, list[str], list[list[str]]]  # title, head, rows


def overview(matrix: Mapping[str, Any]) -> Words:
    """Rows are training sets, columns tested corpora; the last row is chance."""
    columns = list(matrix["columns"])
    cells = {(cell["train"], cell["test"]): cell for cell in matrix["cells"]}
    rows = []
    for name in matrix["rows"]:
        mean = matrix["means"].get(name)
        shown = [_score(cells.get((name, column))) for column in columns]
        rows.append([name, *shown, "-" if mean is None else percent(mean)])
    chance = [_chance(matrix["chance"].get(column, [])) for column in columns]
    return (
        f"UAR in the matrix of corpora ({WITHIN} within the corpus)",
        ["trained on", *columns, MEAN],
        [*rows, ["chance", *chance, ""]],
    )


def details(matrix: Mapping[str, Any], row: str | None = None) -> Words:
    """One row per cell: accuracy, calibration, the class predicted most often, recalls.

    Args:
        matrix: of ``crosscorpus_files``.
        row: a single training set; None: all.
    """
    rows = [
        [
            *([cell["train"]] if row is None else []),
            cell["test"] + WITHIN * cell["within"],
            f"{cell['n']} ({cell['speakers']})",
            percent(cell["war"]),
            percent(cell["ece"]),
            percent(cell["accuracy_at_50"]),
            f"{cell['most_predicted']} {100 * cell['share']:.0f} %",
            recalls(cell),
        ]
        for cell in matrix["cells"]
        if row in (None, cell["train"])
    ]
    head = ["tested on", "clips (speakers)", "accuracy", "ECE", "accuracy of the surest half"]
    head += ["predicted most", "recalls in %"]
    return "Predictions", [*(["trained on"] if row is None else []), *head], rows


def row_of(matrix: Mapping[str, Any], row: str) -> Words:
    """One training set: a row per tested corpus with UAR, interval and chance."""
    rows = [
        [
            cell["test"] + WITHIN * cell["within"],
            f"{cell['n']} ({cell['speakers']})",
            percent(cell["uar"]),
            between(cell["uar_ci95"]),
            percent(cell["chance_uar"]),
            percent(cell["ece"]),
            f"{cell['most_predicted']} {100 * cell['share']:.0f} %",
            recalls(cell),
        ]
        for cell in matrix["cells"]
        if cell["train"] == row
    ]
    head = ["tested on", "clips (speakers)", "UAR", "95 % interval over speakers", "chance"]
    return row, [*head, "ECE", "predicted most", "recalls in %"], rows


def line(cell: Mapping[str, Any]) -> str:
    """Say in one line what a cell predicts."""
    pair = f"{cell['train']} on {cell['test']}{WITHIN * cell['within']}"
    return (
        f"{pair}: {cell['n']} clips, {cell['speakers']} speakers, accuracy {percent(cell['war'])}, "
        f"calibration error {percent(cell['ece'])}, says {cell['most_predicted']} in "
        f"{100 * cell['share']:.0f} %; recalls in %: {recalls(cell)}"
    )


def recalls(cell: Mapping[str, Any]) -> str:
    """Write the recall of each class."""
    found = cell["per_class_recall"].items()
    return ", ".join(f"{name} {100 * recall:.0f}" for name, recall in found)


def _score(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return "-"
    low_high = cell["uar_ci95"]
    interval = f" ({100 * low_high[0]:.0f} to {100 * low_high[1]:.0f})" if low_high else ""
    return f"{100 * cell['uar']:.1f}{interval}{WITHIN * cell['within']}"


def _chance(values: Sequence[float]) -> str:
    if not values:
        return "-"
    low, high = (f"{100 * value:.1f}" for value in values)
    return low if low == high else f"{low} to {high}"

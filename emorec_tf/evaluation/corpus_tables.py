"""A matrix of corpora in words: tables for the console, the report page and the model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emorec_tf.evaluation.crosscorpus_files import left_out_line
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
    lacking = {(one["train"], one["test"]): one["lacks"] for one in matrix.get("unusable", ())}
    rows = []
    for name in matrix["rows"]:
        mean = matrix["means"].get(name)
        shown = [
            _score(cells.get((name, column)), lacking.get((name, column))) for column in columns
        ]
        rows.append([_label(matrix, name), *shown, "-" if mean is None else f"{100 * mean:.1f}"])
    chance = [_chance(matrix["chance"].get(column, [])) for column in columns]
    return (
        f"UAR in %, rows: trained on; columns: tested on ({WITHIN} within the corpus)",
        ["trained on", *(f"on {column}" for column in columns), MEAN],
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
            *([_label(matrix, cell["train"])] if row is None else []),
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


def lines(matrix: Mapping[str, Any]) -> list[str]:
    """Say in a line what each cell predicts, or that it has no score."""
    found = [f"{_pair(matrix, cell)}: {_line(cell)}" for cell in matrix["cells"]]
    return found + [f"{one}: no score{why}" for one, why in _missing(matrix)]


def missing(matrix: Mapping[str, Any]) -> list[str]:
    """Name the pairs without a score, and why where all clips lack what the model uses."""
    return [f"{one}{why}" for one, why in _missing(matrix)]


def _missing(matrix: Mapping[str, Any]) -> list[tuple[str, str]]:
    lacking = {(one["train"], one["test"]): one for one in matrix.get("unusable", ())}
    found = []
    for train, test in matrix.get("missing", ()):
        one, why = lacking.get((train, test)), ""
        if one:
            why = f" ({left_out_line(one['left_out'], one['lacks'], one['left_out'])})"
        found.append((_pair(matrix, {"train": train, "test": test, "within": False}), why))
    return found


def _pair(matrix: Mapping[str, Any], cell: Mapping[str, Any]) -> str:
    trained = matrix.get("labels", {}).get(cell["train"], cell["train"])
    before = "" if "trained on" in trained else "trained on "
    return f"{before}{trained}, tested on {cell['test']}{WITHIN * cell['within']}"


def _label(matrix: Mapping[str, Any], row: str) -> str:
    """A row's name, of a trained model with its corpora."""
    return str(matrix.get("labels", {}).get(row, row))


def _line(cell: Mapping[str, Any]) -> str:
    count = cell.get("left_out", 0)
    rest = f"; {left_out_line(count, cell['lacks'], cell['n'] + count)}" if count else ""
    return (
        f"{cell['n']} clips, {cell['speakers']} speakers, accuracy {percent(cell['war'])}, "
        f"calibration error {percent(cell['ece'])}, says {cell['most_predicted']} in "
        f"{100 * cell['share']:.0f} %; recalls in %: {recalls(cell)}{rest}"
    )


def recalls(cell: Mapping[str, Any]) -> str:
    """Write the recall of each class."""
    found = cell["per_class_recall"].items()
    return ", ".join(f"{name} {100 * recall:.0f}" for name, recall in found)


def _score(cell: Mapping[str, Any] | None, lacks: str | None) -> str:
    if cell is None:
        return f"no {lacks}" if lacks else "-"
    low_high = cell["uar_ci95"]
    interval = f" ({100 * low_high[0]:.0f} to {100 * low_high[1]:.0f})" if low_high else ""
    return f"{100 * cell['uar']:.1f}{interval}{WITHIN * cell['within']}"


def _chance(values: Sequence[float]) -> str:
    if not values:
        return "-"
    low, high = (f"{100 * value:.1f}" for value in values)
    return low if low == high else f"{low} to {high}"

"""The files of a matrix of corpora: joined from its scored runs, whenever one is finished.

``crosscorpus.json`` says what was planned, ``matrix.csv`` and ``matrix.json`` hold one cell per
training set and tested corpus, ``matrix.png`` draws them. They are computed from the predictions in
``predictions/TRAIN/TEST/predictions.csv``. Runs lie in ``rows/TRAIN``. No TensorFlow here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf.errors import UserError
from emorec_tf.evaluation import corpus_scores, crossval_files
from emorec_tf.storage.files import read_csv, rows_to_csv, write_atomically
from emorec_tf.storage.locks import alone

FACTS = "crosscorpus.json"
MATRIX = "matrix.json"
CORPUS, OTHERS, MODEL = "corpus", "others", "model"  # kinds of rows
ALL_OTHERS = "all others"
WITHIN = "within"
LACKS = "lacks"  # column of predictions, where some clips have nothing of what the model uses
Row = dict[str, Any]
Table = list[Row]


def row_folder(folder: Path, row: str) -> Path:
    """Folder of the runs of a row."""
    return folder / "rows" / _safe(row)


def run_folder(folder: Path, row: str, held_out: str, seed: int) -> Path:
    """Run directory of a training set: a corpus, or all others than ``held_out``."""
    parent = row_folder(folder, row)
    return (parent / _safe(held_out) if held_out else parent) / f"seed-{seed}"


def scored_on(run: Path, corpus: str) -> Path:
    """Where a run's predictions on a corpus are."""
    return run / f"on-{_safe(corpus)}.csv"


def predictions_file(folder: Path, train: str, test: str) -> Path:
    """Joined predictions of a pair."""
    return folder / "predictions" / _safe(train) / _safe(test) / "predictions.csv"


def planned(folder: Path) -> dict[str, Any]:
    """Read crosscorpus.json.

    Raises:
        UserError: no such file, or a damaged one.
    """
    path = folder / FACTS
    if not path.is_file():
        raise UserError(
            f"no matrix of corpora in {folder}; python -m emorec_tf.crosscorpus makes one"
        )
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _ = [facts[key] for key in ("config", "models", "corpora", "fingerprint", "seeds")]
        _ = [row[key] for row in facts["rows"] for key in ("name", "kind", "trained_on")]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged; --overwrite starts again") from error
    return facts


def read(folder: str | Path) -> dict[str, Any]:
    """Read the matrix of a folder.

    Returns:
        What ``join`` wrote, the facts of the plan, ``name`` of the folder, and as
        ``rows_planned`` the rows with their kinds.

    Raises:
        UserError: no finished matrix there, or a damaged one.
    """
    folder = Path(folder)
    facts = planned(folder)
    try:
        matrix: dict[str, Any] = json.loads((folder / MATRIX).read_text(encoding="utf-8"))
        _ = [cell[key] for cell in matrix["cells"] for key in ("train", "test", "uar", "classes")]
        _ = [matrix[key] for key in ("rows", "columns", "means", "chance")]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder / MATRIX} is missing or damaged; run the crosscorpus command again"
        ) from error
    names = {"name": folder.resolve().name, "rows_planned": facts["rows"]}
    return {**facts, **matrix, **names}


def join(folder: Path) -> dict[str, Any]:
    """Write the matrix from all runs that are scored; return it (no cells: none is)."""
    from emorec_tf.tasks import matrix_plot, plots

    with alone(folder / ".lock"):
        facts = planned(folder)
        columns = list(facts["corpora"])
        cells: Table = []
        unusable: Table = []
        for row in facts["rows"]:
            for column in columns:
                found = _cell(folder, facts, row, column)
                if found:
                    (cells if "uar" in found else unusable).append(found)
        rows = [row["name"] for row in facts["rows"]]
        means = {row: mean_elsewhere(cells, row) for row in rows}
        matrix: dict[str, Any] = {
            "rows": rows,
            "columns": columns,
            "cells": cells,
            "means": means,
            "chance": {column: _chance(cells, column) for column in columns},
            "missing": _missing(facts, cells),
            "labels": {row["name"]: _label(facts, row) for row in facts["rows"]},
            **({"unusable": unusable} if unusable else {}),
        }
        if not cells:
            return matrix
        write_atomically(folder / "matrix.csv", rows_to_csv([*map(corpus_scores.flat, cells)]))
        drawn = (rows, columns, cells, means, matrix["labels"], unusable)
        figure = matrix_plot.matrix_figure(*drawn)
        write_atomically(folder / "matrix.png", plots.png(figure))
        write_atomically(folder / MATRIX, json.dumps(matrix, indent=1))
        return matrix


def mean_elsewhere(cells: Sequence[Row], row: str) -> float | None:
    """Mean UAR of a row over the corpora that it was not trained on; None without any."""
    values = [cell["uar"] for cell in cells if cell["train"] == row and not cell["within"]]
    return float(np.mean(values)) if values else None


def _cell(folder: Path, facts: dict[str, Any], row: Row, column: str) -> Row | None:
    """Score a pair and write its predictions; None where nothing is there to score.

    Where all clips lack what the model uses, only their number and what they lack.
    """
    every = _rows(folder, facts, row, column)
    lacking = {line["clip_id"]: line[LACKS] for line in every if line.get(LACKS)}
    rows = [{k: v for k, v in one.items() if k != LACKS} for one in every if not one.get(LACKS)]
    left_out = {"left_out": len(lacking), LACKS: next(iter(lacking.values()))} if lacking else {}
    if lacking and not rows:
        return {"train": row["name"], "test": column, **left_out}
    found = corpus_scores.cell(rows)
    if found is None:
        return None
    path = predictions_file(folder, row["name"], column)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, rows_to_csv(rows))
    within = column in row["trained_on"]
    marks = {"train": row["name"], "test": column, "kind": row["kind"], "within": within}
    return {**marks, **found, **left_out}


def left_out_line(count: int, lacks: str, clips: int) -> str:
    """Say how many clips have nothing of what a model uses."""
    if count == clips:
        return f"no clip of {clips} has {'a face' if lacks == 'face' else lacks}"
    verb, left = ("has", "is") if count == 1 else ("have", "are")
    return f"{count} of {clips} clips {verb} no {lacks} and {left} left out"


def _label(facts: dict[str, Any], row: Row) -> str:
    """Say what a row was trained on: "ravdess", "mine (trained on ravdess)", "all others"."""
    if row["kind"] != MODEL:
        return str(row["name"])
    dataset = str(facts["models"].get(row["name"], {}).get("dataset", ""))
    # A corpus of the matrix counts where speakers of it were trained on.
    unknown = set(facts["corpora"]) - set(row["trained_on"])
    names = [name for name in dataset.split("+") if name and name not in unknown]
    return f"{row['name']} (trained on {'+'.join(names)})" if names else str(row["name"])


def _rows(folder: Path, facts: dict[str, Any], row: Row, column: str) -> Table:
    """Predictions of a row's runs on a corpus, of all seeds that are done."""
    name = row["name"]
    if row["kind"] == MODEL:
        return _table(scored_on(row_folder(folder, name), column))
    if column in row["trained_on"]:
        return _table(row_folder(folder, name) / WITHIN / f"{crossval_files.PREDICTIONS}.csv")
    held_out = column if row["kind"] == OTHERS else ""
    runs = [run_folder(folder, name, held_out, seed) for seed in facts["seeds"]]
    return [line for run in runs for line in _table(scored_on(run, column))]


def _table(path: Path) -> Table:
    return [dict(row) for row in read_csv(path)] if path.is_file() else []


def _chance(cells: Sequence[Row], column: str) -> list[float]:
    """Lowest and highest chance of a column; they differ where the rows' classes do."""
    values = [cell["chance_uar"] for cell in cells if cell["test"] == column]
    return [min(values), max(values)] if values else []


def _missing(facts: dict[str, Any], cells: Sequence[Row]) -> list[list[str]]:
    """Pairs without a cell."""
    done = {(cell["train"], cell["test"]) for cell in cells}
    pairs = [(row["name"], column) for row in facts["rows"] for column in facts["corpora"]]
    return [list(pair) for pair in pairs if pair not in done]


def _safe(name: str) -> str:
    return re.sub(r"[^\w.+-]", "_", name)

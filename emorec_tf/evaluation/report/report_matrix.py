"""The matrix of corpora on the report page: a heat map, UAR by pair, what each cell predicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emorec_tf.evaluation import corpus_scores, corpus_tables
from emorec_tf.evaluation.report.report_plots import Plot
from emorec_tf.evaluation.report.report_tables import Row, Table
from emorec_tf.storage.files import rows_to_csv
from emorec_tf.tasks import matrix_plot, plots

CAPTION = "Rows: what was trained on; columns: what was tested on; shade: UAR above chance."


@dataclass(frozen=True)
class Section:
    """What the page shows of a matrix; files lie below the report's folder."""

    name: str
    columns: tuple[str, ...]
    plot: Plot
    tables: tuple[Table, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    command: str


def section(matrix: Mapping[str, Any]) -> Section:
    """Draw and format a matrix.

    Args:
        matrix: as ``crosscorpus_files.read`` returns it.
    """
    name = str(matrix["name"])
    drawn = (matrix["rows"], matrix["columns"], matrix["cells"], matrix["means"])
    more = (matrix.get("labels", {}), matrix.get("unusable", ()))
    figure = matrix_plot.matrix_figure(*drawn, *more)
    svg = plots.svg(figure, f"matrix of corpora {name}")
    return Section(
        name=name,
        columns=tuple(matrix["columns"]),
        plot=Plot(f"{name}/matrix.png", plots.png(figure), svg, CAPTION),
        tables=(_overview(name, matrix), _details(name, matrix)),
        missing=tuple(corpus_tables.missing(matrix)),
        notes=tuple(matrix.get("notes", ())),
        command=str(matrix.get("command", "")),
    )


def _overview(name: str, matrix: Mapping[str, Any]) -> Table:
    title, head, rows = corpus_tables.overview(matrix)
    csv = rows_to_csv([dict(zip(head, row, strict=True)) for row in rows])
    cells = tuple(Row(tuple(row)) for row in rows)
    numbers = tuple(range(1, len(head)))
    file = f"{name}/overview.csv"
    return Table(title, file, tuple(head), cells, csv, corpus_tables.NOTE, numbers)


def _details(name: str, matrix: Mapping[str, Any]) -> Table:
    title, head, rows = corpus_tables.details(matrix)
    csv = rows_to_csv([corpus_scores.flat(cell) for cell in matrix["cells"]])
    cells = tuple(Row(tuple(row)) for row in rows)
    note = "Over the classes of both; the surest half are the clips of highest confidence."
    return Table(title, f"{name}/matrix.csv", tuple(head), cells, csv, note)

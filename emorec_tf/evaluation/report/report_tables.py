"""Tables of the report, as CSV with all digits and formatted for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emorec_tf.evaluation import shown_names
from emorec_tf.evaluation.crossval_results import FinishedRun
from emorec_tf.evaluation.model_card import baseline, between, percent, plain
from emorec_tf.evaluation.subgroups import INCONCLUSIVE
from emorec_tf.storage.files import rows_to_csv

SLICES_NOTE = (
    f"Gap: to all other clips, over the classes that both have, in percentage points. Chance: one "
    f"over the number of classes in the subgroup. {INCONCLUSIVE.capitalize()}."
)
HEADINGS = {"uar": "UAR", "war": "WAR", "ccc": "CCC", "pcc": "PCC", "rmse": "RMSE"}
HEADINGS |= {"clips that have": "modalities present", "follows": "conclusion", "figure": "metric"}
SHOWN = {"clips that have": shown_names.modality, "condition": shown_names.corruption}
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Row:
    """Formatted cells; whether it is one of the runs; which cells get a red LEAKY badge."""

    cells: tuple[str, ...]
    ours: bool = False
    leaky: tuple[int, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table of the page; ``csv`` holds the same with unrounded numbers."""

    title: str
    file: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]
    csv: str
    note: str = ""
    numbers: tuple[int, ...] = ()  # columns of numbers, aligned to the right

    @property
    def wide(self) -> bool:
        """Whether it needs the whole width of the page."""
        return len(self.head) > 5


def of_run(run: FinishedRun, found: Mapping[str, Any]) -> list[Table]:
    """Make the tables of one run; those without rows are left out."""
    calibrated = found.get("calibration")
    base = baseline(found["scores"])
    unit = "" if run.task.rating else ", in percentage points"
    plan: list[tuple[str, str, Rows, str]] = [
        ("Classes", "classes", found.get("recalls", ()), base),
        ("Corpora", "corpora", found["corpora"], "Each corpus by itself."),
        ("Coverage", "coverage", found["coverage"], f"Every clip is evaluated. {base}"),
        (
            "Robustness",
            "robustness",
            found["robustness"],
            f"Means over folds; change from the unmodified clips{unit}. {base}",
        ),
        ("Subgroups", "slices", found.get("slices", ()), f"{SLICES_NOTE} {base}"),
        ("Folds", "folds", found["folds"], base),
        ("Seeds", "seeds", found["seeds"], base),
        ("Speakers", "speakers", found["speakers"], base),
    ]
    if calibrated:
        plan += [
            ("Calibration", "calibration", _calibration(calibrated), _verdict(calibrated)),
            (
                "Risk and coverage",
                "risk_coverage",
                found["risk"],
                f"Error rates of the most confident predictions. {base}",
            ),
        ]
    return [_table(run, *line) for line in plan if line[2]]


def side_files(run: FinishedRun, found: Mapping[str, Any]) -> dict[str, str]:
    """Return {file: CSV} of the plots that have no table on the page."""
    behind: dict[str, Rows] = {"training": found["training"]}
    if run.classes:
        behind["confusion"] = [
            {"label": name} | dict(zip(run.classes, row, strict=True))
            for name, row in zip(run.classes, found["scores"]["confusion"], strict=True)
        ]
        behind["reliability"] = found["reliability"]
    else:
        pairs = zip(run.clip_ids, run.truth, run.answers, strict=True)
        behind["scatter"] = [{"clip_id": c, "label": t, "prediction": a} for c, t, a in pairs]
    return {f"{run.name}/{k}.csv": marked_csv(run, rows) for k, rows in behind.items() if rows}


def _table(run: FinishedRun, title: str, name: str, rows: Rows, note: str) -> Table:
    shown = [_shown(row, bool(run.task.rating)) for row in rows]
    for row in shown:
        if "fold" in row:
            row["fold"] = run.label(row["fold"]).removeprefix("fold ")
    head = tuple(shown[0])
    numbers = tuple(
        i
        for i, key in enumerate(head)
        if i and any(isinstance(r.get(key), (int, float)) for r in rows)
    )
    cells = tuple(Row(tuple(row.values())) for row in shown)
    head = tuple(HEADINGS.get(name, name.replace("_", " ")) for name in head)
    file = f"{run.name}/{name}.csv"
    return Table(title, file, head, cells, marked_csv(run, rows), note, numbers)


def _shown(row: Mapping[str, Any], rated: bool) -> dict[str, str]:
    """Format a row: shares as percent, differences as points, intervals in one cell."""
    words = {}
    for key, value in row.items():
        if key.endswith("_ci95"):
            continue
        if rated and key != "share" and isinstance(value, float):
            words[key] = f"{value:+.3f}" if key == "change" else plain(value)
        elif key in ("gap", "change"):
            words[key] = points(value, row.get(f"{key}_ci95"))
        elif key == "value" and isinstance(value, float):  # ECE as everywhere on the page
            words[key] = percent(value) if "ECE" in row["figure"] else f"{value:.3f}"
        elif isinstance(value, float) or value is None:
            words[key] = percent(value)
        else:
            words[key] = SHOWN.get(key, str)(value)
        if row.get(f"{key}_ci95") and key != "gap":
            words[key] += f" ({between(row[f'{key}_ci95'])})"
    return words


def points(value: float | None, ci95: Sequence[float] | None = None) -> str:
    """Write a difference of shares in points, with its interval: +1.2 (-3.4 to +5.6)."""
    if value is None:
        return "-"
    interval = f" ({100 * ci95[0]:+.1f} to {100 * ci95[1]:+.1f})" if ci95 else ""
    return f"{100 * value:+.1f}{interval}"


def marked_csv(run: FinishedRun, rows: Rows) -> str:
    """Write rows as CSV with the run, its protocol and its speaker mode."""
    marks = {
        "run": run.name,
        "protocol": run.facts["protocol"],
        "mode": run.mode,
        "leaky": "LEAKY" if run.leaky else "",
    }
    return rows_to_csv([marks | _flat(row) for row in rows])


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Give each end of an interval its own column."""
    found: dict[str, Any] = {}
    for key, value in row.items():
        if key.endswith("_ci95"):
            low, high = value or (None, None)
            found |= {f"{key}_low": low, f"{key}_high": high}
        else:
            found[key] = value
    return found


def _calibration(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    values = {
        "expected calibration error (ECE)": found["ece"],
        "ECE of a fold before temperature, mean": found["ece_before"],
        "ECE of a fold at its temperature, mean": found["ece_after"],
        "temperature, mean": found["temperature"],
        "Brier score (0 best, 2 worst)": found["brier"],
        "negative log-likelihood, nats": found["nll"],
        "area under risk and coverage (AURC)": found["aurc"],
    }
    return [{"figure": name, "value": value} for name, value in values.items() if value is not None]


def _verdict(found: Mapping[str, Any]) -> str:
    if found["ece_before"] is None:
        return "No temperatures are recorded."
    did = "lowered" if found["ece_after"] < found["ece_before"] else "did NOT lower"
    return (
        f"Temperatures fitted on validation speakers {did} the calibration error on test speakers, "
        f"averaged over {found['folds']} fold{'' if found['folds'] == 1 else 's'}."
    )

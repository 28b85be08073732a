"""The report page of cross-validated runs, made from their files alone, with plots and tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from emorec_tf.errors import UserError
from emorec_tf.evaluation import model_card, subgroups
from emorec_tf.evaluation.completeness import NOT_COMPARABLE, whole
from emorec_tf.evaluation.crossval_results import FinishedRun
from emorec_tf.evaluation.report import (
    published_results,
    report_matrix,
    report_plots,
    report_tables,
)
from emorec_tf.evaluation.run_metrics import run_metrics
from emorec_tf.storage.files import write_atomically

TEMPLATE = Path(__file__).with_name("report_page.html.j2")
NO_FACE = ("voice, no face", "neither")
ABSENT = {
    "robustness": "Robustness: not measured (no robustness.csv).",
    "training": "No history.csv: there are no training curves.",
    "slices": "No subgroups: the clips' traits are unknown; --records FOLDER gives sex, age, ...",
}


def write(
    runs: Sequence[FinishedRun],
    out: Path,
    records: str | None = None,
    command: str = "",
    matrix: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write the page, its plots and tables, and a model card into each run.

    Args:
        runs: as ``crossval_results.joined`` returns them.
        out: the page.
        records: folder of records with the clips' traits.
        command: the command line, for the foot of the page.
        matrix: of corpora, as ``crosscorpus_files.read`` returns it; None: no such section.

    Returns:
        The page, the folder of plots and tables, the model cards.

    Raises:
        UserError: the records do not fit the runs, or ``out`` cannot be written.
    """
    found = []
    for one in runs:
        traits = subgroups.traits_of(
            one.clip_ids.tolist(),
            one.facts["dataset"],
            records,
            with_emotion=one.facts["target"] != "emotion",
        )
        found.append(run_metrics(one, traits))
    folder = out.with_name(f"{out.stem}_files")
    sections = [section(*pair, folder) for pair in zip(runs, found, strict=True)]
    compared, published = published_results.compared(runs), published_results.published(runs, found)
    for table in [*([compared] if compared else []), *published]:
        save(folder / table.file, table.csv)
    across = report_matrix.section(matrix) if matrix else None
    if across:
        save(folder / across.plot.file, across.plot.png)
        for table in across.tables:
            save(folder / table.file, table.csv)
    page = render(runs, sections, compared, published, folder.name, command, across)
    save(out, page)
    cards = []
    for one, metrics in zip(runs, found, strict=True):
        for parent in one.folders:
            write_atomically(parent / "MODEL_CARD.md", model_card.model_card(one, metrics))
            cards.append(parent / "MODEL_CARD.md")
    return [out, folder, *cards]


def save(path: Path, content: str | bytes) -> None:
    """Write a file whole, making its folder."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{path.parent} is no folder; give another --out") from error
    if path.is_dir():
        raise UserError(f"{path} is a folder; give another --out")
    write_atomically(path, content)


def section(run: FinishedRun, found: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Write a run's plots and tables; return what the page shows of it."""
    facts = run.facts
    tables = report_tables.of_run(run, found)
    for name, text in report_tables.side_files(run, found).items():
        save(folder / name, text)
    for table in tables:
        save(folder / table.file, table.csv)
    plots = report_plots.plots_of(run, found)
    for plot in plots:
        save(folder / plot.file, plot.png)
    faceless = [r["share"] for r in found["coverage"][1:] if r["clips that have"] in NO_FACE]
    return {
        "name": run.name,
        "anchor": "run-" + re.sub(r"\W+", "-", run.name),
        "leaky": run.leaky,
        "missing": run.missing,
        "scope": run.scope,
        "not_comparable": NOT_COMPARABLE,
        "mode": model_card.MODE_NAMES[run.mode],
        "mode_meaning": model_card.mode_meaning(run),
        "protocol": facts["protocol"],
        "fingerprint": facts["protocol_stamp"],
        "notes": facts["notes"],
        "target": run.target,
        "rating": run.task.rating,
        "scores": found["scores"],
        "calibration": found.get("calibration"),
        "no_face": sum(faceless),
        "tested": model_card.tested(run),
        "seed_count": len(found["seeds"]),
        "fold_count": f"{len(found['folds'])} of {whole(facts)[0]} folds",
        "plots": plots,
        "tables": tables,
        "absent": [line for key, line in ABSENT.items() if key in found and not found[key]],
        "command": facts.get("command", "unknown"),
        "versions": made_with(facts),
        "config": list(facts.get("config", {}).items()),
    }


def made_with(facts: Mapping[str, Any]) -> str:
    """Versions, machine, size and time in one line."""
    words = [f"{name} {number}" for name, number in facts.get("versions", {}).items()]
    words.append(str(facts.get("machine", "machine unknown")))
    if facts.get("parameters"):
        words.append(f"{facts['parameters']:,} parameters")
    if facts.get("seconds"):
        words.append(f"{facts['seconds'] / 3600:.1f} hours of training")
    return "; ".join(words)


def render(
    runs: Sequence[FinishedRun],
    sections: Sequence[Mapping[str, Any]],
    compared: Any,
    published: Sequence[Any],
    folder: str,
    command: str,
    across: report_matrix.Section | None = None,
) -> str:
    """Fill the template; everything in it but the plots is escaped."""
    sources = [
        {"dataset": f["dataset"], "label": f.get("label_meaning"), "licence": f.get("licence")}
        for f in (run.facts for run in runs)
    ]
    names = [str(source["dataset"]) for source in sources] or (across.columns if across else [])
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=unbroken,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("percent", "between", "plain", "plain_between"):
        environment.filters[name] = getattr(model_card, name)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=f"Emotion recognition on {', '.join(dict.fromkeys(names))}",
        runs=sections,
        across=across,
        compared=compared,
        published=published,
        folder=folder,
        command=command,
        limits=model_card.LIMITS,
        leaky_warning=model_card.LEAKY_WARNING,
        sources=list({tuple(s.items()): s for s in sources}.values()),
    )


def unbroken(value: Any) -> Any:
    """Keep numbers, their units and the ends of an interval on one line."""
    if type(value) is not str:  # the plots are marked as safe
        return value
    return re.sub(r"(?<=[\d%]) (?=%|to [+\-\d])|(?<=\d to) (?=[+\-\d])", "\u00a0", value)

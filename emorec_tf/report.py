"""Command: cross-validated runs to one page that a person enjoys, from their files alone."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorec_tf.cli import guarded, parse
from emorec_tf.config.fields import option
from emorec_tf.errors import UserError

if TYPE_CHECKING:
    from emorec_tf.evaluation.crossval_results import FinishedRun

TEMPLATE = Path(__file__).parent / "evaluation/report/report_page.html.j2"
NO_FACE = ("voice, no face", "neither")
ABSENT = {
    "robustness": "No robustness.csv: the run was not scored with voice or face missing.",
    "training": "No history.csv: there are no training curves.",
    "slices": "No slices: nothing is known of the clips; --records FOLDER tells sex, age, ...",
}


@dataclass(frozen=True)
class ReportOptions:
    """Which runs, where to."""

    run: tuple[str, ...] = option(
        (), "folders that crossval wrote; folders that share out one run are joined", several=True
    )
    out: str = option("report.html", "the page; pictures and tables go into <out>_files beside it")
    records: str | None = option(None, "records of the runs: sex, age, ... of clips not so named")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Write the page, a folder of pictures and tables, and a MODEL_CARD.md into each run."""
    options = ReportOptions(**parse(argv, "report", ReportOptions, config_flag=False))
    if not options.run:
        raise UserError("report needs --run FOLDER [FOLDER ...], which crossval wrote")
    if not options.out.endswith((".html", ".htm")):
        raise UserError(f"--out {options.out!r} must end in .html; give --out report.html")
    if len({Path(folder).resolve() for folder in options.run}) < len(options.run):
        raise UserError("--run names a folder twice; name each once")
    from emorec_tf.evaluation import crossval_results

    runs = crossval_results.joined([crossval_results.read(folder) for folder in options.run])
    words = [*(["--records", options.records] if options.records else []), "--out", options.out]
    command = shlex.join(["python", "-m", "emorec_tf.report", "--run", *options.run, *words])
    for path in write(runs, Path(options.out), options.records, command):
        print(f"written: {path}")
    return 0


def write(
    runs: Sequence[FinishedRun], out: Path, records: str | None = None, command: str = ""
) -> list[Path]:
    """Write everything; return the paths a person wants to know.

    Args:
        runs: as ``finished_runs.joined`` gives them.
        out: the page.
        records: folder of records that tells the clips' traits.
        command: what the user typed, for the foot of the page.

    Raises:
        UserError: the records do not fit the runs.
    """
    from emorec_tf.evaluation import figures as run_figures
    from emorec_tf.evaluation import model_card, subgroups
    from emorec_tf.evaluation.report import published_results
    from emorec_tf.storage.files import write_atomically

    found = []
    for one in runs:
        else_learned = one.facts["target"] != "emotion"
        traits = subgroups.traits_of(
            one.clip_ids.tolist(), one.facts["dataset"], records, with_emotion=else_learned
        )
        found.append(run_figures.figures(one, traits))
    folder = out.with_name(f"{out.stem}_files")
    sections = [section(*pair, folder) for pair in zip(runs, found, strict=True)]
    compared, published = published_results.compared(runs), published_results.published(runs, found)
    for table in [*([compared] if compared else []), *published]:
        save(folder / table.file, table.csv)
    page = render(runs, sections, compared, published, folder.name, command)
    save(out, page)
    cards = []
    for one, figures in zip(runs, found, strict=True):
        for place in one.folders:
            write_atomically(place / "MODEL_CARD.md", model_card.model_card(one, figures))
            cards.append(place / "MODEL_CARD.md")
    return [out, folder, *cards]


def save(path: Path, content: str | bytes) -> None:
    """Write a file whole, making its folder."""
    from emorec_tf.storage.files import write_atomically

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{path.parent} is no folder; give another --out") from error
    if path.is_dir():
        raise UserError(f"{path} is a folder; give another --out")
    write_atomically(path, content)


def section(run: FinishedRun, found: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Write a run's pictures and tables; return what the page says about it."""
    from emorec_tf.evaluation.model_card import MODE_MEANING
    from emorec_tf.evaluation.report import report_plots, report_tables

    facts = run.facts
    tables = report_tables.of_run(run, found)
    for name, text in report_tables.side_files(run, found).items():
        save(folder / name, text)
    for table in tables:
        save(folder / table.file, table.csv)
    shown = []
    for picture in report_plots.pictures(run, found):
        save(folder / picture.file, picture.png)
        shown.append(picture)
    faceless = [r["share"] for r in found["coverage"][1:] if r["clips that have"] in NO_FACE]
    return {
        "name": run.name,
        "anchor": "run-" + re.sub(r"\W+", "-", run.name),
        "leaky": run.leaky,
        "missing": run.missing,
        "mode": run.mode,
        "mode_meaning": MODE_MEANING[run.mode],
        "protocol": facts["protocol"],
        "stamp": facts["protocol_stamp"],
        "notes": facts["notes"],
        "target": run.target,
        "rating": run.task.rating,
        "scores": found["scores"],
        "calibration": found.get("calibration"),
        "no_face": sum(faceless),
        "seed_count": len(found["seeds"]),
        "fold_count": f"{len(found['folds'])} of {len(facts['folds'])} folds",
        "pictures": shown,
        "tables": tables,
        "absent": [line for key, line in ABSENT.items() if key in found and not found[key]],
        "command": facts.get("command", "not told"),
        "versions": made_with(facts),
        "config": list(facts.get("config", {}).items()),
    }


def made_with(facts: Mapping[str, Any]) -> str:
    """Name versions, machine, size and time in a line."""
    words = [f"{name} {number}" for name, number in facts.get("versions", {}).items()]
    words.append(str(facts.get("machine", "machine not told")))
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
) -> str:
    """Fill the page; everything in it but our own pictures is escaped."""
    import jinja2

    from emorec_tf.evaluation.model_card import (
        LEAKY_WARNING,
        LIMITS,
        between,
        percent,
        plain,
        plain_between,
    )

    told = [
        {"dataset": f["dataset"], "label": f.get("label_meaning"), "licence": f.get("licence")}
        for f in (run.facts for run in runs)
    ]
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=unbroken,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "between": between}
    environment.filters |= {"plain": plain, "plain_between": plain_between}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title="Emotion recognition on " + ", ".join(dict.fromkeys(t["dataset"] for t in told)),
        runs=sections,
        compared=compared,
        published=published,
        folder=folder,
        command=command,
        limits=LIMITS,
        leaky_warning=LEAKY_WARNING,
        sources=list({tuple(t.items()): t for t in told}.values()),
    )


def unbroken(value: Any) -> Any:
    """Keep numbers, their units and the ends of an interval on one line."""
    if type(value) is not str:  # not what is marked as safe: our own pictures
        return value
    return re.sub(r"(?<=[\d%]) (?=%|to [+\-\d])|(?<=\d to) (?=[+\-\d])", "\u00a0", value)


if __name__ == "__main__":
    sys.exit(main())

"""Command: a run to figures on its test speakers, whom training never saw."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emorec_tf.cli import guarded, parse
from emorec_tf.config.clip import Clip
from emorec_tf.config.fields import option
from emorec_tf.errors import UserError
from emorec_tf.records import records_dir as records
from emorec_tf.splits import splits
from emorec_tf.splits.generic_folds import LEAKY_NOTE
from emorec_tf.storage.files import read_csv, rows_to_csv, write_atomically
from emorec_tf.training import run_dir

if TYPE_CHECKING:
    from emorec_tf.records.corruptions import Damage

ONE_SPLIT = "one split by speakers; test speakers unseen in training and selection"


@dataclass(frozen=True)
class EvaluateOptions:
    """Which run, on which records."""

    run: str | None = option(None, "run directory that train wrote")
    records: str | None = option(None, "records, if they have moved since training")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Score the run, write its files, print the table."""
    options = EvaluateOptions(**parse(argv, "evaluate", EvaluateOptions, config_flag=False))
    if options.run is None:
        raise UserError("evaluate needs --run FOLDER, a run that train wrote")
    loaded = run_dir.load(options.run)
    opened = records.open_records(options.records or str(loaded.config.data.records))
    found = evaluate(loaded, opened)
    print_table(found, loaded)
    return 0


def evaluate(
    run: run_dir.Run, opened: records.Records, protocol: str | None = None
) -> dict[str, Any]:
    """Write metrics.json, predictions.csv, robustness.csv and a picture; return the metrics.

    Raises:
        UserError: records of other settings, or test speakers that are not in them.
    """
    from emorec_tf.records import corruptions
    from emorec_tf.training import logits

    if not run.split.test:
        raise UserError(f"run {run.folder} held nobody out to test it on; crossval does")
    sides, task = logits.scored_sides(run, opened), run.task
    test = sides["test"]
    model = run_dir.load_model(run.model_file)
    temperature = logits.fit_temperature(run, opened, model)
    adapt = logits.adapter_of(run, opened, model, test)
    kept: list[Any] = [None]

    def answer(damage: Damage) -> np.ndarray:
        raw, _ = logits.logits_of(model, opened, test, kept, adapt, damage)
        return task.predictions(raw, temperature)

    raw, clips = logits.logits_of(model, opened, test, kept, adapt)
    told = task.predictions(raw, temperature)
    default = LEAKY_NOTE if run.split.leaky else ONE_SPLIT
    found = facts(run, protocol or default, clips)
    found |= task.scores(clips, raw, temperature, sides["train"])
    found["parameters"] = model.count_params()
    seen = {r["clip_id"]: r for r in read_csv(opened.folder / records.REPORT)}
    rows = [
        {"clip_id": c.clip_id, "speaker": c.speaker, "label": task.label_of(c)}
        | {name: seen[c.clip_id][name] for name in ("audio_present", "faces_found")}
        | task.columns(line)
        for c, line in zip(clips, told, strict=True)
    ]
    found["coverage"] = {
        "clips": len(rows),
        "without_voice": sum(r["audio_present"] == "0" for r in rows),
        "without_face": sum(r["faces_found"] == "0" for r in rows),
    }
    truth = task.truth(clips)
    leaky = "LEAKY, " if run.split.leaky else ""
    figure = f"{task.score.upper()} {found[task.score]:.3f}"
    title = f"{leaky}{run.folder.name}: {figure}, speakers {people(found)}"
    picture = task.plot(truth, told, title)
    conditions = corruptions.table(answer, truth, task.metrics, opened.features)
    write(run, found, rows, conditions, picture)
    return found


def facts(run: run_dir.Run, protocol: str, clips: Sequence[Clip]) -> dict[str, Any]:
    """Say what was scored."""
    return {
        "target": run.config.data.target,
        "target_scale": run.config.data.target_scale,
        "dataset": run.source["dataset"],
        "label_meaning": run.source["label_meaning"],
        "protocol": protocol,
        "leaky": run.split.leaky,
        "mode": run.config.data.mode,
        "enrol": run.config.data.enrol,
        "test_speakers": splits.speakers_of(clips),
        "validation_speakers": [] if run.split.leaky else list(run.split.validation),
        "train_speakers": [] if run.split.leaky else list(run.split.train),
        "seed": run.config.train.seed,
        "epochs": len(run.history),
    }


def write(
    run: run_dir.Run,
    found: dict[str, Any],
    rows: list[dict[str, Any]],
    conditions: list[dict[str, Any]],
    picture: bytes,
) -> None:
    """Write the run's files; metrics.json comes last and says that the others are whole."""
    for name, table in (("predictions", rows), ("robustness", conditions)):
        write_atomically(run.folder / f"{name}.csv", rows_to_csv(table))
    write_atomically(run.folder / f"{run.task.plot_name}.png", picture)
    write_atomically(run.folder / "metrics.json", json.dumps(found, indent=1))


def people(found: dict[str, Any]) -> str:
    """Name the test speakers, not more than fit a line."""
    names = found["test_speakers"]
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if names[12:] else "")


def print_table(found: dict[str, Any], run: run_dir.Run) -> None:
    """Print figures and recalls."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{run.folder}: {known(found)} {people(found)}", show_header=False)
    for line in lines(found):
        table.add_row(*line)
    if run.classes:
        scaling = f"at temperature {found['temperature']:.2f}; without {found['ece_before']:.3f}"
        table.add_row("calibration error", f"{found['ece']:.3f} ({scaling})")
    Console().print(table)
    names = f"predictions.csv, robustness.csv, {run.task.plot_name}.png"
    print(f"written: {run.folder}/metrics.json, {names}")


def lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Name the figures that every table shows, chance and majority beside them."""

    def with_interval(name: str) -> str:
        low_high = found[f"{name}_ci95"]
        if not low_high:
            return f"{found[name]:.3f} (one speaker: no interval)"
        return f"{found[name]:.3f} (95 % over speakers {low_high[0]:.3f} to {low_high[1]:.3f})"

    coverage = found["coverage"]
    lacks = f"{coverage['without_face']} without a face, {coverage['without_voice']} without sound"
    clips = [("clips", f"{coverage['clips']} ({lacks})")]
    if found["target"] != "emotion":
        clips = [("target", found["target"]), *clips]
    if "ccc" in found:
        mean = found["baseline"]
        always = f"always {mean['prediction']:.2f}, the mean in training"
        return [
            *clips,
            *((name.upper(), with_interval(name)) for name in ("ccc", "pcc", "rmse")),
            ("baseline", f"CCC {mean['ccc']:.3f}, RMSE {mean['rmse']:.3f} ({always})"),
        ]
    majority = found["majority_baseline"]
    return [
        *clips,
        ("UAR", with_interval("uar")),
        ("WAR", with_interval("war")),
        ("macro F1", f"{found['macro_f1']:.3f}"),
        ("chance UAR", f"{found['chance_uar']:.3f}"),
        ("majority WAR", f"{majority['war']:.3f} (always {majority['class']})"),
        ("recalls", "  ".join(f"{c} {r:.2f}" for c, r in found["per_class_recall"].items())),
    ]


def known(found: dict[str, Any]) -> str:
    """Say how the model knows those it is tested on."""
    if found["leaky"]:
        return "LEAKY: speakers of training and test are the same,"
    if found["enrol"] == "self":
        return "speakers enrolled by the clip alone,"
    return f"speakers enrolled by {found['enrol']} clips," if found["enrol"] else "unseen speakers"


if __name__ == "__main__":
    sys.exit(main())

"""Command: a run to figures on its test speakers, whom training never saw."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorec_tf import datasets, records, runs, splits
from emorec_tf.clip import Clip, UserError
from emorec_tf.command_line import guarded, parse
from emorec_tf.config import option

if TYPE_CHECKING:
    import keras
    import numpy as np


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
    loaded = runs.load(options.run)
    opened = records.open_records(options.records or str(loaded.config.data.records))
    found = evaluate(loaded, opened)
    print_table(found, loaded.folder)
    return 0


def evaluate(run: runs.Run, opened: records.Records) -> dict[str, Any]:
    """Write metrics.json, predictions.csv and confusion.png; return the metrics.

    Raises:
        UserError: records of other settings, or test speakers that are not in them.
    """
    from emorec_tf import metrics, plots

    if opened.features != run.config.features:
        raise UserError(
            f"records {opened.folder} (stamp {opened.features.stamp()}) were made with other "
            f"feature settings than the run's (stamp {run.config.features.stamp()})"
        )
    clips = datasets.merge_classes(opened.clips, run.config.data.classes)
    clips = splits.clips_of(clips, run.split.test)
    missing = set(run.split.test) - {c.speaker for c in clips}
    if missing:
        raise UserError(f"test speakers {', '.join(sorted(missing))} are not in {opened.folder}")
    probabilities, clips = predictions(runs.load_model(run.model_file), opened, clips)
    labels, speakers = [c.emotion for c in clips], [c.speaker for c in clips]
    found = {
        "dataset": run.source["dataset"],
        "label_meaning": run.source["label_meaning"],
        "protocol": "one split by speakers; test speakers unseen in training and selection",
        "test_speakers": list(run.split.test),
        "validation_speakers": list(run.split.validation),
        "train_speakers": list(run.split.train),
        "seed": run.config.train.seed,
        **metrics.scores(labels, probabilities, run.classes, speakers),
    }
    rows = [
        {"clip_id": c.clip_id, "speaker": c.speaker, "label": c.emotion}
        | {name: f"{p:.6f}" for name, p in zip(run.classes, line, strict=True)}
        for c, line in zip(clips, probabilities, strict=True)
    ]
    title = f"{run.folder.name}: UAR {found['uar']:.3f}, speakers {', '.join(run.split.test)}"
    picture = plots.confusion_picture(found["confusion"], run.classes, title)
    records.write_atomically(run.folder / "predictions.csv", records.rows_to_csv(rows))
    (run.folder / "confusion.png").write_bytes(picture)
    records.write_atomically(run.folder / "metrics.json", json.dumps(found, indent=1))
    return found


def predictions(
    model: keras.Model,
    opened: records.Records,
    clips: Sequence[Clip],
    kept: list[Any] | None = None,
) -> tuple[np.ndarray, list[Clip]]:
    """Probabilities [N, K] of these clips, and the clips in the same order, joined by id.

    Args:
        model: logits from example arrays.
        opened: records that hold the clips.
        clips: which to answer; every one is answered or an error is raised.
        kept: a one-element list in which the batches are kept for the next call.
    """
    import numpy as np
    from scipy.special import softmax

    from emorec_tf import input_pipeline

    batches = kept[0] if kept else None
    if batches is None:
        batches = list(input_pipeline.evaluation(opened, clips))
    if kept is not None:
        kept[0] = batches
    by_id = {c.clip_id: c for c in clips}
    logits = [np.asarray(model.predict_on_batch(inputs)) for inputs, _ in batches]
    ordered = [by_id[i.decode()] for _, ids in batches for i in ids.numpy()]
    if len(ordered) != len(clips):
        raise UserError(f"{opened.folder} gave {len(ordered)} of {len(clips)} clips; prepare anew")
    return softmax(np.concatenate(logits).astype(np.float64), axis=1), ordered


def print_table(found: dict[str, Any], folder: Path) -> None:
    """Print figures and recalls."""
    from rich.console import Console
    from rich.table import Table

    def with_interval(name: str) -> str:
        low_high = found[f"{name}_ci95"]
        if not low_high:
            return f"{found[name]:.3f} (one speaker: no interval)"
        return f"{found[name]:.3f} (95 % over speakers {low_high[0]:.3f} to {low_high[1]:.3f})"

    speakers = ", ".join(found["test_speakers"])
    table = Table(title=f"{folder}: unseen speakers {speakers}", show_header=False)
    table.add_row("clips", str(found["n"]))
    table.add_row("UAR", with_interval("uar"))
    table.add_row("WAR", with_interval("war"))
    table.add_row("macro F1", f"{found['macro_f1']:.3f}")
    table.add_row("chance UAR", f"{found['chance_uar']:.3f}")
    majority = found["majority_baseline"]
    table.add_row("majority WAR", f"{majority['war']:.3f} (always {majority['class']})")
    recalls = "  ".join(f"{c} {r:.2f}" for c, r in found["per_class_recall"].items())
    table.add_row("recalls", recalls)
    Console().print(table)
    print(f"written: {folder}/metrics.json, predictions.csv, confusion.png")


if __name__ == "__main__":
    sys.exit(main())

"""A run to scores on its test speakers: metrics, predictions, robustness, a plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf.config.clip import Clip
from emorec_tf.errors import UserError
from emorec_tf.evaluation import summary
from emorec_tf.records import records_dir
from emorec_tf.records.records_dir import Records
from emorec_tf.splits import splits
from emorec_tf.splits.generic_folds import LEAKY_NOTE
from emorec_tf.storage.files import read_csv, rows_to_csv, write_atomically
from emorec_tf.training import experiment as experiments
from emorec_tf.training import run_dir
from emorec_tf.training.experiment import Experiment
from emorec_tf.training.run_dir import Run

ONE_SPLIT = "one split by speakers; test speakers unseen in training and selection"
Rows = list[dict[str, Any]]


def evaluate(
    run: Run | str | Path, records: Records | str | Path | None = None, protocol: str | None = None
) -> dict[str, Any]:
    """Write metrics.json, predictions.csv, robustness.csv and a plot; return the metrics.

    Args:
        run: opened, or its directory.
        records: opened, or their folder; None: those that the run was trained on.
        protocol: what metrics.json calls the split.

    Raises:
        UserError: no such run or records, records of other settings, or no test speakers.
    """
    run = run if isinstance(run, Run) else run_dir.load(run)
    if not run.split.test:
        raise UserError(f"run {run.folder} held no speaker out to test it on; crossval does")
    if not isinstance(records, Records):
        records = records_dir.open_records(records or str(run.config.data.records))
    experiment = experiments.of_run(run, records)
    found, clips, answers, conditions = _scored(run, experiment)
    rows = _prediction_rows(run, experiment, clips, answers)
    default = LEAKY_NOTE if run.split.leaky else ONE_SPLIT
    metrics = _facts(run, protocol or default, clips) | found
    metrics["coverage"] = {
        "clips": len(rows),
        "without_voice": sum(r["audio_present"] == "0" for r in rows),
        "without_face": sum(r["faces_found"] == "0" for r in rows),
    }
    plot = run.task.plot(run.task.truth(clips), answers, _title(run, metrics))
    _write(run, metrics, rows, conditions, plot)
    return metrics


def _scored(
    run: Run, experiment: Experiment
) -> tuple[dict[str, Any], list[Clip], np.ndarray, Rows]:
    """Metrics, the scored clips, their answers [N, K] or [N], and the robustness table."""
    from emorec_tf.records import corruptions
    from emorec_tf.training import logits
    from emorec_tf.training.speaker_adaptation import SpeakerAdapter

    task, test = run.task, experiment.scored("test")
    model = run_dir.load_model(run.model_file)
    temperature = logits.fit_temperature(run, experiment, model)
    adapter = SpeakerAdapter.for_model(model, run.config.data.adapt).fit(experiment, test, model)
    batches = logits.ClipBatches(experiment.records, test, keep=True)

    def answer(corruption: Any) -> np.ndarray:
        return task.predictions(
            logits.logits_of(model, batches, adapter, corruption)[0], temperature
        )

    raw, clips = logits.logits_of(model, batches, adapter)
    metrics = task.scores(clips, raw, temperature, experiment.scored("train"))
    metrics["parameters"] = model.count_params()
    features = experiment.settings.features
    conditions = corruptions.table(answer, task.truth(clips), task.metrics, features)
    return metrics, clips, task.predictions(raw, temperature), conditions


def _prediction_rows(
    run: Run, experiment: Experiment, clips: Sequence[Clip], answers: np.ndarray
) -> Rows:
    """Rows of predictions.csv."""
    task, report = run.task, experiment.records.folder / records_dir.REPORT
    decoded = {row["clip_id"]: row for row in read_csv(report)}
    return [
        {"clip_id": c.clip_id, "speaker": c.speaker, "label": task.label_of(c)}
        | {name: decoded[c.clip_id][name] for name in ("audio_present", "faces_found")}
        | task.columns(answer)
        for c, answer in zip(clips, answers, strict=True)
    ]


def _facts(run: Run, protocol: str, clips: Sequence[Clip]) -> dict[str, Any]:
    """What was scored."""
    return {
        "target": run.config.data.target,
        "target_scale": run.config.data.target_scale,
        "dataset": run.source["dataset"],
        "label_meaning": run.source["label_meaning"],
        "protocol": protocol,
        "leaky": run.split.leaky,
        "mode": run.config.data.mode,
        "enrol": run.config.data.adapt,
        "test_speakers": splits.speakers_of(clips),
        "validation_speakers": [] if run.split.leaky else list(run.split.validation),
        "train_speakers": [] if run.split.leaky else list(run.split.train),
        "seed": run.config.train.seed,
        "epochs": len(run.history),
    }


def _title(run: Run, metrics: dict[str, Any]) -> str:
    """Title of the plot."""
    leaky, score = "LEAKY, " if run.split.leaky else "", run.task.score
    speakers = summary.speaker_names(metrics)
    return f"{leaky}{run.folder.name}: {score.upper()} {metrics[score]:.3f}, speakers {speakers}"


def _write(run: Run, metrics: dict[str, Any], rows: Rows, conditions: Rows, plot: bytes) -> None:
    """Write the run's files; metrics.json comes last: the others are whole once it is there."""
    for name, table in (("predictions", rows), ("robustness", conditions)):
        write_atomically(run.folder / f"{name}.csv", rows_to_csv(table))
    write_atomically(run.folder / f"{run.task.plot_name}.png", plot)
    write_atomically(run.folder / "metrics.json", json.dumps(metrics, indent=1))

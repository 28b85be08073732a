"""A run to scores on its test speakers: metrics, predictions, robustness, a plot."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf.config import config
from emorec_tf.config.clip import Clip
from emorec_tf.config.fields import check
from emorec_tf.errors import UserError
from emorec_tf.evaluation import summary
from emorec_tf.records import joining
from emorec_tf.records.records_dir import Records
from emorec_tf.splits import splits
from emorec_tf.splits.generic_folds import LEAKY_NOTE, RESTRICTED
from emorec_tf.storage.files import rows_to_csv, write_atomically
from emorec_tf.tasks.tasks import Classification, Task
from emorec_tf.training import experiment as experiments
from emorec_tf.training import run_dir
from emorec_tf.training.experiment import Experiment
from emorec_tf.training.run_dir import Run

FEW = 3  # speakers that the title of a plot names
ROBUSTNESS = "robustness.csv"
ONE_SPLIT = "one split by speakers; test speakers unseen in training and selection"
Rows = list[dict[str, Any]]


def evaluate(
    run: Run | str | Path,
    records: Records | str | Path | None = None,
    protocol: str | None = None,
    *,
    source: str | None = None,
    adapt: int | None = None,
    adapt_by: str = "speaker",
    robustness: bool = True,
) -> dict[str, Any]:
    """Write metrics.json, predictions.csv, robustness.csv and a plot; return the metrics.

    Args:
        run: opened, or its directory.
        records: opened, or their folder; None: those that the run was trained on.
        protocol: what metrics.json calls the split.
        source: folder of the corpus, whose waveforms are then corrupted too: telephone,
            reverberation, codecs.
        adapt: unlabelled clips of each test set that the run is adapted by, and which are not
            scored; the files are then written to ``adapted-N`` in the run's folder. None: as the
            run was trained.
        adapt_by: speaker or corpus: what a set is, with ``adapt``.
        robustness: measure it; False: an earlier robustness.csv is removed.

    Raises:
        UserError: no such run or records, records of other settings, no test speakers, a source
            without the test clips, or a run that cannot be adapted.
    """
    run = run if isinstance(run, Run) else run_dir.load(run)
    if not run.split.test:
        raise UserError(f"run {run.folder} held no speaker out to test it on; crossval does")
    if not isinstance(records, Records):
        records = joining.open_all(records or str(run.config.data.records))
    trained = experiments.of_run(run, records)
    experiment, folder = trained, run.folder
    if adapt is not None:
        experiment, folder = (
            _adapted(trained, adapt, adapt_by),
            adapted_folder(run, adapt, adapt_by),
        )
    task = run.task
    if protocol in RESTRICTED:
        task = task.restricted(experiment.subsets["test"])
    if source is not None and not robustness:
        raise UserError("--source corrupts waveforms for the robustness table; drop one of them")
    found, clips, answers, conditions = _scored(run, trained, experiment, task, source, robustness)
    run = dataclasses.replace(run, config=experiment.settings)
    rows = _prediction_rows(run, experiment, clips, answers)
    default = LEAKY_NOTE if run.split.leaky else ONE_SPLIT
    metrics = _facts(run, protocol or default, clips) | found
    if protocol in RESTRICTED and isinstance(task, Classification):
        metrics["restricted_to"] = list(task.among)
    metrics["coverage"] = {
        "clips": len(rows),
        "without_voice": sum(r["audio_present"] == "0" for r in rows),
        "without_face": sum(r["faces_found"] == "0" for r in rows),
    }
    plot = run.task.plot(run.task.truth(clips), answers, _title(run, metrics))
    folder.mkdir(exist_ok=True)
    _write(folder, run.task, metrics, rows, conditions, plot)
    return metrics


def adapted_folder(run: Run, adapt: int, by: str) -> Path:
    """Where scores of an adapted run go: ``adapted-N``, by corpus ``adapted-N-corpus``."""
    own_rule = isinstance(run.config.data.adapt, int)
    return run.folder / (
        f"adapted-{adapt}" + ("-corpus" if by == "corpus" and not own_rule else "")
    )


def _adapted(trained: Experiment, adapt: int, by: str) -> Experiment:
    """The test clips alone, of which so many of each set are not scored but adapted by.

    Raises:
        UserError: the same speakers are in all subsets.
    """
    if trained.split.leaky:
        raise UserError("--adapt has no meaning where every speaker is known; drop it")
    check(isinstance(adapt, int) and adapt >= 1, "adapt", adapt, "a number of clips from 1")
    given: dict[str, Any] = {"adapt": adapt, "adapt_by": by}
    if isinstance(trained.settings.data.adapt, int):
        del given["adapt_by"]  # it has its own rule
    subsets = {"train": (), "validation": (), "test": trained.subsets["test"]}
    settings = config.build(given, trained.settings)
    return dataclasses.replace(trained, settings=settings, subsets=subsets)


def _scored(
    run: Run,
    trained: Experiment,
    experiment: Experiment,
    task: Task,
    source: str | None,
    robustness: bool,
) -> tuple[dict[str, Any], list[Clip], np.ndarray, Rows]:
    """Metrics, the scored clips, their answers [N, K] or [N], and the robustness table or []."""
    from emorec_tf.evaluation import robustness as tables
    from emorec_tf.evaluation import source_audio
    from emorec_tf.models.audio.embedding import encoders_of
    from emorec_tf.training import adaptation, clip_familiarity, ensemble, logits
    from emorec_tf.training.speaker_adaptation import SpeakerAdapter

    test, data = experiment.scored("test"), experiment.settings.data
    model = ensemble.model_of(run)
    size: dict[str, Any] = {"parameters": model.count_params()}
    if encoders := encoders_of(model):  # whose parameters are not counted
        size["onnx_encoders"] = encoders
    temperature = logits.fit_temperature(run, trained, model)
    if experiment is trained:
        adapter = SpeakerAdapter.for_model(model, data.adapt, data.adapt_audio)
    else:
        model, adapter = adaptation.ready(run, model, data)
    adapter.fit(experiment, test, model)
    batches = logits.ClipBatches(experiment.records, test, keep=True)

    answering = clip_familiarity.Answering(model, run)

    def answer(batches: logits.ClipBatches, corruption: Any = None) -> np.ndarray:
        raw, _, growth, _ = answering.logits_of(batches, adapter, corruption)
        return task.predictions(raw, (temperature or 1.0) * growth)

    raw, clips, growth, familiar = answering.logits_of(batches, adapter)
    metrics = task.scores(clips, raw, temperature, trained.scored("train"), growth)
    metrics |= answering.summary(familiar)
    metrics |= size
    answers = task.predictions(raw, (temperature or 1.0) * growth)
    if not robustness:
        return metrics, clips, answers, []
    clean = tables.Clean(batches, answers, task.truth(clips), run.modalities)
    features, audio = experiment.settings.features, None
    if source is not None:
        audio = source_audio.decoded(run.config, experiment.records, source, clips)
    return metrics, clips, answers, tables.rows(clean, answer, task.metrics, features, audio)


def _prediction_rows(
    run: Run, experiment: Experiment, clips: Sequence[Clip], answers: np.ndarray
) -> Rows:
    """Rows of predictions.csv."""
    task = run.task
    decoded = {row["clip_id"]: row for row in experiment.records.report}
    return [
        {"clip_id": c.clip_id, "speaker": c.speaker, "label": task.label_of(c)}
        | {name: decoded[c.clip_id][name] for name in ("audio_present", "faces_found")}
        | task.columns(answer)
        for c, answer in zip(clips, answers, strict=True)
    ]


def _facts(run: Run, protocol: str, clips: Sequence[Clip]) -> dict[str, Any]:
    """What was scored."""
    by = run.config.data.adapt_by
    return {
        "target": run.config.data.target,
        "target_scale": run.config.data.target_scale,
        "dataset": run.source["dataset"],
        "label_meaning": run.source["label_meaning"],
        "protocol": protocol,
        "leaky": run.split.leaky,
        "mode": run.config.data.mode,
        "enrol": run.config.data.adapt,
        **({} if by == "speaker" else {"adapt_by": by}),
        "test_speakers": splits.speakers_of(clips),
        "validation_speakers": [] if run.split.leaky else list(run.split.validation),
        "train_speakers": [] if run.split.leaky else list(run.split.train),
        "seed": run.config.train.seed,
        "epochs": len(run.history),
    }


def _title(run: Run, metrics: dict[str, Any]) -> str:
    """Title of the plot."""
    leaky, score = "LEAKY, " if run.split.leaky else "", run.task.score
    count = len(metrics["test_speakers"])
    speakers = f"{count} speakers" if count > FEW else summary.tested_on(metrics)
    return f"{leaky}{run.folder.name}: {score.upper()} {metrics[score]:.3f}, {speakers}"


def _write(
    folder: Path, task: Task, metrics: dict[str, Any], rows: Rows, conditions: Rows, plot: bytes
) -> None:
    """Write the files of the scores; metrics.json comes last: then the others are whole."""
    write_atomically(folder / "predictions.csv", rows_to_csv(rows))
    if conditions:
        write_atomically(folder / ROBUSTNESS, rows_to_csv(conditions))
    else:  # an earlier table may be that of other epochs
        (folder / ROBUSTNESS).unlink(missing_ok=True)
    write_atomically(folder / f"{task.plot_name}.png", plot)
    write_atomically(folder / "metrics.json", json.dumps(metrics, indent=1))

"""How good a model is on anybody's labelled clips: any packaged model or run, any records.

Classes are those that both the model and the clips have. Clips of speakers that the model was
trained on are left out, as are those with another label and those that cannot be used; each kind is
counted and its clips are named in predictions.csv.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf.config.clip import Clip
from emorec_tf.datasets import detection
from emorec_tf.errors import UserError
from emorec_tf.evaluation import corpus_scores, score_run
from emorec_tf.inference import corpus_matrix, sorted_clips
from emorec_tf.inference.sorted_clips import Sorted
from emorec_tf.records import cached_records, joining
from emorec_tf.records.records_dir import Records
from emorec_tf.storage import paths
from emorec_tf.storage.files import rows_to_csv, write_atomically
from emorec_tf.tasks import tasks
from emorec_tf.tasks.recalibration import recalibration
from emorec_tf.tasks.restriction import restricted
from emorec_tf.training import model_store, run_dir
from emorec_tf.training.run_dir import Run

FOLDER = "evaluations"
METRICS, PREDICTIONS, PLOT = "metrics.json", "predictions.csv", "confusion.png"
RECALIBRATION = "recalibration.json"
LEFT_OUT = "left_out"  # column of predictions.csv: why a clip is not scored


@dataclass(frozen=True)
class Answered:
    """Scored clips, probabilities [N, K] of the classes that the clips have, class ids [N]."""

    clips: tuple[Clip, ...]
    shares: np.ndarray
    truth: np.ndarray


def evaluate(
    run: str | Path | Run,
    *,
    records: str | Path | Records | None = None,
    adapt: int | None = None,
    source: str | Path | None = None,
    dataset: str | None = None,
    label_map: str | None = None,
    out: str | Path | None = None,
    recalibrate: bool = False,
) -> dict[str, Any]:
    """Score a run on its test speakers, or any model on all clips of other records.

    The first writes into the run's folder. The second is done for models without test speakers, as
    the packaged ones, and where ``out``, ``dataset``, ``label_map`` or ``recalibrate`` is given.

    Args:
        run: what ``train`` returned, its folder or its name, or the name of a packaged model.
        records: the records, where they have moved since training; or other ones.
        adapt: adapt it by so many unlabelled clips of each test speaker, which are not scored.
        source: folder of the corpus, to corrupt waveforms too; or of the clips, in place of
            ``records``.
        dataset: corpus of ``source``; None: recognised by its names.
        label_map: labels of the clips that become others: ``calm=neutral,boredom=``.
        out: folder to write; None: ``evaluations/NAME-SOURCE``.
        recalibrate: fit a temperature to these clips, written to ``out``.

    Returns:
        What metrics.json holds. Of classes: ``uar`` and ``war`` (0 to 1), ``macro_f1``, their
        intervals ``uar_ci95`` and ``war_ci95`` [low, high] (95 %, over speakers; None for one),
        ``per_class_recall`` {class: 0 to 1}, ``confusion`` counts, ``ece`` (0 to 1). Of ratings:
        ``ccc``, ``pcc`` (-1 to 1) and ``rmse``. Of other clips also ``classes``, those of both,
        and ``left_out`` {reason: number of clips}.

    Raises:
        UserError: no such run or records, no clip that can be scored, or records of other features
            than a run's own.

    >>> scores = emorec_tf.evaluate("runs/demo-concat")
    >>> 0 <= scores["uar"] <= 1
    True
    """
    opened = run if isinstance(run, Run) else run_dir.load(model_store.folder_of(run))
    if on_other_clips(opened, out, dataset, label_map, recalibrate):
        if adapt is not None:
            raise UserError("adapt: only a run with test speakers of its own is adapted here")
        return score(
            opened, records, source, dataset, label_map=label_map, out=out, recalibrate=recalibrate
        )
    place = None if source is None else str(source)
    return score_run.evaluate(opened, records, adapt=adapt, source=place)


def on_other_clips(run: Run, *asked: Any) -> bool:
    """Whether all clips are scored, rather than the test subset of the run itself."""
    return not run.split.test or any(value not in (None, False) for value in asked)


def score(
    run: Run,
    records: str | Path | Records | None = None,
    source: str | Path | None = None,
    dataset: str | None = None,
    *,
    label_map: str | None = None,
    out: str | Path | None = None,
    recalibrate: bool = False,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Write metrics.json, predictions.csv and a plot into ``out``; return the metrics.

    Args:
        run: the model.
        records: of any features; where the model needs others, clips are decoded again.
        source: folder of clips, in place of records; prepared in the cache folder.
        dataset: corpus of ``source``; None: recognised by its names.
        label_map: see ``evaluate``.
        out: see ``evaluate``.
        recalibrate: see ``evaluate``.
        show_progress: draw a progress bar while clips are decoded.

    Raises:
        UserError: see ``evaluate``.
    """
    name = run.folder.resolve().name
    folder = paths.place(out or Path(FOLDER, f"{name}-{_called(records, source)}"))
    if (folder / "run.json").exists():
        raise UserError(f"{folder} is a run or a model, whose files stay as they are; give --out")
    if (records is None) == (source is None):
        raise UserError(
            f"{run.folder} held no speaker out to test it on; give --records or --source with "
            f"labelled clips, or cross-validate its settings by crossval"
        )
    opened = _opened(run, records, source, dataset, show_progress)
    sorted_ = sorted_clips.sort(run, opened, label_map)
    clips, shares = _answered(run, opened, sorted_)
    rows = [
        {"clip_id": clip.clip_id, "speaker": clip.speaker, "label": clip.emotion}
        | dict(zip(run.classes, values, strict=True))
        for clip, values in zip(clips, shares.tolist(), strict=True)
    ]
    found = corpus_scores.cell(rows) if rows else None
    if found is None:
        raise UserError(
            f"{name} knows {', '.join(run.classes)}; fewer than two of them are labels of usable "
            f"clips here{sorted_.line}; map labels by --label_map old=new"
        )
    metrics = _facts(run, opened, label_map, sorted_) | found
    metrics["macro_f1"] = _macro_f1(found["confusion"])
    answers = _answers_of(run, clips, shares, found["classes"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECALIBRATION).unlink(missing_ok=True)
    if recalibrate:
        speakers = [clip.speaker for clip in answers.clips]
        metrics["recalibration"] = recalibration(answers.shares, answers.truth, speakers)
        text = {"model": name, "classes": found["classes"], **metrics["recalibration"]}
        write_atomically(folder / RECALIBRATION, json.dumps(text, indent=1))
    _write(folder, run, metrics, answers, sorted_)
    sorted_.log()
    files = [n for n in (METRICS, PREDICTIONS, RECALIBRATION, PLOT) if (folder / n).exists()]
    return {**metrics, "folder": str(folder), "files": files}


def _answered(run: Run, records: Records, sorted_: Sorted) -> tuple[list[Clip], np.ndarray]:
    """Clips that the model could answer, and its probabilities [N, K]."""
    row = corpus_matrix.model_row(str(run.folder), records)
    if not sorted_.clips:
        return [], np.zeros((0, len(run.classes)))
    shares, clips = row.answers(sorted_.clips)
    shares = np.asarray(shares, np.float64)
    unusable = np.isnan(shares).any(1)
    lacks = f"no {' and no '.join(run.modalities)} was found in it"
    for clip in (clip for clip, none in zip(clips, unusable, strict=True) if none):
        sorted_.left_out[clip.clip_id] = lacks
    kept = [clip for clip, none in zip(clips, unusable, strict=True) if not none]
    return kept, shares[~unusable]


def _answers_of(
    run: Run, clips: Sequence[Clip], shares: np.ndarray, classes: Sequence[str]
) -> Answered:
    """Restrict probabilities to the classes that the clips have, too, and renormalise them."""
    kept = restricted(shares, run.classes, classes)
    columns = kept[:, [run.classes.index(name) for name in classes]]
    truth = np.array([list(classes).index(clip.emotion) for clip in clips])
    return Answered(tuple(clips), columns, truth)


def _called(records: Any, source: Any) -> str:
    """Name of what is scored, for the folder."""
    given = source or (records.folder if isinstance(records, Records) else records) or "clips"
    return "+".join(Path(part.strip()).resolve().name for part in str(given).split(","))


def _opened(
    run: Run,
    records: str | Path | Records | None,
    source: str | Path | None,
    dataset: str | None,
    show_progress: bool,
) -> Records:
    """Open records, or prepare the clips of a folder as the model needs them."""
    if source is not None:
        dataset = dataset or detection.recognised(str(source))
        return cached_records.of_source(
            source, dataset, run.config.features, show_progress=show_progress
        )
    if dataset is not None:
        raise UserError("--dataset says how --source is read; records say it themselves")
    return records if isinstance(records, Records) else joining.open_all(str(records))


def _facts(run: Run, records: Records, label_map: str | None, sorted_: Sorted) -> dict[str, Any]:
    """What metrics.json says beside scores."""
    manifest = records.manifest
    return {
        "model": run.folder.resolve().name,
        "model_classes": list(run.classes),
        "dataset": manifest["dataset"],
        "label_meaning": manifest["label_meaning"],
        "records": str(records.folder),
        "label_map": label_map,
        "left_out": sorted_.counts,
    }


def _macro_f1(confusion: Sequence[Sequence[int]]) -> float:
    """Mean F1 over the classes of a confusion matrix, whose rows are true classes."""
    counts = np.asarray(confusion, float)
    right = np.diag(counts)
    return float(np.mean(2 * right / np.maximum(counts.sum(0) + counts.sum(1), 1)))


def _write(
    folder: Path, run: Run, metrics: Mapping[str, Any], answers: Answered, sorted_: Sorted
) -> None:
    """Write the files: scored clips first, then those left out, with the reason."""
    classes = metrics["classes"]
    empty = dict.fromkeys(("speaker", "label", "predicted", *classes), "")
    rows: list[dict[str, Any]] = [
        {"clip_id": clip.clip_id, "speaker": clip.speaker, "label": clip.emotion}
        | {"predicted": classes[int(values.argmax())]}
        | {name: f"{value:.6g}" for name, value in zip(classes, values, strict=True)}
        | {LEFT_OUT: ""}
        for clip, values in zip(answers.clips, answers.shares, strict=True)
    ]
    rows += [
        {"clip_id": clip_id, **empty, LEFT_OUT: reason}
        for clip_id, reason in sorted_.left_out.items()
    ]
    task = tasks.of(run.config.data, tuple(classes))
    title = f"{metrics['model']} on {metrics['dataset']}: UAR {metrics['uar']:.3f}"
    write_atomically(folder / PLOT, task.plot(answers.truth, answers.shares, title))
    write_atomically(folder / PREDICTIONS, rows_to_csv(rows))
    write_atomically(folder / METRICS, json.dumps(metrics, indent=1))

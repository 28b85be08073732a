"""A matrix of corpora: trained on one, tested on another, by ordinary runs.

Each corpus gives a row: a cross-validation within it, and a run on all its speakers that is scored
on the other corpora. The row "all others" trains on all corpora but the tested one. Trained models
can be rows too. Resumable: a finished run is left alone.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf.config.clip import SEPARATOR, Clip
from emorec_tf.config.config import flat
from emorec_tf.config.fields import check
from emorec_tf.datasets.labels import class_names
from emorec_tf.datasets.speakers import normal_form
from emorec_tf.errors import UserError
from emorec_tf.evaluation import crosscorpus_files as files
from emorec_tf.evaluation import crossval_files, crossvalidation, run_answers
from emorec_tf.evaluation.cell_progress import Progress
from emorec_tf.evaluation.crosscorpus_plan import Answers, ModelRow, Plan, Training
from emorec_tf.evaluation.environment import machine, versions
from emorec_tf.evaluation.fold_training import Work, train_fold
from emorec_tf.splits import protocols
from emorec_tf.splits.generic_folds import sha256
from emorec_tf.splits.splits import speakers_of
from emorec_tf.storage import resumable
from emorec_tf.storage.files import rows_to_csv, write_atomically
from emorec_tf.storage.locks import alone
from emorec_tf.training import run_dir, source_runs, stages
from emorec_tf.training.run_dir import Run

OTHER_CLIPS = "the records hold other corpora, clips or speakers"
KIND = resumable.Kind(
    "matrix of corpora",
    files.FACTS,
    "--run",
    {
        "models": "other models",
        "config": "",
        "corpora": OTHER_CLIPS,
        "fingerprint": "other folds",
        "steps": "a config or run of pretrain has changed",
    },
)
_LOG = logging.getLogger(__name__)


def crosscorpus(
    planned: Plan,
    folder: Path,
    *,
    seeds: int = 1,
    overwrite: bool = False,
    command: str = "",
    robustness: bool = True,
) -> dict[str, Any]:
    """Train and score what is not done yet, and write the matrix after each run.

    Args:
        planned: by ``plan``.
        folder: for the matrix and all runs.
        seeds: how often each training set is trained, with random seeds 0, 1, 2, ...
        overwrite: throw away what an earlier matrix left in the folder.
        command: that does the same, to be noted.
        robustness: measure it in the cross-validations within a corpus.

    Returns:
        The matrix, as ``crosscorpus_files.join`` writes it.

    Raises:
        UserError: settings that cannot be trained, or another matrix in the way. Then nothing was
            written.
    """
    check(seeds >= 1, "seeds", seeds, "at least 1")
    facts = _facts(planned, seeds, command)
    if not resumable.check(folder, facts, KIND, overwrite, files.planned):
        for at, training in enumerate(planned.trainings):
            _check(training, folder, networks=at == 0)
    with alone(folder / ".lock"):
        stored = resumable.begin_or_resume(folder, facts, KIND, overwrite, files.planned)
        if stored:
            facts = {**stored, "seeds": max(stored["seeds"], facts["seeds"], key=len)}
        write_atomically(folder / files.FACTS, json.dumps(facts, indent=1))
    for note in planned.notes:
        _LOG.info("note: %s", note)
    progress = Progress(planned, seeds)
    for model in planned.models:
        _score_model(planned, model, folder, progress)
    for seed in range(seeds):
        for training in planned.trainings:
            _train_whole(planned, training, seed, folder, progress)
    for training in planned.trainings:
        if training.within:
            place = files.row_folder(folder, training.row) / files.WITHIN
            names = [fold.name for fold in training.within.folds]
            if not crossval_files.all_done(place, seeds, names):
                progress.say(training.row, training.row)
            more: dict[str, Any] = {"command": command, "robustness": robustness}
            crossvalidation.crossval(training.within, place, seeds=seeds, **more)
            files.join(folder)
    return files.join(folder)


def _check(training: Training, folder: Path, networks: bool) -> None:
    """Refuse what a training would refuse; networks are the same in all of them."""
    place = files.row_folder(folder, training.row)
    source_runs.check_corpora(stages.sources_of(training.whole.settings), training.tested)
    for planned in filter(None, (training.whole, training.within)):
        crossvalidation.check_folds(planned, planned.folds, place, networks=networks)
        networks = False


def _facts(planned: Plan, seeds: int, command: str) -> dict[str, Any]:
    """What crosscorpus.json says before anything is trained."""
    rows = [
        {"name": name, "kind": files.CORPUS, "trained_on": [name]}
        for name in dict.fromkeys(t.row for t in planned.trainings if not t.held_out)
    ]
    if any(training.held_out for training in planned.trainings):
        rows.append({"name": files.ALL_OTHERS, "kind": files.OTHERS, "trained_on": []})
    for model in planned.models:
        parts = planned.parts.items()
        own = [n for n, part in parts if len(unknown_clips(model.run, n, part)) < len(part)]
        rows.append({"name": model.name, "kind": files.MODEL, "trained_on": own})
    names = [row["name"] for row in rows]
    if len(set(names)) < len(names):
        again = next(name for name in names if names.count(name) > 1)
        raise UserError(f"two rows are called {again}; give the model's folder another name")
    return {
        "rows": rows,
        "corpora": {name: _corpus_facts(part) for name, part in planned.parts.items()},
        "fingerprint": _fingerprint(planned.trainings),
        "folds": {t.row: len(t.within.folds) for t in planned.trainings if t.within},
        "seeds": list(range(seeds)),
        "config": flat(planned.settings) if planned.settings else {},
        "steps": stages.fingerprints(planned.settings) if planned.settings else {},
        "models": {model.name: _model_facts(model.run) for model in planned.models},
        "notes": list(planned.notes),
        "versions": versions(),
        "machine": machine(),
        "command": command,
    }


def _fingerprint(trainings: Sequence[Training]) -> str:
    """Hash the folds of all training sets."""
    found = [
        [training.row, training.held_out, protocols.fingerprint(one.protocol, one.folds)]
        for training in trainings
        for one in (training.whole, training.within)
        if one
    ]
    return sha256(json.dumps(found))[:8]


def _corpus_facts(clips: Sequence[Clip]) -> dict[str, Any]:
    return {
        "clips": len(clips),
        "speakers": len(speakers_of(clips)),
        "classes": list(class_names(clip.emotion for clip in clips)),
        "stamp": sha256(json.dumps(sorted([c.clip_id, c.speaker, c.emotion] for c in clips)))[:8],
    }


def _model_facts(run: Run) -> dict[str, Any]:
    names = ("run.json", "config.yaml", "temperature.json")
    found = [run.folder / name for name in names if (run.folder / name).exists()]
    text = "".join(file.read_text(encoding="utf-8") for file in found)
    return {"dataset": run.source["dataset"], "classes": run.classes, "stamp": sha256(text)[:8]}


def _train_whole(
    planned: Plan, training: Training, seed: int, folder: Path, progress: Progress
) -> None:
    """Train on all of a training set and score the other corpora; nothing if that was done."""
    row, left = training.row, training.held_out
    target = files.run_folder(folder, row, left, seed)
    (fold,), records = training.whole.folds, training.whole.records
    name = f"all corpora but {left}" if left else row

    def is_done(run: Path) -> bool:
        if not all(files.scored_on(run, corpus).exists() for corpus in training.tested):
            return False
        return (run / "run.json").exists() and run_dir.load(run).is_finished()

    def score(run: Run) -> None:
        answers = run_answers.run_answers(run, records)
        for corpus in training.tested:
            progress.say(row, corpus, seed)
            clips = [c for c in planned.parts[corpus] if c.emotion in run.classes]
            _write(files.scored_on(run.folder, corpus), run, seed, clips, answers)

    work = Work(
        name=f"{name} by seed {seed} in {folder}",
        title=f"seed {seed}, trained on {name}",
        target=target,
        shared=files.row_folder(folder, row) / stages.FOLDER,
        is_done=is_done,
        score=score,
    )
    train_fold(lambda: training.whole.experiment(fold, seed), work)
    files.join(folder)


def _score_model(planned: Plan, model: ModelRow, folder: Path, progress: Progress) -> None:
    """Score a trained model on each corpus, without the speakers that it was trained on."""
    run = model.run
    for corpus, part in planned.parts.items():
        target = files.scored_on(files.row_folder(folder, model.name), corpus)
        clips = [c for c in unknown_clips(run, corpus, part) if c.emotion in run.classes]
        if target.exists():
            continue
        if not clips:
            _LOG.info("note: %s was trained on all speakers of %s: no score", model.name, corpus)
            continue
        progress.say(model.name, corpus)
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(target, run, run.config.train.seed, clips, model.answers)
    files.join(folder)


def unknown_clips(run: Run, corpus: str, clips: Sequence[Clip]) -> list[Clip]:
    """Clips of a corpus that a model was not trained on, with the labels that it knows."""
    if run.config.data.classes == "7" and "calm" not in run.classes:
        clips = [replace(c, emotion="neutral") if c.emotion == "calm" else c for c in clips]
    datasets = _datasets(run)
    if corpus not in datasets:
        return list(clips)
    if run.split.leaky:  # all its speakers
        return []
    prefix = f"{corpus}{SEPARATOR}"
    seen = {
        normal_form(name.removeprefix(prefix))
        for name in (*run.split.train, *run.split.validation)
        if len(datasets) == 1 or name.startswith(prefix)
    }
    return [c for c in clips if normal_form(c.speaker.removeprefix(prefix)) not in seen]


def _datasets(run: Run) -> list[str]:
    return str(run.source["dataset"]).split("+")


def _write(path: Path, run: Run, seed: int, clips: Sequence[Clip], answers: Answers) -> None:
    """Write predictions on one corpus; without what the model uses, a clip has none."""
    probabilities, ordered = answers(clips)
    unusable = np.isnan(probabilities).any(1)
    lacks = " or ".join(run.modalities)
    rows = [
        {"clip_id": clip.clip_id, "speaker": clip.speaker, "label": clip.emotion, "seed": seed}
        | ({files.LACKS: lacks * bool(lacking)} if unusable.any() else {})
        | (dict.fromkeys(run.classes, "") if lacking else run.task.columns(shares))
        for clip, shares, lacking in zip(ordered, probabilities, unusable, strict=True)
    ]
    if unusable.any():
        _LOG.info("note: %s", files.left_out_line(int(unusable.sum()), lacks, len(rows)))
    write_atomically(path, rows_to_csv(rows))

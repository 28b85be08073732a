"""What a run answers: logits of clips joined by id, speakers known as the run says, temperature."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from emorec_tf.config.clip import Clip
from emorec_tf.datasets.labels import labelled
from emorec_tf.errors import UserError
from emorec_tf.records import input_pipeline, records_dir
from emorec_tf.records.corruptions import Corruption
from emorec_tf.records.input_pipeline import Adapt
from emorec_tf.splits import splits
from emorec_tf.storage.files import write_atomically
from emorec_tf.tasks import calibration
from emorec_tf.training import inner_cv, run_dir, speaker_adaptation

Batch = tuple[dict[str, np.ndarray], np.ndarray]  # arrays of clips, and their ids


def scored_sides(run: run_dir.Run, opened: records_dir.Records) -> dict[str, list[Clip]]:
    """Clips of each side that are scored.

    Raises:
        UserError: records of other settings, or test speakers that are not in them.
    """
    if opened.features != run.config.features:
        raise UserError(
            f"records {opened.folder} (stamp {opened.features.stamp()}) were made with other "
            f"feature settings than the run's (stamp {run.config.features.stamp()})"
        )
    sides = run.split.clips(labelled(opened.clips, run.config.data))
    there = {c.clip_id if run.split.leaky else c.speaker for c in sides["test"]}
    missing = sorted(set(run.split.test) - there, key=splits.natural)
    if missing:
        what = "clips" if run.split.leaky else "speakers"
        raise UserError(f"test {what} {', '.join(missing[:12])} are not in {opened.folder}")
    return {
        side: speaker_adaptation.scored(own, run.config.data, run.config.train.seed)
        for side, own in sides.items()
    }


def fit_temperature(
    run: run_dir.Run, opened: records_dir.Records, model: keras.Model | None = None
) -> float | None:
    """Fit what logits are divided by and keep it, unless that was done.

    It is fitted to answers of inner folds, where there are any, else to the validation speakers.

    None where a rating is estimated: it has no probabilities.

    Args:
        run: finished or not; its temperature.json says after how many epochs it was fitted.
        opened: records of the run.
        model: the run's model, if it is loaded already.
    """
    if run.temperature is not None or not run.classes:
        return run.temperature
    inner = inner_cv.answers(run)
    if inner:
        judged, logits, ids = inner
    else:
        if model is None or run.config.train.refit:
            model = run_dir.load_model(run.validated_file)
        clips = scored_sides(run, opened)["validation"]
        adapt = adapter_of(run, opened, model, clips)
        logits, clips = logits_of(model, opened, clips, adapt=adapt)
        judged, ids = [c.clip_id for c in clips], run.task.truth(clips)
    fitted = calibration.temperature(logits, ids)
    before, after = (calibration.nll(calibration.scaled(logits, t), ids) for t in (1.0, fitted))
    facts = {
        "temperature": fitted,
        "epochs": len(run.history),
        "fitted_to": "inner folds" if inner else "validation speakers",
        "validation_clips": len(judged),
        "validation_nll_before": before,
        "validation_nll_after": after,
    }
    write_atomically(run.folder / "temperature.json", json.dumps(facts, indent=1))
    return fitted


def adapter_of(
    run: run_dir.Run, opened: records_dir.Records, model: keras.Model, clips: Sequence[Clip]
) -> Adapt | None:
    """Make what enrols the speakers of these clips; None where they stay unseen, or unheard."""
    standard = speaker_adaptation.standard_of(model)
    data, seed = run.config.data, run.config.train.seed
    everything = splits.clips_of(labelled(opened.clips, data), {c.speaker for c in clips})
    adapt = (
        speaker_adaptation.adapter(data, opened, everything, standard, seed) if standard else None
    )
    return speaker_adaptation.with_features(adapt, model, data, opened, everything, seed)


def logits_of(
    model: keras.Model,
    opened: records_dir.Records,
    clips: Sequence[Clip],
    kept: list[Any] | None = None,
    adapt: Adapt | None = None,
    damage: Corruption | None = None,
) -> tuple[np.ndarray, list[Clip]]:
    """Logits [N, K] (or ratings [N, 1]) of these clips, and the clips in the same order, by id.

    Args:
        model: logits from example arrays.
        opened: records that hold the clips.
        clips: which to answer; every one is answered or an error is raised.
        kept: a one-element list in which the batches are kept for the next call; None: they
            are read anew, one at a time.
        adapt: puts voices on the scale of the training clips (see enrolment).
        damage: done to the arrays first (see robustness).
    """
    batches: Iterable[Batch] = kept[0] if kept and kept[0] else read(opened, clips)
    if kept and not kept[0]:
        batches = kept[0] = list(batches)
    by_id = {c.clip_id: c for c in clips}
    logits, ordered = [], []
    for inputs, ids in batches:
        ordered += [by_id[i.decode()] for i in ids]
        inputs = damage(inputs) if damage else inputs
        inputs = adapt(inputs, ids) if adapt else inputs
        logits.append(np.asarray(model.predict_on_batch(inputs), np.float64))
    if len(ordered) != len(clips):
        raise UserError(f"{opened.folder} gave {len(ordered)} of {len(clips)} clips; prepare anew")
    return np.concatenate(logits), ordered


def read(opened: records_dir.Records, clips: Sequence[Clip]) -> Iterator[Batch]:
    """Batches of these clips' arrays and ids, one at a time."""
    for inputs, ids in input_pipeline.evaluation(opened, clips):
        yield {n: a.numpy() for n, a in inputs.items()}, ids.numpy()

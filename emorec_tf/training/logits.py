"""Predictions of a run: logits of clips, and the temperature that is fitted to them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import keras
import numpy as np

from emorec_tf.config.clip import Clip
from emorec_tf.datasets.corpora import parts_of
from emorec_tf.errors import UserError
from emorec_tf.records import input_pipeline, records_dir
from emorec_tf.records.records_dir import Records
from emorec_tf.storage.files import write_atomically
from emorec_tf.tasks import calibration
from emorec_tf.training import inner_cv, run_dir, shift_answers, stages
from emorec_tf.training.run_dir import Run
from emorec_tf.training.speaker_adaptation import SpeakerAdapter

if TYPE_CHECKING:
    from emorec_tf.training.experiment import Experiment

_LOG = logging.getLogger(__name__)
Inputs = dict[str, np.ndarray]


class Network(Protocol):
    """What answers batches: a Keras model, or a function in its place."""

    def predict_on_batch(self, x: Any) -> Any:
        """Answer a batch."""


Batch = tuple[Inputs, np.ndarray]  # arrays of clips, and their ids


class ClipBatches:
    """Batches of arrays and ids of these clips, read from records in each pass, or kept."""

    def __init__(self, records: Records, clips: Sequence[Clip], keep: bool = False) -> None:
        """Prepare to read.

        Args:
            records: hold the clips.
            clips: which are read.
            keep: read them once, and keep the arrays in memory.
        """
        self.records, self.clips, self.keep = records, clips, keep
        self._kept: list[Batch] = []

    def __iter__(self) -> Iterator[Batch]:
        """Give one batch after the other."""
        if self.keep and not self._kept:
            self._kept = list(self._read())
        return iter(self._kept) if self.keep else self._read()

    def _read(self) -> Iterator[Batch]:
        for inputs, ids in input_pipeline.evaluation(self.records, self.clips):
            yield {n: a.numpy() for n, a in inputs.items()}, ids.numpy()


def logits_of(
    model: Network,
    batches: ClipBatches,
    adapter: SpeakerAdapter | None = None,
    corruption: Callable[[Inputs], Inputs] | None = None,
) -> tuple[np.ndarray, list[Clip]]:
    """Logits [N, K] (or ratings [N, 1]) of clips, and the clips in the same order.

    Args:
        model: logits from example arrays.
        batches: of the clips; every one is answered or an error is raised.
        adapter: of their speakers.
        corruption: applied to the arrays first (see ``corruptions``).

    Raises:
        UserError: the records lack some of the clips, or are damaged.
    """
    by_id = {clip.clip_id: clip for clip in batches.clips}
    logits, ordered = [], []
    with records_dir.naming_damage(batches.records):
        for inputs, ids in batches:
            ordered += [by_id[i.decode()] for i in ids]
            inputs = corruption(inputs) if corruption else inputs
            inputs = adapter(inputs, ids) if adapter else inputs
            logits.append(np.asarray(model.predict_on_batch(inputs), np.float64))
    if len(ordered) != len(batches.clips):
        raise UserError(
            f"{batches.records.folder} gave {len(ordered)} of {len(batches.clips)} clips; prepare "
            f"again"
        )
    return np.concatenate(logits), ordered


def fit_temperature(
    run: Run, experiment: Experiment, model: keras.Model | None = None
) -> float | None:
    """Fit the temperature that logits are divided by and store it, unless it is stored already.

    It is fitted to predictions of inner folds if there are any, else to the validation speakers.
    Where several corpora were joined, it is fitted to predictions of held-out corpora, too, and
    grows with a clip's unfamiliarity. Where too little validates, it is drawn towards 1
    (``calibration.shrunk``), as temperature.json then says.

    Args:
        run: finished or not; its temperature.json says after how many epochs it was fitted.
        experiment: of the run.
        model: the run's model, if it is loaded already.

    Returns:
        None where a rating is estimated: it has no probabilities.
    """
    if run.temperature is not None or not run.classes:
        return run.temperature
    inner = inner_cv.answers(run)
    clip_ids, logits, truth = inner or _validation_answers(run, experiment, model)
    fitted, more = calibration.temperature(logits, truth), {}
    shift = shift_answers.with_inner(run, inner) if inner else None
    if shift is not None and run.familiarity_file.exists():
        fitted, slope = calibration.temperature_and_slope(*shift)
        more = {"unfamiliar_slope": slope, "held_out_corpora": shift_answers.corpora(run)}
    if not inner:
        fitted, more = _shrunk(run, fitted, experiment.scored("validation"))
    before, after = (calibration.nll(calibration.scaled(logits, t), truth) for t in (1.0, fitted))
    warning = calibration.bound_warning(fitted, after, len(run.classes))
    if warning:
        _LOG.warning("%s: %s", run.folder, warning)
    facts = {
        "temperature": fitted,
        "epochs": len(run.history),
        "fitted_to": "inner folds" if inner else "validation speakers",
        "validation_clips": len(clip_ids),
        "validation_nll_before": before,
        "validation_nll_after": after,
        **more,
    }
    write_atomically(run.folder / "temperature.json", json.dumps(facts, indent=1))
    return fitted


def _shrunk(run: Run, fitted: float, clips: Sequence[Clip]) -> tuple[float, dict[str, Any]]:
    """Draw a temperature towards 1 where too little validates, and note what it was.

    The number of speakers counts for networks alone: logits of discriminant analysis may be
    hundreds, so 1 is not natural for them. It does not count where people are not identified.
    """
    speakers = len({clip.speaker for clip in clips})
    if stages.has_classifier(run.config) or parts_of(run.config.data.dataset):
        speakers = calibration.FEW
    kept = calibration.shrunk(fitted, speakers, len(clips), len(run.classes))
    return kept, {} if kept == fitted else {"temperature_before_shrinkage": fitted}


def _validation_answers(
    run: Run, experiment: Experiment, model: keras.Model | None
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Ids, logits [N, K] and class ids [N] of the scored clips of the validation speakers."""
    if model is None or run.config.train.refit:
        model = run_dir.load_model(run.validated_file)
    clips = experiment.scored("validation")
    data = run.config.data
    adapter = SpeakerAdapter.for_model(model, data.adapt, data.adapt_audio)
    adapter.fit(experiment, clips, model)
    logits, clips = logits_of(model, ClipBatches(experiment.records, clips), adapter)
    return [clip.clip_id for clip in clips], logits, run.task.truth(clips)

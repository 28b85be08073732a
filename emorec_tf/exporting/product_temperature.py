"""The temperature of a product of packaged models, fitted to clips that none was trained on."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from emorec_tf.config.joined_features import modalities_of
from emorec_tf.datasets.labels import labelled
from emorec_tf.errors import UserError
from emorec_tf.evaluation import crosscorpus, crosscorpus_plan, run_answers
from emorec_tf.records import joining
from emorec_tf.records.records_dir import Records
from emorec_tf.tasks import calibration
from emorec_tf.training.run_dir import Run

_LOG = logging.getLogger(__name__)
NOT_FITTED = {
    "temperature": 1.0,
    "epochs": 0,
    "fitted_to": "no clips: the members' calibrated probabilities are multiplied as they are",
}


def fitted(run: Run, folder: str) -> dict[str, Any]:
    """Fit the temperature of an ensemble of packaged models.

    Args:
        run: of the ensemble, with its members in place.
        folder: records; several are joined by commas.

    Returns:
        What temperature.json says.

    Raises:
        UserError: records of other features, or without clips of speakers new to all members.
    """
    records = joining.open_all(folder)
    _check_features(run, records)
    dataset = str(records.manifest["dataset"])
    parts = crosscorpus_plan.by_corpus(labelled(records.clips, run.config.data), dataset)
    clips = [
        clip
        for corpus, part in parts.items()
        for clip in crosscorpus.unknown_clips(run, corpus, part)
        if clip.emotion in run.classes
    ]
    if not clips:
        raise UserError(
            f"the members were trained on all speakers of {folder}, whose clips say nothing about "
            f"new ones; give --calibrate other records, or leave it out"
        )
    logits, ordered = run_answers.run_logits(run, records, clips)
    truth = run.task.truth(ordered)
    found = calibration.temperature(logits, truth)
    before, after = (calibration.nll(calibration.scaled(logits, t), truth) for t in (1.0, found))
    _LOG.info("temperature %.3f, fitted to %d clips of %s", found, len(clips), dataset)
    return {
        "temperature": found,
        "epochs": 0,
        "fitted_to": f"{len(clips)} clips of {'+'.join(parts)}, of speakers new to all members",
        "nll_before": before,
        "nll_after": after,
    }


def _check_features(run: Run, records: Records) -> None:
    """Refuse records whose features differ in what the ensemble uses."""
    own, theirs = (dataclasses.asdict(f) for f in (run.config.features, records.features))
    for name, value in own.items():
        if value != theirs[name] and set(modalities_of(name)) & set(run.modalities):
            raise UserError(
                f"records {records.folder} have {name}={theirs[name]}, the ensemble needs {value}; "
                f"prepare them with --{name} {value}"
            )

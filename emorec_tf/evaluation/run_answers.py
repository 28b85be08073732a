"""Answers of a trained run to clips of any records of its features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from emorec_tf.config.clip import Clip
from emorec_tf.evaluation.crosscorpus_plan import Answers
from emorec_tf.records.records_dir import Records
from emorec_tf.training.experiment import Experiment
from emorec_tf.training.run_dir import Run


def run_answers(run: Run, records: Records) -> Answers:
    """Make a function that gives a run's probabilities of clips of the records.

    Args:
        run: trained and calibrated.
        records: of the run's features.

    Returns:
        The function; rows of clips that have nothing of what the model uses are NaN.
    """
    asked, used = _asking(run, records), set(run.modalities)

    def answers(clips: Sequence[Clip]) -> Any:
        raw, ordered, growth = asked(clips)
        found = np.array(run.task.predictions(raw, (run.temperature or 1.0) * growth))
        found[[not records.modalities[clip.clip_id] & used for clip in ordered]] = np.nan
        return found, ordered

    return answers


def run_logits(run: Run, records: Records, clips: Sequence[Clip]) -> Any:
    """Logits [N, K] of clips of the records by a run, and the clips in the same order."""
    return _asking(run, records)(clips)[:2]


def _asking(run: Run, records: Records) -> Callable[[Sequence[Clip]], Any]:
    """Load a run; the function gives logits [N, K], clips and growth of the temperature."""
    from emorec_tf.training import clip_familiarity, ensemble, logits
    from emorec_tf.training.speaker_adaptation import SpeakerAdapter

    model = ensemble.model_of(run)
    answering = clip_familiarity.Answering(model, run)

    def asked(clips: Sequence[Clip]) -> Any:
        subsets = {"train": (), "validation": (), "test": clips}
        experiment = Experiment(run.config, records, run.split, clips, subsets, run.classes)
        scored = experiment.scored("test")
        adapter = SpeakerAdapter.for_model(
            model, run.config.data.adapt, run.config.data.adapt_audio
        )
        adapter.fit(experiment, scored, model)
        batches = logits.ClipBatches(records, scored)
        raw, ordered, growth, _ = answering.logits_of(batches, adapter)
        return raw, ordered, growth

    return asked

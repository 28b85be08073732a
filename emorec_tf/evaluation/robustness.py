"""The robustness table of a run: its scores on corrupted test clips, by as few passes as it takes.

A corruption that leaves alone what the network looks at cannot change an answer, so the answers to
the clean clips stand for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.evaluation import source_audio
from emorec_tf.evaluation.source_audio import SourceAudio
from emorec_tf.records import corruptions
from emorec_tf.records.corruptions import Corruption
from emorec_tf.records.waveform_corruptions import CONDITIONS
from emorec_tf.training.logits import ClipBatches

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Clean:
    """Test clips as they are, and the answers to them.

    Attributes:
        batches: of the clips.
        answers: to them, [N, K] or [N].
        truth: class ids or ratings, [N].
        modalities: what the network looks at: "audio", "face" or both.
    """

    batches: ClipBatches
    answers: np.ndarray
    truth: np.ndarray
    modalities: Sequence[str]


def rows(
    clean: Clean,
    answer: Callable[..., np.ndarray],
    score: Callable[[np.ndarray, np.ndarray], dict[str, float]],
    features: FeaturesConfig,
    source: SourceAudio | None = None,
) -> Rows:
    """Score every corruption: rows of robustness.csv.

    Args:
        clean: the uncorrupted clips.
        answer: batches, and a corruption of their arrays (or none), to answers in the order of
            ``clean.answers``.
        score: truth and answers to scores by name.
        features: settings of the audio features.
        source: the clips' waveforms, to corrupt these too; None: the records' arrays alone.
    """
    first, looked_at = next(iter(clean.batches))[0], set(clean.modalities)

    def of_arrays(corruption: Corruption) -> np.ndarray:
        touched = corruptions.modalities_changed(corruption, first)
        return answer(clean.batches, corruption) if touched & looked_at else clean.answers

    found = corruptions.table(of_arrays, clean.truth, score, features)
    if source is None:
        return found
    if "audio" in looked_at:
        return found + source_audio.rows(source, clean.batches, answer, clean.truth, score)
    same = {"n": len(clean.truth)} | score(clean.truth, clean.answers)
    return found + [{"condition": name} | same for name in CONDITIONS]

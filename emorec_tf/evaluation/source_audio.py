"""Test clips decoded again from their files, so that their waveforms can be corrupted."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emorec_tf.config.clip import Clip
from emorec_tf.config.config import Config, FeaturesConfig
from emorec_tf.datasets import corpora
from emorec_tf.errors import UserError
from emorec_tf.features import audio_features, examples
from emorec_tf.records.records_dir import Records
from emorec_tf.records.waveform_corruptions import CONDITIONS, WaveCorruption
from emorec_tf.training.logits import Batch, ClipBatches

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class SourceAudio:
    """Waveforms of clips, float32 [samples] by clip id, at the rate of the features."""

    features: FeaturesConfig
    waveforms: dict[str, np.ndarray]

    def spectra(self, corrupt: WaveCorruption) -> dict[bytes, tuple[np.ndarray, np.ndarray]]:
        """Audio [T, M] and mask [T] of each clip after a corruption, by clip id."""
        layer = examples.compiled(audio_features.layer_of(self.features))
        rate_hz, found = self.features.sample_rate_hz, {}
        for clip_id, waveform in self.waveforms.items():
            padded, mask = audio_features.fit_length(corrupt(waveform, rate_hz), self.features)
            audio = np.asarray(layer(padded[None]))[0] * mask[:, None]
            found[clip_id.encode()] = audio, mask.astype(np.float32)
        return found


class CorruptedBatches(ClipBatches):
    """Batches of other batches' clips, with the audio of corrupted waveforms."""

    def __init__(self, batches: ClipBatches, source: SourceAudio, corrupt: WaveCorruption) -> None:
        """Corrupt all waveforms; clips without audio stay as they are."""
        super().__init__(batches.records, batches.clips)
        self.batches, self.spectra = batches, source.spectra(corrupt)

    def __iter__(self) -> Iterator[Batch]:
        """Give one batch after the other."""
        for inputs, ids in self.batches:
            audio, mask = inputs["audio"].copy(), inputs["audio_mask"].copy()
            for row, clip_id in enumerate(ids):
                if clip_id in self.spectra:
                    audio[row], mask[row] = self.spectra[clip_id]
            yield {**inputs, "audio": audio, "audio_mask": mask}, ids


def decoded(settings: Config, records: Records, source: str, clips: Sequence[Clip]) -> SourceAudio:
    """Decode the audio of clips again.

    Args:
        settings: of the run.
        records: that were made of the corpus.
        source: folder of the corpus, as for ``prepare --source``.
        clips: of the records.

    Raises:
        UserError: the folder is not that corpus, or lacks some of the clips.
    """
    data = settings.data
    there = {
        clip.clip_id: clip
        for clip in corpora.clips(
            data.dataset, source, label=data.label, modality=data.modality, allow_missing=True
        )
    }
    missing = [clip.clip_id for clip in clips if clip.clip_id not in there]
    if missing:
        raise UserError(
            f"source {source} lacks {len(missing)} of {len(clips)} test clips, such as "
            f"{missing[0]}; give the folder that prepare read"
        )
    waveforms, hashes, other = {}, records.audio_hashes, 0
    for clip in clips:
        waveform = examples.waveform_of(there[clip.clip_id], settings.features)
        if waveform is None or not waveform.any():
            continue
        waveforms[clip.clip_id] = waveform
        digest = hashlib.sha256(waveform.tobytes()).hexdigest()
        other += digest != hashes.get(clip.clip_id, digest)
    if other:
        _LOG.warning(
            "%d of %d clips in %s differ from those in the records", other, len(waveforms), source
        )
    return SourceAudio(settings.features, waveforms)


def rows(
    source: SourceAudio,
    batches: ClipBatches,
    predict: Callable[[ClipBatches], np.ndarray],
    truth: np.ndarray,
    score: Callable[[np.ndarray, np.ndarray], dict[str, float]],
) -> list[dict[str, Any]]:
    """Score the corruptions of the waveform: rows as ``corruptions.table`` has them."""
    return [
        {"condition": name, "n": len(truth)}
        | score(truth, predict(CorruptedBatches(batches, source, corrupt)))
        for name, corrupt in CONDITIONS.items()
    ]

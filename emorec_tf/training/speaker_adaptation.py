"""Adaptation without labels: audio, and the features of a classical head, relative to a set's own.

A set is the recordings of one speaker, or of one corpus. A model is speaker-independent unless it
was trained with ``--adapt``. With it, each clip's audio gets the scale of the training clips: the
mean and deviation of each band over the set's enrolment clips (or over the clip itself, with
``self``) are replaced by those of the training clips. Training does the same, so that the network
sees one kind of input. Under a classical head the features of audio and face are taken relative to
the set's mean features, too, and with ``--adapt_spread`` to their deviation. A speaker-independent
model with a classical head is adapted by its features alone: they are given the mean and the
spread of the training clips.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from emorec_tf.config.clip import Clip
from emorec_tf.errors import UserError
from emorec_tf.models.absent import fitted
from emorec_tf.models.classical import set_scale
from emorec_tf.models.classical.set_scale import SPEAKER_FEATURES, SPEAKER_SCALE
from emorec_tf.records import input_pipeline
from emorec_tf.records.input_pipeline import Batch
from emorec_tf.records.records_dir import Records
from emorec_tf.training import band_scale, enrolment
from emorec_tf.training.band_scale import Standard
from emorec_tf.training.enrolment import set_of

if TYPE_CHECKING:
    from emorec_tf.training.experiment import Experiment

_LOG = logging.getLogger(__name__)
FEW = 5  # clips; from fewer, level and spread are poorly known


class SpeakerAdapter:
    """Adapts the inputs of clips to their sets; does nothing in a speaker-independent run.

    ``adapter(inputs, clip_ids)`` gives inputs again, in eager code and inside ``tf.data``. With
    ``fit`` it learns about the sets of records, with ``fit_speaker`` about one set that is met
    alone, whatever the clip.
    """

    def __init__(
        self, adapt: int | str | None, standard: Standard | None, audio: bool = True
    ) -> None:
        """Make an adapter that knows no set yet.

        Args:
            adapt: as in ``DataConfig``: enrolment clips of a set, "self" or None.
            standard: of the training clips; None: the model does not use audio.
            audio: rescale the bands of the audio.
        """
        self.adapt = adapt
        self.standard = standard
        self.audio = audio and standard is not None and adapt is not None
        self._by = "speaker"
        self._records: Records | None = None
        self._enrolment: Sequence[Clip] = ()
        self._rows: tf.lookup.StaticHashTable | None = None  # clip id to the set's row
        self._scale: tuple[Any, Any] | None = None  # of S sets [S, M] each, or of one [M]
        # Mean features, and by what deviations from them are multiplied: [S, E] each.
        self._features: dict[str, np.ndarray] = {}

    @classmethod
    def for_model(
        cls, model: keras.Model, adapt: int | str | None, audio: bool = True
    ) -> SpeakerAdapter:
        """Make an adapter with the standard that a trained model was built with."""
        return cls(adapt, band_scale.standard_of(model), audio)

    @property
    def by_clips(self) -> bool:
        """Whether sets are known by enrolment clips."""
        return isinstance(self.adapt, int)

    def fit(
        self, experiment: Experiment, clips: Sequence[Clip], model: keras.Model | None = None
    ) -> SpeakerAdapter:
        """Learn about the sets of records from their enrolment clips.

        Args:
            experiment: has records and enrolment clips.
            clips: of the sets that will be needed.
            model: see ``fit_features``.
        """
        if not self.by_clips:
            return self
        self._by = by = experiment.settings.data.adapt_by
        met = experiment.same_speakers(clips)
        names = sorted({set_of(clip, by) for clip in met})
        self._records = experiment.records
        self._enrolment = [clip for clip in experiment.enrolment if set_of(clip, by) in names]
        # A corpus also has enrolment clips of speakers that are not needed otherwise.
        rows = {c.clip_id: names.index(set_of(c, by)) for c in [*met, *self._enrolment]}
        self._rows = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(list(rows)), tf.constant(list(rows.values()), tf.int64)
            ),
            -1,
        )
        if self.audio:
            scales = band_scale.of_sets(self._records, self._enrolment, by).values()
            means, deviations = (np.stack(values) for values in zip(*scales, strict=True))
            self._scale = tf.constant(means), tf.constant(deviations)
        return self if model is None else self.fit_features(model)

    def fit_features(self, model: keras.Model) -> SpeakerAdapter:
        """Also give the set's mean features and their scale, if a model asks for them."""
        below = features_model(model)
        if below is not None:
            self._learn(list(self.features_of_sets(below).values()), model)
        return self

    def _learn(self, sets: Sequence[np.ndarray], model: keras.Model) -> None:
        """Keep mean features and scales of sets, each [K, E]."""
        self._features[SPEAKER_FEATURES] = np.stack([np.mean(rows, axis=0) for rows in sets])
        pooled = set_scale.pooled_of(model)
        if pooled is not None:
            scales = [set_scale.scale_of(rows, pooled) for rows in sets]
            self._features[SPEAKER_SCALE] = np.stack(scales)

    def fit_speaker(self, clips: Sequence[Batch], model: keras.Model) -> SpeakerAdapter:
        """Learn about one set: a speaker, or a room.

        Clips without what is learned from them do not count.

        Args:
            clips: inputs of each enrolment clip, a batch of one.
            model: the model that will predict.

        Raises:
            UserError: no clip counts.
        """
        clips = self._counting(clips, needed_by(model))
        if self.audio and self.by_clips:
            heard = [c["audio"][0][c["audio_mask"][0] > 0] for c in clips]
            self._scale = band_scale.band_statistics(heard)
        below = features_model(model)
        if below is not None:
            own = [below.predict_on_batch(self._rescaled(clip, None)) for clip in clips]
            self._learn([np.concatenate(own)], model)
        return self

    def _counting(self, clips: Sequence[Batch], needed: set[str]) -> Sequence[Batch]:
        """Those that have what is needed; fewer than the run was trained with are said."""
        found = [c for c in clips if all(np.any(c[f"{kind}_mask"]) for kind in needed)]
        what = enrolment.words(needed).replace("audio", "speech")
        if not clips:
            raise UserError("none of the enrolment clips can be read; give others with --adapt")
        if not found:
            raise UserError(
                f"none of the {len(clips)} enrolment clips has {what}; give others with --adapt"
            )
        of_them = f" of {len(clips)}" if len(found) < len(clips) else ""
        if self.adapt is None and len(found) < FEW:
            _LOG.warning(
                "%d%s clips to adapt by have %s; from fewer than %d, level and spread are poorly "
                "known, so answers may be less accurate",
                len(found),
                of_them,
                what,
                FEW,
            )
        if isinstance(self.adapt, int) and len(found) < self.adapt:
            _LOG.warning(
                "%d%s enrolment clips have %s; the run was trained with %d of each speaker, so "
                "answers may be less accurate",
                len(found),
                of_them,
                what,
                self.adapt,
            )
        return found

    def features_of_sets(self, below: keras.Model) -> dict[str, np.ndarray]:
        """Features [K, E] of the enrolment clips of each fitted set, by sorted name.

        Clips that lack one of the modalities do not count.

        Args:
            below: inputs to features [B, E].

        Raises:
            UserError: a set has no clip that counts.
        """
        assert self._records is not None
        present, needed = self._records.modalities, branches_of(below)
        own = enrolment.usable(self._enrolment, present, needed, self._by)
        clips = [clip for part in own.values() for clip in part]
        names = {clip.clip_id.encode(): name for name, part in own.items() for clip in part}
        found: dict[str, list[np.ndarray]] = defaultdict(list)
        for inputs, clip_ids in input_pipeline.evaluation(self._records, clips):
            features = np.asarray(below.predict_on_batch(self._rescaled(inputs, clip_ids)))
            for row, clip_id in zip(features, clip_ids.numpy(), strict=True):
                found[names[clip_id]].append(row)
        return {name: np.stack(found[name]) for name in sorted(found)}

    def __call__(self, inputs: Batch, clip_ids: Any = None) -> Batch:
        """Adapt a batch.

        Args:
            inputs: arrays [B, ...] by name.
            clip_ids: [B] of bytes; None: all clips are of the one set that is known.
        """
        found = self._rescaled(inputs, clip_ids)
        if not self._features:
            return found
        if self._rows is None:
            count = len(next(iter(inputs.values())))
            return found | {n: np.repeat(v, count, axis=0) for n, v in self._features.items()}
        rows = self._sets(clip_ids)
        return found | {n: tf.gather(v, rows) for n, v in self._features.items()}

    def _rescaled(self, inputs: Batch, clip_ids: Any) -> Batch:
        if not self.audio or self.standard is None:
            return inputs
        if not self.by_clips:  # "self"
            return band_scale.moved(inputs, *band_scale.of_each(inputs), self.standard)
        assert self._scale is not None, "fit it first"
        if self._rows is None:
            return band_scale.moved(inputs, *self._scale, self.standard)
        rows = self._sets(clip_ids)
        mean, deviation = (tf.gather(values, rows)[:, None] for values in self._scale)
        return band_scale.moved(inputs, mean, deviation, self.standard)

    def _sets(self, clip_ids: Any) -> tf.Tensor:
        assert self._rows is not None
        return self._rows.lookup(tf.convert_to_tensor(clip_ids, tf.string))


def features_model(model: keras.Model) -> keras.Model | None:
    """Cut the part of a model whose output is taken relative to the set's mean: -> [B, E].

    None for a model that does not use that mean. For an ensemble, the features of all members.
    """
    if SPEAKER_FEATURES not in model.input:
        return None
    known = (SPEAKER_FEATURES, SPEAKER_SCALE)
    inputs = {n: t for n, t in model.input.items() if n not in known}
    experts = set_scale.experts_of(model)
    if not experts:
        return keras.Model(inputs, model.get_layer("features").output)
    parts = [part for part in map(features_model, experts) if part is not None]
    found = []
    for number, part in enumerate(parts, 1):
        given = fitted(inputs, part.input, branches_of(part), f"expert_{number}")
        found.append(part({n: given[n] for n in part.input}))
    return keras.Model(inputs, keras.ops.concatenate(found, axis=-1) if found[1:] else found[0])


def needed_by(model: keras.Model) -> set[str]:
    """What an enrolment clip has to have: audio, whose scale is measured, and all features."""
    below = features_model(model)
    return branches_of(model) & {"audio"} if below is None else branches_of(below)


def branches_of(model: keras.Model) -> set[str]:
    """Modalities that a model, or a member of a product, uses: "audio", "face"."""
    names = {layer.name for layer in model.layers}
    found = {
        kind
        for kind in ("audio", "face")
        if f"{kind}_branch" in names and f"{kind}_mask_off" not in names
    }
    inner = [n for n in model.layers if isinstance(n, keras.Model) and "_branch" not in n.name]
    return found.union(*map(branches_of, inner))

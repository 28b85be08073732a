"""Speaker adaptation: audio, and the features of a classical head, relative to the speaker's own.

A model is speaker-independent unless ``--enrol`` is given. With it, each clip's audio gets the
scale of the training clips: the mean and deviation of each band over the speaker's enrolment clips
(or over the clip itself, with ``self``) are replaced by those of the training clips. Training does
the same, so that the network sees one kind of input. Under a classical head the features of audio
and face are taken relative to the speaker's mean features, too.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from emorec_tf.config.clip import Clip
from emorec_tf.errors import UserError
from emorec_tf.models.classical.head_layers import SPEAKER_FEATURES
from emorec_tf.records import input_pipeline
from emorec_tf.records.input_pipeline import Batch
from emorec_tf.records.records_dir import Records
from emorec_tf.training import enrolment

if TYPE_CHECKING:
    from emorec_tf.training.experiment import Experiment

_LOG = logging.getLogger(__name__)
# Nepers. A band that is silent in the enrolment clips has almost no deviation there.
LEAST_DEVIATION = 0.1

Standard = tuple[np.ndarray, np.ndarray]  # mean and deviation of each band, [M] and [M]


class SpeakerAdapter:
    """Adapts the inputs of clips to their speakers; does nothing in a speaker-independent run.

    ``adapter(inputs, clip_ids)`` gives inputs again, in eager code and inside ``tf.data``. With
    ``fit`` it learns about the speakers of records, with ``fit_speaker`` about one who is met
    alone, whatever the clip.
    """

    def __init__(self, enrol: int | str | None, standard: Standard | None) -> None:
        """Make an adapter that knows no speaker yet.

        Args:
            enrol: as in ``DataConfig``: enrolment clips of a speaker, "self" or None.
            standard: of the training clips; None: the model does not use audio.
        """
        self.enrol = enrol
        self.standard = standard
        self._records: Records | None = None
        self._enrolment: Sequence[Clip] = ()
        self._rows: tf.lookup.StaticHashTable | None = None  # clip id to the speaker's row
        self._scale: tuple[Any, Any] | None = None  # of S speakers [S, M] each, or of one [M]
        self._features: np.ndarray | None = None  # mean features [S, E]

    @classmethod
    def for_model(cls, model: keras.Model, enrol: int | str | None) -> SpeakerAdapter:
        """Make an adapter with the standard that a trained model was built with."""
        return cls(enrol, standard_of(model))

    @property
    def by_clips(self) -> bool:
        """Whether speakers are known by enrolment clips."""
        return isinstance(self.enrol, int)

    def fit(
        self, experiment: Experiment, clips: Sequence[Clip], model: keras.Model | None = None
    ) -> SpeakerAdapter:
        """Learn about the speakers of records from their enrolment clips.

        Args:
            experiment: has records and enrolment clips.
            clips: of the speakers that will be needed.
            model: see ``fit_features``.
        """
        if not self.by_clips:
            return self
        met = experiment.same_speakers(clips)
        names = sorted({clip.speaker for clip in met})
        self._records = experiment.records
        self._enrolment = [clip for clip in experiment.enrolment if clip.speaker in names]
        self._rows = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant([clip.clip_id for clip in met]),
                tf.constant([names.index(clip.speaker) for clip in met], tf.int64),
            ),
            -1,
        )
        if self.standard is not None:
            scales = of_speakers(self._records, self._enrolment).values()
            means, deviations = (np.stack(values) for values in zip(*scales, strict=True))
            self._scale = tf.constant(means), tf.constant(deviations)
        return self if model is None else self.fit_features(model)

    def fit_features(self, model: keras.Model) -> SpeakerAdapter:
        """Also give the speaker's mean features, if a model asks for them by an input."""
        below = features_model(model)
        if below is not None:
            self._features = np.stack(list(self.mean_features(below).values()))
        return self

    def fit_speaker(self, clips: Sequence[Batch], model: keras.Model) -> SpeakerAdapter:
        """Learn about one speaker.

        Clips without what is learned from them do not count.

        Args:
            clips: inputs of each enrolment clip, a batch of one.
            model: the model that will predict.

        Raises:
            UserError: no clip counts.
        """
        clips = self._counting(clips, needed_by(model))
        if self.standard is not None:
            self._scale = band_statistics([c["audio"][0][c["audio_mask"][0] > 0] for c in clips])
        below = features_model(model)
        if below is not None:
            own = [below.predict_on_batch(self._rescaled(clip, None)) for clip in clips]
            self._features = np.mean(own, axis=0)
        return self

    def _counting(self, clips: Sequence[Batch], needed: set[str]) -> Sequence[Batch]:
        """Those that have what is needed; fewer than the run was trained with are said."""
        found = [c for c in clips if all(np.any(c[f"{kind}_mask"]) for kind in needed)]
        what = enrolment.words(needed).replace("audio", "speech")
        if not found:
            raise UserError(
                f"none of the {len(clips)} enrolment clips has {what}; give others with --enrol"
            )
        if isinstance(self.enrol, int) and len(found) < self.enrol:
            of_them = f" of {len(clips)}" if len(found) < len(clips) else ""
            _LOG.warning(
                "%d%s enrolment clips have %s; the run was trained with %d of each speaker, so "
                "answers may be less accurate",
                len(found),
                of_them,
                what,
                self.enrol,
            )
        return found

    def mean_features(self, below: keras.Model) -> dict[str, np.ndarray]:
        """Mean features [E] of each fitted speaker over the enrolment clips, by sorted name.

        Clips that lack one of the modalities do not count.

        Args:
            below: inputs to features [B, E].

        Raises:
            UserError: a speaker has no clip that counts.
        """
        assert self._records is not None
        own = enrolment.usable(self._enrolment, self._records.modalities, branches_of(below))
        clips = [clip for part in own.values() for clip in part]
        speaker = {clip.clip_id.encode(): clip.speaker for clip in clips}
        found: dict[str, list[np.ndarray]] = defaultdict(list)
        for inputs, clip_ids in input_pipeline.evaluation(self._records, clips):
            features = np.asarray(below.predict_on_batch(self._rescaled(inputs, clip_ids)))
            for row, clip_id in zip(features, clip_ids.numpy(), strict=True):
                found[speaker[clip_id]].append(row)
        return {name: np.mean(found[name], axis=0) for name in sorted(found)}

    def __call__(self, inputs: Batch, clip_ids: Any = None) -> Batch:
        """Adapt a batch.

        Args:
            inputs: arrays [B, ...] by name.
            clip_ids: [B] of bytes; None: all clips are of the one speaker who is known.
        """
        found = self._rescaled(inputs, clip_ids)
        if self._features is None:
            return found
        if self._rows is None:
            count = len(next(iter(inputs.values())))
            return {**found, SPEAKER_FEATURES: np.repeat(self._features, count, axis=0)}
        return {**found, SPEAKER_FEATURES: tf.gather(self._features, self._speakers(clip_ids))}

    def _rescaled(self, inputs: Batch, clip_ids: Any) -> Batch:
        if self.standard is None or self.enrol is None:
            return inputs
        if not self.by_clips:  # "self"
            return moved(inputs, *of_each(inputs), self.standard)
        assert self._scale is not None, "fit it first"
        if self._rows is None:
            return moved(inputs, *self._scale, self.standard)
        rows = self._speakers(clip_ids)
        mean, deviation = (tf.gather(values, rows)[:, None] for values in self._scale)
        return moved(inputs, mean, deviation, self.standard)

    def _speakers(self, clip_ids: Any) -> tf.Tensor:
        assert self._rows is not None
        return self._rows.lookup(tf.convert_to_tensor(clip_ids, tf.string))


def features_model(model: keras.Model) -> keras.Model | None:
    """Cut the part of a model whose output is taken relative to the speaker's mean: -> [B, E].

    None for a model that does not use that mean. For an ensemble, the features of all members.
    """
    if SPEAKER_FEATURES not in model.input:
        return None
    inputs = {n: t for n, t in model.input.items() if n != SPEAKER_FEATURES}
    experts = [layer for layer in model.layers if layer.name.startswith("expert_")]
    if not experts:
        return keras.Model(inputs, model.get_layer("features").output)
    parts = [part for part in map(features_model, experts) if part is not None]
    found = [part({n: inputs[n] for n in part.input}) for part in parts]
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


def moved(inputs: Batch, mean: Any, deviation: Any, standard: Standard) -> Batch:
    """Give bands of this mean and deviation those of ``standard`` instead; padding stays zero.

    Shapes:
        audio [B, T, M], audio_mask [B, T]; mean and deviation [M] or [B, 1, M]
    """
    audio = (inputs["audio"] - mean) / deviation * standard[1] + standard[0]
    return {**inputs, "audio": audio * inputs["audio_mask"][..., None]}


def of_each(inputs: Batch) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and deviation of each clip's own real frames: [B, 1, M] each."""
    mask = tf.convert_to_tensor(inputs["audio_mask"])[..., None]
    count = tf.maximum(tf.reduce_sum(mask, 1, keepdims=True), 1.0)
    mean = tf.reduce_sum(inputs["audio"] * mask, 1, keepdims=True) / count
    spread = tf.reduce_sum(tf.square(inputs["audio"] - mean) * mask, 1, keepdims=True) / count
    return mean, tf.maximum(tf.sqrt(spread), LEAST_DEVIATION)


def of_speakers(records: Records, clips: Sequence[Clip]) -> Mapping[str, Standard]:
    """Mean and deviation of each speaker over the real frames of these clips, by sorted name."""
    speaker = {c.clip_id: c.speaker for c in clips}
    frames: dict[str, list[np.ndarray]] = defaultdict(list)
    for inputs, clip_ids in input_pipeline.evaluation(records, clips):
        audio, mask = inputs["audio"].numpy(), inputs["audio_mask"].numpy()
        for bands, real, clip_id in zip(audio, mask, clip_ids.numpy(), strict=True):
            frames[speaker[clip_id.decode()]].append(bands[real > 0])
    return {name: band_statistics(frames[name]) for name in sorted(frames)}


def band_statistics(clips: Sequence[np.ndarray]) -> Standard:
    """Mean and deviation of each band over spectra [T, M]; 0 and 1 without any audio."""
    frames = np.concatenate(clips).astype(np.float64)
    if not len(frames):
        bands = frames.shape[1]
        return np.zeros(bands, np.float32), np.ones(bands, np.float32)
    deviation = np.maximum(frames.std(0), LEAST_DEVIATION)
    return frames.mean(0).astype(np.float32), deviation.astype(np.float32)


def standard_of(model: keras.Model) -> Standard | None:
    """Mean and deviation that a model was built with; None for one that does not use audio."""
    layers = [layer for layer in model.layers if layer.name == "standardise"]
    if not layers:  # in an ensemble, each member has its own; all are equal
        inner = [standard_of(m) for m in model.layers if m.name.startswith("expert_")]
        return next((standard for standard in inner if standard is not None), None)
    mean, variance = (np.ravel(np.asarray(v)) for v in (layers[0].mean, layers[0].variance))
    return mean, np.sqrt(variance)

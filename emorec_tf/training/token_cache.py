"""Tokens of frozen branches, computed once and kept: they are the same in every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from emorec_tf.config import choices
from emorec_tf.config.clip import Clip
from emorec_tf.config.config import Config
from emorec_tf.records import input_pipeline
from emorec_tf.records.input_pipeline import Batch, Transform
from emorec_tf.records.records_dir import Records


def is_possible(settings: Config) -> bool:
    """Whether branches give the same tokens for a clip in every epoch: nothing is random.

    That is so where they are frozen, by ``freeze_branches`` or as ``whisper`` by its own arguments.
    """
    train, model = settings.train, settings.model
    uses = choices.facts("fusion", model.fusion).uses
    samples = choices.facts("audio_features", settings.features.audio_features).samples
    changed = [kind for kind in uses if not (kind == "audio" and samples)]  # by augmentation
    varied = (train.augment and changed) or train.augment_channel
    drawn = varied or train.train_frames or (model.modality_dropout and len(uses) > 1)
    trained = [kind for kind in uses if choices.needs_training(kind, getattr(model, kind))]
    return not drawn and (train.freeze_branches or not trained)


class TokenCache:
    """Looks tokens up by clip: ``cache(inputs, clip_ids)`` gives the inputs of what is trained."""

    def __init__(
        self, below: keras.Model, records: Records, clips: Sequence[Clip], transform: Transform
    ) -> None:
        """Compute the tokens of every clip.

        Args:
            below: inputs to tokens (see ``model.above_branches``).
            records: hold the clips.
            clips: all that will be asked for.
            transform: of the inputs, as in training.
        """
        parts, ids = [], []
        for inputs, clip_ids in input_pipeline.evaluation(records, clips):
            parts.append(below.predict_on_batch(transform(inputs, clip_ids)))
            ids += list(clip_ids.numpy())
        with tf.device("CPU"):  # where batches are made
            self._tokens = {n: tf.constant(np.concatenate([p[n] for p in parts])) for n in parts[0]}
            self._rows = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(
                    tf.constant(ids), tf.range(len(ids), dtype=tf.int64)
                ),
                -1,
            )

    def __call__(self, _: Any, clip_ids: tf.Tensor) -> Batch:
        """Give the tokens of a batch."""
        rows = self._rows.lookup(clip_ids)
        return {name: tf.gather(tokens, rows) for name, tokens in self._tokens.items()}

"""Serialised examples to arrays, as the schema says; those of the wanted clips alone."""

from __future__ import annotations

import tensorflow as tf

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.config.schema import Spec, schema

Batch = dict[str, tf.Tensor]


def wanted(messages: tf.data.Dataset, table: tf.lookup.StaticHashTable) -> tf.data.Dataset:
    """Leave out serialised examples whose clip is not in ``table``."""
    spec = {"clip_id": tf.io.FixedLenFeature([], tf.string)}
    return messages.filter(
        lambda m: table.lookup(tf.io.parse_single_example(m, spec)["clip_id"]) >= 0
    )


def parse(messages: tf.Tensor, features: FeaturesConfig) -> Batch:
    """Parse a batch of serialised examples by the schema.

    Shapes:
        strings [B] -> {name: [B, *shape]}, plus clip_id, speaker, emotion strings [B]
    """
    specs = schema(features)
    text = {n: tf.io.FixedLenFeature([], tf.string) for n in ("clip_id", "speaker", "emotion")}
    numbers = {n: tf.io.FixedLenFeature([], tf.float32) for n in ("activation", "valence")}
    arrays = {n: tf.io.FixedLenFeature([], tf.string) for n in specs}
    parsed = tf.io.parse_example(messages, {**text, **numbers, **arrays})
    for name, spec in specs.items():
        parsed[name] = decoded(parsed[name], spec)
    return parsed


def decoded(raw: tf.Tensor, spec: Spec) -> tf.Tensor:
    """Give raw bytes their type and shape: strings [B] -> [B, *shape]."""
    if 0 in spec.shape:
        return tf.zeros([tf.shape(raw)[0], *spec.shape], spec.dtype)
    return tf.reshape(tf.io.decode_raw(raw, spec.dtype), [-1, *spec.shape])

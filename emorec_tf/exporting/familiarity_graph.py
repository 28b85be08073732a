"""Familiarity as part of an exported graph: the same numbers as ``tasks.familiarity``."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from emorec_tf.tasks import calibration
from emorec_tf.tasks.familiarity import NEIGHBOURS, SMALLEST, Familiarity, Part


def scores(found: Familiarity, embedding: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Unfamiliarity [B, 1] and familiarity [B, 1] of an embedding [B, E]."""
    far, here = [], []
    for part in found.parts:
        own = embedding[:, part.start : part.stop]
        here.append(tf.reduce_max(tf.cast(own != 0, tf.float32), axis=1, keepdims=True))
        far.append(_standardised(part, embedding) * here[-1])
    count = tf.add_n(here)
    unfamiliarity = tf.add_n(far) / tf.maximum(count, 1.0)
    familiarity = tf.zeros_like(unfamiliarity)
    for number, row in enumerate(found.held_out, 1):
        less = tf.cast(tf.constant(row[None].astype(np.float32)) > unfamiliarity, tf.float32)
        share = tf.reduce_mean(less, axis=1, keepdims=True)
        fits = tf.maximum(count, 1.0) == float(number)
        familiarity += tf.where(fits, share, tf.zeros_like(share))
    return unfamiliarity, familiarity


def growth(slope: float, unfamiliarity: tf.Tensor) -> tf.Tensor:
    """``calibration.growth`` of [B, 1]."""
    return tf.exp(slope * tf.clip_by_value(unfamiliarity, 0.0, calibration.MOST_UNFAMILIAR))


def _standardised(part: Part, embedding: tf.Tensor) -> tf.Tensor:
    """Logarithm of the distance to the nearest training clips, standardised: [B, 1]."""
    if not len(part.columns):
        return tf.zeros_like(embedding[:, :1])
    chosen = tf.gather(embedding, tf.constant(part.columns), axis=1)
    z = (chosen - part.mean) / part.scale
    references = part.references.astype(np.float32)
    lengths = tf.constant((references.astype(np.float64) ** 2).sum(1)[None].astype(np.float32))
    squares = tf.reduce_sum(z * z, axis=1, keepdims=True) + lengths
    squares -= 2 * tf.matmul(z, tf.constant(references.T))
    nearest = min(NEIGHBOURS, len(references))
    square = -tf.math.top_k(-squares, nearest).values[:, nearest - 1 :]
    logs = tf.math.log(tf.maximum(square, SMALLEST)) / 2
    return (logs - part.centre) / part.spread

"""Familiarity as part of an exported graph: the same numbers as ``tasks.familiarity``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from emorec_tf.tasks import calibration
from emorec_tf.tasks.familiarity import NEIGHBOURS, SMALLEST, Familiarity, Part
from emorec_tf.tasks.joint_familiarity import JointFamiliarity, Member

MOST = 1e9  # more than any unfamiliarity


def scores(
    found: Familiarity | JointFamiliarity, embedding: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Unfamiliarity [B, 1] and familiarity [B, 1] of an embedding [B, E]."""
    if isinstance(found, JointFamiliarity):
        return _of_members(found, embedding)
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


def tempered(
    found: JointFamiliarity, logits: tf.Tensor, experts: Sequence[tf.Tensor], embedding: tf.Tensor
) -> tf.Tensor:
    """``JointFamiliarity.tempered`` of logits [B, K] of an ensemble and those of its members."""
    total = logits
    for (member, own), raw in zip(_members(found, embedding), experts, strict=True):
        if member.slope:
            grown = growth(member.slope, scores(member.familiarity, own)[0])
            plain = raw / member.temperature
            change = tf.nn.log_softmax(plain / grown) - tf.nn.log_softmax(plain)
            total += change * tf.cast(grown > 1.0, tf.float32)
    return total


def growth(slope: float, unfamiliarity: tf.Tensor) -> tf.Tensor:
    """``calibration.growth`` of [B, 1]."""
    return tf.exp(slope * tf.clip_by_value(unfamiliarity, 0.0, calibration.MOST_UNFAMILIAR))


def _members(found: JointFamiliarity, embedding: tf.Tensor) -> list[tuple[Member, tf.Tensor]]:
    """Members of an ensemble, and the embedding of each."""
    rows, start = [], 0
    for member in found.members:
        stop = start + member.familiarity.width
        rows.append((member, embedding[:, start:stop]))
        start = stop
    return rows


def _of_members(found: JointFamiliarity, embedding: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """``JointFamiliarity.of``."""
    rows = []
    for member, own in _members(found, embedding):
        far, familiar = scores(member.familiarity, own)
        threshold, wanted = member.familiarity.threshold, found.threshold
        if threshold != wanted:
            below = familiar * (wanted / threshold if threshold else 0.0)
            above = wanted + (familiar - threshold) * ((1 - wanted) / (1 - threshold))
            familiar = tf.where(familiar < threshold, below, above)
        here = tf.reduce_max(tf.cast(own != 0, tf.float32), axis=1, keepdims=True)
        rows.append((far, familiar, here))
    far, familiar, here = (tf.concat(values, axis=1) for values in zip(*rows, strict=True))
    counts = tf.maximum(here, 1.0 - tf.reduce_max(here, axis=1, keepdims=True))
    away = MOST * (1.0 - counts)
    return (
        tf.reduce_max(far * counts - away, axis=1, keepdims=True),
        tf.reduce_min(familiar * counts + away, axis=1, keepdims=True),
    )


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

"""Weights of clips by which corpora count the same, and within each of them its classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from emorec_tf.config.clip import corpus_of


def clip_weights(speakers: Sequence[str], labels: Sequence[Hashable]) -> np.ndarray:
    """Weights [N] that average to one: equal totals for each corpus, and for its classes within it.

    Args:
        speakers: of the clips; their prefix is the corpus (``clip.corpus_of``).
        labels: of the clips: names or class ids. A class that a corpus lacks has no part in it.
    """
    corpora = [corpus_of(str(speaker)) for speaker in speakers]
    cells = list(zip(corpora, labels, strict=True))
    clips = Counter(cells)
    classes = Counter(corpus for corpus, _ in clips)
    shares = [1 / (len(classes) * classes[corpus] * clips[corpus, k]) for corpus, k in cells]
    return len(cells) * np.array(shares)

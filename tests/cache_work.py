"""Work on one cache folder, for spawned processes: they import it by its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from emorec_tf.features import decode_cache
from emorec_tf.features.decode_cache import Cache


def quarrel(folder: str, seed: int) -> int:
    """Write, read and cull in one folder with others; count what was read wrong."""
    random = np.random.default_rng(seed)
    cache, wrong = Cache(Path(folder), 30_000), 0
    for _ in range(300):
        number = int(random.integers(40))
        entry = decode_cache.read(cache, str(number))
        wrong += entry is not None and not (entry[1]["a"] == number).all()
        decode_cache.write(cache, str(number), ({}, {"a": np.full(1000, number, np.uint8)}))
        if number < 5:
            decode_cache.cull(cache)
    return wrong

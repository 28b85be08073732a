"""Outputs of frozen branches by clip, kept in memory for folds that ask for the same again.

Folds of a cross-validation share most of their training clips. A branch whose weights do not depend
on the fold gives the same features in each, so they are computed once per process.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from emorec_tf.config import choices
from emorec_tf.config.clip import Clip
from emorec_tf.config.config import Config
from emorec_tf.records.records_dir import Records

LIMIT_BYTES = 2 << 30
Read = Callable[[Sequence[Clip]], tuple[np.ndarray, list[Clip]]]
_kept: OrderedDict[str, dict[str, np.ndarray]] = OrderedDict()  # the last used last


def is_possible(settings: Config) -> bool:
    """Whether the features of a clip are the same in every fold: nothing is trained or adapted."""
    model = settings.model
    used = choices.facts("fusion", model.fusion).uses
    trained = any(choices.needs_training(kind, getattr(model, kind)) for kind in used)
    return not trained and settings.data.adapt is None


def key_of(model: keras.Model, records: Records, what: str) -> str:
    """Identify what a model gives for clips of these records: layers, weights, records, purpose."""
    digest = hashlib.sha256(f"{records.folder}\n{what}\n".encode())
    digest.update(json.dumps(records.manifest["features"], sort_keys=True).encode())
    # Keras numbers its layers: the same network has other names in each fold.
    digest.update(re.sub(r"_\d+\b", "", model.to_json()).encode())
    for array in model.get_weights():
        digest.update(array.tobytes())
    return digest.hexdigest()


def rows_of(key: str, clips: Sequence[Clip], read: Read) -> tuple[np.ndarray, list[Clip]]:
    """Rows [N, E] of clips and the clips in the same order, by id; only new ones are read.

    The order does not depend on what was read before, so a resumed fold sums in the same order.

    Args:
        key: see ``key_of``.
        clips: wanted.
        read: computes rows of clips, in an order of its own.
    """
    known = _kept.setdefault(key, {})
    _kept.move_to_end(key)
    fresh = [clip for clip in clips if clip.clip_id not in known]
    if fresh:
        values, ordered = read(fresh)
        known.update(zip((clip.clip_id for clip in ordered), values, strict=True))
        _forget()
    in_order = sorted(clips, key=lambda clip: clip.clip_id)
    return np.stack([known[clip.clip_id] for clip in in_order]), in_order


def clear() -> None:
    """Forget everything."""
    _kept.clear()


def _forget() -> None:
    """Keep what was used last within the limit; what is in use stays."""
    while len(_kept) > 1 and sum(map(_bytes, _kept.values())) > LIMIT_BYTES:
        _kept.popitem(last=False)


def _bytes(rows: dict[str, Any]) -> int:
    return len(rows) * next((row.nbytes for row in rows.values()), 0)

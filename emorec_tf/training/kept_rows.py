"""Features of frozen branches by clip, computed once for all folds, members and runs.

Folds of a cross-validation share most of their clips. A branch whose weights do not depend on the
fold gives the same features in each. They are kept in memory and in the cache folder, where an
entry that is missing, damaged or cannot be written only costs time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from emorec_tf.config import choices
from emorec_tf.config.clip import Clip
from emorec_tf.config.config import Config
from emorec_tf.errors import UserError
from emorec_tf.models.model import STANDARDISE
from emorec_tf.records.records_dir import Records
from emorec_tf.storage.cache_dir import cache_folder
from emorec_tf.training import array_files

LIMIT_BYTES = 2 << 30  # in memory, and again on disk
FOLDER = "features"  # in the cache folder
# What does not change the features: the head, and how it is fitted.
HEAD = ("classifier", "ensemble", "modality_dropout")
Read = Callable[[Sequence[Clip]], tuple[np.ndarray, list[Clip]]]
_kept: OrderedDict[str, dict[str, np.ndarray]] = OrderedDict()  # the last used last


def is_possible(settings: Config) -> bool:
    """Whether the features of a clip are the same in every fold.

    That is so if nothing is trained, and if speakers are adapted by features alone, which follows.
    """
    model = settings.model
    used = choices.facts("fusion", model.fusion).uses
    trained = any(choices.needs_training(kind, getattr(model, kind)) for kind in used)
    data = settings.data
    adapted = data.adapt == "self" or (data.adapt is not None and data.adapt_audio)
    return not trained and not adapted


def key_of(model: keras.Model, settings: Config, records: Records, what: str) -> str:
    """Identify what branches give for clips of records: settings, weights, records and purpose.

    Args:
        model: of the branches alone, with all weights that they have.
        settings: that built it.
        records: hold the clips.
        what: "clips", or which copies of them.
    """
    built = {name: value for name, value in vars(settings.model).items() if name not in HEAD}
    facts = [built, settings.train.precision, records.manifest["features"], what]
    made = [str(part.folder) + json.dumps(part.manifest["shards"]) for part in parts_of(records)]
    digest = hashlib.sha256(json.dumps([facts, made], sort_keys=True, default=str).encode())
    arrays = model.get_weights()
    if choices.facts("audio", settings.model.audio).standardised:
        found = [layer for layer in model.layers if layer.name == STANDARDISE]
        arrays += [np.asarray(part) for layer in found for part in (layer.mean, layer.variance)]
    for array in arrays:
        digest.update(array.tobytes())
    return digest.hexdigest()[:32]


def parts_of(records: Records) -> Sequence[Records]:
    """Return the folders that were joined; of one, itself."""
    return records.parts or (records,)


def rows_of(key: str, clips: Sequence[Clip], read: Read) -> tuple[np.ndarray, list[Clip]]:
    """Rows float64 [N, E] of clips and the clips in the same order, by id; only new ones are read.

    The order does not depend on what was read before, so a resumed fold sums in the same order.

    Args:
        key: see ``key_of``.
        clips: wanted.
        read: computes rows of clips, float32 in double precision, in an order of its own.
    """
    if key not in _kept:
        _kept[key] = _stored(key)
    known = _kept[key]
    _kept.move_to_end(key)
    fresh = [clip for clip in clips if clip.clip_id not in known]
    if fresh:
        values, ordered = read(fresh)
        ids = [clip.clip_id for clip in ordered]
        known.update(zip(ids, values.astype(np.float32), strict=True))
        _store(key, known)
        while len(_kept) > 1 and sum(map(_bytes, _kept.values())) > LIMIT_BYTES:
            _kept.popitem(last=False)
    in_order = sorted(clips, key=lambda clip: clip.clip_id)
    return np.stack([known[clip.clip_id] for clip in in_order]).astype(np.float64), in_order


def clear() -> None:
    """Forget what is in memory."""
    _kept.clear()


def _bytes(rows: dict[str, np.ndarray]) -> int:
    return len(rows) * next((row.nbytes for row in rows.values()), 0)


def _stored(key: str) -> dict[str, np.ndarray]:
    """Read an entry of the cache folder; {} where there is none, or a damaged one."""
    file = cache_folder(FOLDER, f"{key}.npz")
    with contextlib.suppress(UserError, OSError):
        found = array_files.read(file, ("ids", "rows"))
        if found:
            file.touch()
            return dict(zip(found["ids"].tolist(), found["rows"], strict=True))
    return {}


def _store(key: str, rows: dict[str, np.ndarray]) -> None:
    """Write an entry, and remove those used longest ago above the limit."""
    file = cache_folder(FOLDER, f"{key}.npz")
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        arrays = {"ids": np.array(list(rows), str), "rows": np.stack(list(rows.values()))}
        array_files.write(file, arrays)
        _cull(file.parent)


def _cull(folder: Path) -> None:
    files = sorted(folder.glob("*.npz"), key=lambda file: file.stat().st_mtime)
    total = sum(file.stat().st_size for file in files)
    for file in files[:-1]:
        if total <= LIMIT_BYTES:
            return
        total -= file.stat().st_size
        file.unlink(missing_ok=True)

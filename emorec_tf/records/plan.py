"""What records are made from: a hash of everything that decides their bytes, and the manifest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from emorec_tf import __version__
from emorec_tf.config.clip import Clip
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.datasets import corpora
from emorec_tf.datasets.corpus import CLIPS
from emorec_tf.records import records_dir
from emorec_tf.storage import paths

if TYPE_CHECKING:
    from emorec_tf.records.prepare_records import Preparation

SIZES_AT_ONCE = 16


def digest(clips: Sequence[Clip], features: FeaturesConfig, clips_per_shard: int) -> str:
    """Hash of everything that decides the bytes: clips, labels, file sizes, settings."""

    def sizes_of(clip: Clip) -> list[int]:
        return [_size_of(path) for path in (clip.video, clip.audio)]

    with ThreadPoolExecutor(SIZES_AT_ONCE) as pool:  # a size on object storage is a request
        all_sizes = list(pool.map(sizes_of, clips))
    found = hashlib.sha256(
        f"{records_dir.FORMAT} {features.fingerprint()} {clips_per_shard}".encode()
    )
    for clip, sizes in zip(clips, all_sizes, strict=True):
        fields = {**vars(clip), "traits": dict(clip.traits), "sizes": sizes}
        found.update(json.dumps(fields, sort_keys=True).encode())
    return found.hexdigest()


def _size_of(path: str | None) -> int:
    """Bytes of a clip's file; -1 where it cannot be found, which is refused when it is read."""
    try:
        return paths.size_of(paths.place(path)) if path else 0
    except (OSError, ValueError):  # also names that no file can have
        return -1


def manifest(preparation: Preparation, features: FeaturesConfig, plan: str) -> dict[str, Any]:
    """The content of records.json without the shards."""
    used = [corpora.DATASETS[name] for name in preparation.dataset.split("+")]
    # Only where they are set, so that records of older versions are the same.
    selected: dict[str, str] = {}
    if preparation.channel != "speech":
        selected["channel"] = preparation.channel
    if preparation.label_map:
        selected["label_map"] = preparation.label_map
    if preparation.speakers == CLIPS:
        selected["speakers"] = preparation.speakers
    return {
        "format": records_dir.FORMAT,
        "dataset": preparation.dataset,
        "stamp": features.fingerprint(),
        "features": dataclasses.asdict(features),
        "plan": plan,
        "licence": " + ".join(c.licence for c in used),
        "label_meaning": " + ".join(c.label_meaning for c in used),
        "label": preparation.label or "",
        **selected,
        "emorec_tf": __version__,
    }

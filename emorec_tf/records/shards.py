"""Shards of a preparation job: their size, how one is written, and which are finished.

A runner (``local_runner``, ``beam_runner``) gives the clips of a shard to workers and their results
to ``write``, so the bytes do not depend on the runner. Beside each finished shard is a note (its
rows of the report, its sha256) until the manifest is written: a killed job resumes with the shards
that have none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emorec_tf.config.clip import Clip
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.config.fields import check
from emorec_tf.config.schema import schema
from emorec_tf.records import records_dir
from emorec_tf.records.worker_pool import Result, Settings
from emorec_tf.storage import paths
from emorec_tf.storage.files import file_check, write_atomically

PARTIAL = ".partial"  # notes beside finished shards, until the manifest is written
MIB = 2**20
# A corpus that would fill fewer shards is cut finer, so that there is something to shuffle and to
# distribute, but not into shards of fewer clips than this.
SHARDS_TO_SHARE = 32
FEWEST_CLIPS = 64
Parts = Mapping[int, Sequence[Clip]]  # clips by number of the shard


@dataclass(frozen=True)
class Job:
    """What all shards of a job share, in a form that can be sent to other machines."""

    folder: str
    settings: Settings

    @property
    def place(self) -> Path:
        """Folder of the records."""
        return paths.place(self.folder)


def bytes_of_example(features: FeaturesConfig) -> int:
    """Bytes of one clip in a shard, without labels and record frame (about 200)."""
    return sum(
        math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in schema(features).values()
    )


def clips_in_one(
    features: FeaturesConfig, count: int, shard_mib: float, clips_per_shard: int
) -> int:
    """Number of clips in one shard.

    Args:
        features: determine the bytes of a clip.
        count: clips of the corpus.
        shard_mib: approximate upper limit of a shard's size.
        clips_per_shard: the result, unless it is 0.

    Raises:
        UserError: an impossible size.
    """
    check(shard_mib > 0, "shard_mib", shard_mib, "more than 0")
    check(clips_per_shard >= 0, "clips_per_shard", clips_per_shard, "0 or more")
    if clips_per_shard:
        return clips_per_shard
    full = int(shard_mib * MIB / bytes_of_example(features))
    return max(1, min(full, max(FEWEST_CLIPS, math.ceil(count / SHARDS_TO_SHARE))))


def begin(folder: Path, plan: str) -> None:
    """Keep the notes of an earlier job with the same plan; remove those of another."""
    partial = folder / PARTIAL
    if not (partial / "plan").exists() or (partial / "plan").read_text() != plan:
        paths.remove_tree(partial)
        partial.mkdir(parents=True, exist_ok=True)
        write_atomically(partial / "plan", plan)


def sidecar(folder: Path, number: int) -> Path:
    """Path of the note beside a finished shard."""
    return folder / PARTIAL / f"shard-{number:05d}.json"


def write(folder: Path, number: int, results: Iterable[Result]) -> None:
    """Write the shard of these results, then its note.

    Raises:
        UserError: no space.
    """
    pairs = list(results)
    kept = [data for data, _ in pairs if data]
    rows = [{**row, "shard": number if data else ""} for data, row in pairs]
    shard = records_dir.write_shard(folder / f"shard-{number:05d}.tfrecord", kept)
    note = json.dumps({"shard": shard, "rows": rows})
    write_atomically(sidecar(folder, number), note)


def is_whole(folder: Path, number: int) -> bool:
    """Whether an earlier run finished this shard and its bytes are unchanged."""
    if not sidecar(folder, number).exists():
        return False
    shard = json.loads(sidecar(folder, number).read_text())["shard"]
    path = folder / shard["name"]
    wanted = {"bytes": shard["bytes"], "sha256": shard["sha256"]}
    return path.exists() and file_check(path) == wanted

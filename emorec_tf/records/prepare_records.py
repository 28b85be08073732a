"""A corpus on disk to TFRecords: in parallel, resumable, byte for byte repeatable."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.util
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from emorec_tf.config.clip import MODALITIES, Clip
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.config.fields import (
    CHANNEL,
    CLASSES,
    COLUMNS,
    FACE_MODEL,
    LABEL_MAP,
    MESH_MODEL,
    SPEAKERS,
    check,
    option,
)
from emorec_tf.datasets import corpora
from emorec_tf.errors import UserError
from emorec_tf.features import decode_cache
from emorec_tf.records import local_runner, plan, records_dir, shards
from emorec_tf.records.records_dir import Records
from emorec_tf.storage import locks, paths, resumable
from emorec_tf.storage.cache_dir import cache_folder
from emorec_tf.storage.files import rows_to_csv, write_atomically

KIND = resumable.Kind(
    "folder of records",
    records_dir.MANIFEST,
    "--records",
    {"features": "", "dataset": "", "label": "", "plan": "other clips, labels or shard sizes"},
)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Preparation:
    """What to read, where to write, how many at once."""

    dataset: str = option("demo", "corpus name, or several joined by + (ravdess+savee)")
    source: str | None = option(
        None,
        "folder of the corpus, or a comma list for several (default: the demo corpus is generated)",
    )
    records: str | None = option(None, "folder to write, such as records/ravdess (required)")
    classes: str | None = option(None, CLASSES)
    label_map: str | None = option(None, LABEL_MAP, metavar="PAIRS")
    columns: str | None = option(None, COLUMNS, metavar="PAIRS")
    speakers: Literal["named", "clips"] = option("named", SPEAKERS, expert=True)
    label: str | None = option(
        None,
        "label set of a corpus that has several, such as crema-d's intended and perceived "
        "(default: the first of them)",
    )
    modality: str = option(
        "auto",
        f"which files, of a corpus that has several for a clip (ravdess): "
        f"{', '.join(MODALITIES)}; auto: all there are",
    )
    channel: Literal["speech", "song", "all"] = option("speech", CHANNEL)
    runner: Literal["local", "beam"] = option(
        "local",
        "local: processes on this machine; beam: Apache Beam, on one machine or a cluster",
        expert=True,
    )
    beam_options: str = option(
        "",
        'options of Apache Beam in one string: "--runner=FlinkRunner ..." (docs/scale.md)',
        expert=True,
    )
    workers: int = option(os.cpu_count() or 1, "parallel processes, usually one per CPU core")
    shard_mib: float = option(
        128.0,
        "approximate size of one TFRecord file (shard), in MiB; a smaller corpus gets up to 32 "
        "smaller shards of at least 64 clips",
        expert=True,
    )
    clips_per_shard: int = option(
        0, "clips per shard; 0: as many as --shard_mib allows", expert=True
    )
    face_model: str | None = option(None, FACE_MODEL, expert=True)
    mesh_model: str | None = option(None, MESH_MODEL, expert=True)
    overwrite: bool = option(
        False, "replace records that were made from other clips or with other settings"
    )
    allow_refused: bool = option(
        False,
        "exit with status 0 even if clips were refused, or files that a table names are missing",
    )
    cache_gib: float = option(
        10.0,
        "size limit of the cache of decoded clips, in GiB; other feature settings reuse it, the "
        "least recently used clips are deleted first; 0: no cache",
        expert=True,
    )


def prepare(
    preparation: Preparation, features: FeaturesConfig, *, show_progress: bool = False
) -> Records:
    """Write the records of a corpus unless they are complete; go on where an earlier call stopped.

    Args:
        preparation: the corpus, where its records go, and how. ``records`` must be set, and
            ``source`` too but for the demo corpus, which is made.
        features: what is kept of each clip.
        show_progress: draw a progress bar on stderr, as the commands do.

    Raises:
        UserError: nothing to read, other records in the way, or every clip refused.
    """
    missing = preparation.source is None and preparation.dataset != "demo"
    if preparation.records is None or missing:
        raise UserError("prepare needs --source FOLDER and --records FOLDER (see --help)")
    check(preparation.workers >= 1, "workers", preparation.workers, "at least 1")
    folder = paths.place(preparation.records)
    resumable.check_folder(folder, KIND.flag)
    if preparation.source is None:
        preparation = dataclasses.replace(preparation, source=demo_source())
    clips = _clips(preparation)
    size = shards.clips_in_one(
        features, len(clips), preparation.shard_mib, preparation.clips_per_shard
    )
    digest = plan.digest(clips, features, size)
    manifest = plan.manifest(preparation, features, digest)
    cache = decode_cache.bounded(preparation.cache_gib)
    make = _runner(preparation, show_progress)
    busy = f"another prepare is at work in {folder}; wait or stop it"
    with locks.alone(folder / ".lock", busy):
        if _is_complete(folder, manifest, preparation.overwrite):
            _LOG.info("records in %s are complete; nothing to do", folder)
            return records_dir.open_records(folder)
        shards.begin(folder, digest)
        settings = (features, preparation.face_model, preparation.mesh_model, cache)
        job = shards.Job(str(folder), settings)
        parts = [clips[i : i + size] for i in range(0, len(clips), size)]
        left = [number for number in range(len(parts)) if not shards.is_whole(folder, number)]
        done = len(clips) - sum(len(parts[number]) for number in left)
        if done:
            _LOG.info("going on after %d clips that are done", done)
        make(job, {number: parts[number] for number in left})
        _finish(job, len(parts), manifest)
        if cache:
            decode_cache.cull(cache)
    return records_dir.open_records(folder)


def demo_source() -> str:
    """Make the demo corpus in the cache folder; return where it is."""
    from emorec_tf.datasets.demo import demo_corpus

    folder = cache_folder() / "demo-corpus"
    _LOG.info("demo corpus (drawn faces, synthetic voices; no evidence of anything) in %s", folder)
    return str(demo_corpus.build(folder))


def demo_records(features: FeaturesConfig, *, show_progress: bool = False) -> Path:
    """Prepare the demo corpus in the cache folder; return the folder of records."""
    folder = cache_folder() / f"demo-records-{features.fingerprint()}"
    prepare(Preparation(records=str(folder)), features, show_progress=show_progress)
    return folder


def _clips(preparation: Preparation) -> list[Clip]:
    """All clips of the corpus, in an order that its file system does not decide."""
    clips = corpora.clips(
        preparation.dataset,
        str(preparation.source),
        classes=preparation.classes,
        label=preparation.label,
        modality=preparation.modality,
        channel=preparation.channel,
        label_map=preparation.label_map,
        columns=preparation.columns,
        speakers=preparation.speakers,
        allow_missing=preparation.allow_refused,
    )
    # by hash, so that neighbours do not share a speaker
    return sorted(clips, key=lambda c: hashlib.sha256(c.clip_id.encode()).digest())


def _runner(
    preparation: Preparation, show_progress: bool
) -> Callable[[shards.Job, shards.Parts], None]:
    """Choose what makes the shards.

    Raises:
        UserError: Apache Beam is not installed, or does not understand its preparation.
    """
    if preparation.runner == "local":
        if preparation.beam_options:
            raise UserError("--beam_options are for --runner beam; add it, or leave them out")
        more: dict[str, Any] = {"workers": preparation.workers, "show_progress": show_progress}
        return functools.partial(local_runner.make_all, **more)
    if importlib.util.find_spec("apache_beam") is None:
        raise UserError("--runner beam needs Apache Beam; pip install 'emorec-tf[beam]'")
    return functools.partial(_beam_runner().make_all, given=preparation.beam_options)


def _beam_runner() -> ModuleType:
    """Import Beam without its warnings on cloud clients."""
    log, silent = logging.getLogger(), logging.NullHandler()
    log.addHandler(silent)
    from emorec_tf.records import beam_runner

    log.removeHandler(silent)
    return beam_runner


def _is_complete(folder: Path, manifest: dict[str, Any], overwrite: bool) -> bool:
    """Whether the same records are whole; else the old manifest is removed.

    Raises:
        UserError: records of other clips or settings, which are not to be overwritten.
    """
    path = folder / records_dir.MANIFEST
    if not path.exists():
        return False
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        same = stored["plan"] == manifest["plan"]
        whole = (folder / records_dir.REPORT).exists() and _are_whole(folder, stored)
    except (ValueError, KeyError, TypeError):
        same, whole = True, False  # a damaged manifest is no reason to keep anything
    if same and whole:
        return True
    if not same:
        resumable.check(folder, manifest, KIND, overwrite)
    path.unlink()
    return False


def _are_whole(folder: Path, stored: dict[str, Any]) -> bool:
    """Whether all shards are what the manifest says: by sha256, of remote ones by size."""
    if isinstance(folder, paths.Remote):
        files = {folder / s["name"]: s["bytes"] for s in stored["shards"]}
        return all(file.exists() and paths.size_of(file) == size for file, size in files.items())
    if records_dir.reported_clips(folder, stored) is None:
        _LOG.warning("%s is damaged; the records are made again", folder / records_dir.REPORT)
        return False
    damaged = records_dir.damaged_shard(folder, stored)
    if damaged:
        _LOG.warning("shard %s is damaged; the records are made again", folder / damaged)
    return damaged is None


def _finish(job: shards.Job, count: int, manifest: dict[str, Any]) -> None:
    """Join the notes beside ``count`` shards to the report and, last of all, the manifest."""
    folder = job.place
    parts = [json.loads(shards.sidecar(folder, n).read_text()) for n in range(count)]
    rows = sorted((r for p in parts for r in p["rows"]), key=lambda r: r["clip_id"])
    kept = [p["shard"] for p in parts if p["shard"]["count"]]
    if not kept:
        raise UserError(f"all {len(rows)} clips were refused, the first: {rows[0]['reason']}")
    write_atomically(folder / records_dir.REPORT, rows_to_csv(rows))
    whole = json.dumps({**manifest, "shards": kept}, indent=1)
    write_atomically(folder / records_dir.MANIFEST, whole)
    paths.remove_tree(folder / shards.PARTIAL)

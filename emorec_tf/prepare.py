"""Command: a corpus on disk to TFRecords, in parallel, resumable, byte for byte repeatable."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.util
import json
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

from emorec_tf import __version__
from emorec_tf.cli import guarded, parse
from emorec_tf.config.clip import EMOTIONS, MODALITIES, Clip
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.config.fields import option
from emorec_tf.datasets import corpora as datasets
from emorec_tf.errors import UserError
from emorec_tf.features import decode_cache
from emorec_tf.records import local_runner, shards
from emorec_tf.records import records_dir as records
from emorec_tf.storage import locks, paths
from emorec_tf.storage.cache_dir import cache_folder
from emorec_tf.storage.files import read_csv, rows_to_csv, write_atomically

SIZES_AT_ONCE = 16


@dataclass(frozen=True)
class PrepareOptions:
    """What to read, where to write, how many at once."""

    dataset: str = option("demo", "corpus name, or several joined by + (ravdess+savee)")
    source: str | None = option(None, "folder of the corpus (comma list for several)")
    records: str | None = option(None, "folder to write, e.g. records/ravdess")
    classes: str | None = option(None, "8, 7 (calm merged into neutral), or a comma list")
    label: str | None = option(None, "which label, where a corpus has several")
    modality: str = option("auto", f"ravdess files to use: auto, {', '.join(MODALITIES)}")
    runner: Literal["local", "beam"] = option(
        "local", "local: processes of this machine; beam: Apache Beam, on any engine it knows"
    )
    beam_options: str = option(
        "", 'Beam\'s own options in one string: "--runner=FlinkRunner ..." (docs/scale.md)'
    )
    workers: int = option(os.cpu_count() or 1, "local processes; each decodes one clip at a time")
    shard_mib: float = option(
        128.0,
        "MiB of one TFRecord file, about; a smaller corpus gets up to 32 smaller ones, of 64 clips "
        "or more",
    )
    clips_per_shard: int = option(0, "clips in one TFRecord file instead; 0: as shard_mib says")
    face_model: str | None = option(None, "face detector's model file, where it has none inside")
    mesh_model: str | None = option(None, "face mesh's model file, where MediaPipe has none inside")
    overwrite: bool = option(False, "replace records made from other clips or settings")
    allow_refused: bool = option(False, "exit with 0 although clips were refused")
    cache_gib: float = option(
        10.0,
        "decoded clips are kept for other feature sets up to so many GiB, the least recently used "
        "go first; 0: none",
    )
    clear_cache: bool = option(False, "drop all decoded clips that are kept, and do nothing else")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Parse, prepare, report."""
    words = with_beam_options(sys.argv[1:] if argv is None else argv)
    given = parse(words, "prepare", PrepareOptions, FeaturesConfig)
    names = {f.name for f in dataclasses.fields(PrepareOptions)}
    options = PrepareOptions(**{k: v for k, v in given.items() if k in names})
    features = FeaturesConfig(**{k: v for k, v in given.items() if k not in names})
    if options.clear_cache:
        count, size = decode_cache.clear(decode_cache.default_folder())
        where = decode_cache.default_folder()
        print(f"freed {size / decode_cache.GIB:.3f} GiB: {count} entries in {where}")
        return 0
    if options.source is None and options.dataset == "demo":
        options = dataclasses.replace(options, source=demo_source())
    if options.source is None or options.records is None:
        raise UserError("prepare needs --source FOLDER and --records FOLDER (see --help)")
    prepare(options, features)
    rows = read_csv(paths.place(options.records) / records.REPORT)
    print_table(rows, options)
    refused = [r for r in rows if r["status"] == "refused"]
    for row in refused:
        print(f"refused: {row['reason']}", file=sys.stderr)
    if refused and not options.allow_refused:
        print(
            f"error: {len(refused)} of {len(rows)} clips refused, the others are prepared; see "
            f"{options.records}/{records.REPORT}, mend them or add --allow_refused",
            file=sys.stderr,
        )
        return 1
    return 0


def with_beam_options(argv: Sequence[str]) -> list[str]:
    """Tie Beam's options to their flag: they look like flags themselves, one like our --runner."""
    words, flag = list(argv), "--beam_options"
    if flag in words[:-1]:
        at = words.index(flag)
        words[at : at + 2] = [f"{flag}={words[at + 1]}"]
    return words


def demo_source() -> str:
    """Build the demo corpus in the cache folder, and say so."""
    from emorec_tf.datasets.demo import demo_corpus

    folder = cache_folder() / "demo-corpus"
    print(f"demo corpus (drawn faces, synthetic voices; no evidence of anything) in {folder}")
    return str(demo_corpus.build(folder))


def prepare(options: PrepareOptions, features: FeaturesConfig) -> None:
    """Write the records of ``options.source`` unless they are there already.

    Raises:
        UserError: nothing to read, other records in the way, or every clip refused.
    """
    clips = datasets.clips(
        options.dataset,
        str(options.source),
        classes=options.classes,
        label=options.label,
        modality=options.modality,
    )
    # The order must not depend on the file system, and neighbours must not share a speaker.
    clips.sort(key=lambda c: hashlib.sha256(c.clip_id.encode()).digest())
    folder = paths.place(str(options.records))
    each = shards.clips_in_one(features, len(clips), options.shard_mib, options.clips_per_shard)
    plan = plan_of(clips, features, each)
    cache = decode_cache.bounded(options.cache_gib)
    make = runner_of(options)
    busy = f"another prepare is at work in {folder}; wait or stop it"
    with locks.alone(folder / ".lock", busy):
        if is_done(folder, plan, options.overwrite):
            return
        shards.begin(folder, plan)
        settings = (features, options.face_model, options.mesh_model, cache)
        job = shards.Job(str(folder), settings)
        parts = [clips[i : i + each] for i in range(0, len(clips), each)]
        left = [number for number in range(len(parts)) if not shards.is_whole(folder, number)]
        done = len(clips) - sum(len(parts[number]) for number in left)
        if done:
            print(f"going on after {done} clips that are done")
        make(job, {number: parts[number] for number in left})
        finish(job, len(parts), plan, features, options)
        if cache:
            decode_cache.cull(cache)


def runner_of(options: PrepareOptions) -> Callable[[shards.Job, shards.Parts], None]:
    """Choose who makes the shards.

    Raises:
        UserError: Apache Beam is not installed, or does not understand its options.
    """
    if options.runner == "local":
        if options.beam_options:
            raise UserError("--beam_options are for --runner beam; add it, or leave them out")
        return functools.partial(local_runner.make_all, workers=options.workers)
    if importlib.util.find_spec("apache_beam") is None:
        raise UserError("--runner beam needs Apache Beam; pip install 'emorec-tf[beam]'")
    return functools.partial(imported_beam_runner().make_all, given=options.beam_options)


def imported_beam_runner() -> ModuleType:
    """Import Beam, which then speaks of cloud clients that nobody asked for."""
    log, silent = logging.getLogger(), logging.NullHandler()
    log.addHandler(silent)
    from emorec_tf.records import beam_runner

    log.removeHandler(silent)
    return beam_runner


def plan_of(clips: Sequence[Clip], features: FeaturesConfig, clips_per_shard: int) -> str:
    """Hash of everything that decides the bytes: clips, labels, file sizes, settings."""

    def sizes_of(clip: Clip) -> list[int]:
        return [paths.size_of(paths.place(p)) if p else 0 for p in (clip.video, clip.audio)]

    with ThreadPoolExecutor(SIZES_AT_ONCE) as pool:  # a size on object storage is a request
        all_sizes = list(pool.map(sizes_of, clips))
    digest = hashlib.sha256(f"{records.FORMAT} {features.stamp()} {clips_per_shard}".encode())
    for clip, sizes in zip(clips, all_sizes, strict=True):
        fields = {**vars(clip), "traits": dict(clip.traits), "sizes": sizes}
        digest.update(json.dumps(fields, sort_keys=True).encode())
    return digest.hexdigest()


def is_done(folder: Path, plan: str, overwrite: bool) -> bool:
    """True if the same records are whole there; other records are only replaced if asked."""
    manifest = folder / records.MANIFEST
    if not manifest.exists():
        return False
    try:
        stored = json.loads(manifest.read_text(encoding="utf-8"))
        same = stored["plan"] == plan
        whole = (folder / records.REPORT).exists() and all(
            (folder / s["name"]).exists() and paths.size_of(folder / s["name"]) == s["bytes"]
            for s in stored["shards"]
        )
    except (ValueError, KeyError, TypeError):
        same, whole = True, False  # a damaged manifest is no reason to keep anything
    if same and whole:
        print(f"records in {folder} are complete; nothing to do")
        return True
    if not same and not overwrite:
        raise UserError(
            f"{folder} holds records of other clips or feature settings; "
            f"give another --records folder, or --overwrite"
        )
    manifest.unlink()
    return False


def finish(
    job: shards.Job, count: int, plan: str, features: FeaturesConfig, options: PrepareOptions
) -> None:
    """Join what is noted beside ``count`` shards to the report and, last of all, the manifest."""
    folder = job.place
    parts = [json.loads(shards.sidecar(folder, n).read_text()) for n in range(count)]
    rows = sorted((r for p in parts for r in p["rows"]), key=lambda r: r["clip_id"])
    kept = [p["shard"] for p in parts if p["shard"]["count"]]
    if not kept:
        raise UserError(f"all {len(rows)} clips were refused, the first: {rows[0]['reason']}")
    write_atomically(folder / records.REPORT, rows_to_csv(rows))
    corpora = [datasets.DATASETS[name] for name in options.dataset.split("+")]
    manifest = {
        "format": records.FORMAT,
        "dataset": options.dataset,
        "stamp": features.stamp(),
        "features": dataclasses.asdict(features),
        "plan": plan,
        "licence": " + ".join(c.licence for c in corpora),
        "label_meaning": " + ".join(c.label_meaning for c in corpora),
        "label": options.label or "",
        "emorec_tf": __version__,
        "shards": kept,
    }
    write_atomically(folder / records.MANIFEST, json.dumps(manifest, indent=1))
    paths.remove_tree(folder / shards.PARTIAL)


def print_table(rows: Sequence[dict[str, str]], options: PrepareOptions) -> None:
    """Print the short closing table."""
    from rich.console import Console
    from rich.table import Table

    ok = [r for r in rows if r["status"] == "ok"]
    hours = sum(float(r["seconds"]) for r in ok) / 3600
    counts = Counter(r["emotion"] for r in ok)
    found = sum(int(r["faces_found"]) for r in ok)
    frames = sum(int(r["frames"]) for r in ok)
    expected = [datasets.DATASETS[n].clip_count for n in options.dataset.split("+")]
    table = Table(title=f"{options.dataset} -> {options.records}", show_header=False)
    whole = f" of {sum(e for e in expected if e)} in the full corpus" if all(expected) else ""
    table.add_row("clips", f"{len(ok)}{whole}")
    table.add_row("hours", f"{hours:.2f}")
    table.add_row("speakers", str(len({r["speaker"] for r in ok})))
    table.add_row("classes", ", ".join(f"{e} {counts[e]}" for e in EMOTIONS if counts[e]))
    table.add_row("sound", f"{sum(int(r['audio_present']) for r in ok)} clips")
    share = f" ({found / frames:.1%})" if frames else ""
    table.add_row("faces found", f"{found} of {frames} pictures{share}")
    table.add_row("clips without a face", str(sum(r["faces_found"] == "0" for r in ok)))
    table.add_row("refused", str(len(rows) - len(ok)))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())

"""Command: a corpus on disk to TFRecords, in parallel, resumable, byte for byte repeatable."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from emorec_tf import __version__, datasets, decode_cache, locks, records, workers
from emorec_tf.cache_folder import cache_folder
from emorec_tf.clip import EMOTIONS, Clip, UserError
from emorec_tf.command_line import guarded, parse
from emorec_tf.config import FeaturesConfig, option

PARTIAL = ".partial"  # finished shards' rows, until the manifest is written


@dataclass(frozen=True)
class PrepareOptions:
    """What to read, where to write, how many at once."""

    dataset: str = option("demo", "corpus name, or several joined by + (ravdess+savee)")
    source: str | None = option(None, "folder of the corpus (comma list for several)")
    records: str | None = option(None, "folder to write, e.g. records/ravdess")
    classes: str | None = option(None, "8, 7 (calm merged into neutral), or a comma list")
    label: str | None = option(None, "which label, where a corpus has several")
    modality: Literal["auto", "01", "02", "03"] = option("auto", "ravdess files to use")
    workers: int = option(os.cpu_count() or 1, "processes; each decodes one clip at a time")
    clips_per_shard: int = option(64, "clips in one TFRecord file")
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
    given = parse(argv, "prepare", PrepareOptions, FeaturesConfig)
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
    rows = records.read_csv(Path(options.records) / records.REPORT)
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


def demo_source() -> str:
    """Build the demo corpus in the cache folder, and say so."""
    from emorec_tf import demo_corpus

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
    folder = Path(str(options.records))
    plan = plan_of(clips, features, options.clips_per_shard)
    cache = decode_cache.bounded(options.cache_gib)
    busy = f"another prepare is at work in {folder}; wait or stop it"
    with locks.alone(folder / ".lock", busy):
        if is_done(folder, plan, options.overwrite):
            return
        partial = folder / PARTIAL
        if not (partial / "plan").exists() or (partial / "plan").read_text() != plan:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            records.write_atomically(partial / "plan", plan)
        shards = [
            clips[i : i + options.clips_per_shard]
            for i in range(0, len(clips), options.clips_per_shard)
        ]
        sidecars = write_shards(folder, shards, features, options, cache)
        finish(folder, sidecars, plan, features, options)
        if cache:
            decode_cache.cull(cache)


def plan_of(clips: Sequence[Clip], features: FeaturesConfig, clips_per_shard: int) -> str:
    """Hash of everything that decides the bytes: clips, labels, file sizes, settings."""
    digest = hashlib.sha256(f"{records.FORMAT} {features.stamp()} {clips_per_shard}".encode())
    for clip in clips:
        sizes = [Path(p).stat().st_size if p else 0 for p in (clip.video, clip.audio)]
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
            (folder / s["name"]).exists() and (folder / s["name"]).stat().st_size == s["bytes"]
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


def write_shards(
    folder: Path,
    shards: Sequence[Sequence[Clip]],
    features: FeaturesConfig,
    options: PrepareOptions,
    cache: decode_cache.Cache | None,
) -> list[Path]:
    """Write the shards that are not there yet, in order; return all their sidecar files."""
    sidecars = [folder / PARTIAL / f"shard-{i:05d}.json" for i in range(len(shards))]
    todo = [i for i, sidecar in enumerate(sidecars) if not shard_is_whole(folder, sidecar)]
    done = sum(len(s) for s in shards) - sum(len(shards[i]) for i in todo)
    if done:
        print(f"going on after {done} clips that are done")
    queue = [clip for i in todo for clip in shards[i]]
    settings = (features, options.face_model, options.mesh_model, cache)
    results = workers.process(queue, options.workers, settings)
    with progress_bar(len(queue)) as advance:
        for i in todo:
            kept: list[bytes] = []
            rows: list[dict[str, Any]] = []
            for _ in shards[i]:
                data, row = next(results)
                rows.append({**row, "shard": i if data else ""})
                kept += [data] if data else []
                advance()
            name = f"shard-{i:05d}.tfrecord"
            shard = records.write_shard(folder / name, kept)
            records.write_atomically(sidecars[i], json.dumps({"shard": shard, "rows": rows}))
    return sidecars


def shard_is_whole(folder: Path, sidecar: Path) -> bool:
    """True if a former run finished this shard and its bytes are as they were."""
    if not sidecar.exists():
        return False
    shard = json.loads(sidecar.read_text())["shard"]
    path = folder / shard["name"]
    wanted = {"bytes": shard["bytes"], "sha256": shard["sha256"]}
    return path.exists() and records.file_check(path) == wanted


@contextlib.contextmanager
def progress_bar(total: int) -> Iterator[Any]:
    """Show clips done, rate and remaining time on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    rate = TextColumn("{task.fields[rate]}")
    columns = ("preparing", BarColumn(), MofNCompleteColumn(), rate, Remaining())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total, rate="")
        start = time.monotonic()

        def advance() -> None:
            # Rich's own figure is a sum over a thousand steps, at each step.
            speed = (bar.tasks[0].completed + 1) / (time.monotonic() - start)
            bar.update(task, advance=1, rate=f"{speed:.1f} clips/s")

        yield advance


def finish(
    folder: Path,
    sidecars: Sequence[Path],
    plan: str,
    features: FeaturesConfig,
    options: PrepareOptions,
) -> None:
    """Join the sidecars into the report and, last of all, the manifest."""
    parts = [json.loads(s.read_text()) for s in sidecars]
    rows = sorted((r for p in parts for r in p["rows"]), key=lambda r: r["clip_id"])
    shards = [p["shard"] for p in parts if p["shard"]["count"]]
    if not shards:
        raise UserError(f"all {len(rows)} clips were refused, the first: {rows[0]['reason']}")
    records.write_atomically(folder / records.REPORT, records.rows_to_csv(rows))
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
        "shards": shards,
    }
    records.write_atomically(folder / records.MANIFEST, json.dumps(manifest, indent=1))
    shutil.rmtree(folder / PARTIAL)


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

"""Command: a corpus on disk to TFRecords."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from emorec_tf.cli import guarded, parse_options
from emorec_tf.config.clip import corpus_of
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.config.fields import option
from emorec_tf.datasets import corpora
from emorec_tf.datasets.labels import class_names
from emorec_tf.features import decode_cache
from emorec_tf.records import prepare_records, records_dir
from emorec_tf.records.prepare_records import Preparation
from emorec_tf.storage import paths
from emorec_tf.storage.files import read_csv
from emorec_tf.storage.screen import say, show


@dataclass(frozen=True)
class PrepareOptions(Preparation):
    """What to prepare, and what the command does besides."""

    clear_cache: bool = option(
        False, "delete the cache of decoded clips and do nothing else", expert=True
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Parse, prepare, report."""
    words = with_beam_options(sys.argv[1:] if argv is None else argv)
    options, features = parse_options(words, "prepare", PrepareOptions, FeaturesConfig)
    if options.clear_cache:
        where = decode_cache.default_folder()
        count, size = decode_cache.clear(where)
        say(f"freed {size / decode_cache.GIB:.3f} GiB: {count} entries in {where}")
        return 0
    prepare_records.prepare(options, FeaturesConfig(**features), show_progress=True)
    rows = read_csv(paths.place(str(options.records)) / records_dir.REPORT)
    print_table(rows, options)
    refused = [r for r in rows if r["status"] == "refused"]
    for row in refused:
        say(f"refused: {row['reason']}", error=True)
    if refused and not options.allow_refused:
        say(
            f"error: {len(refused)} of {len(rows)} clips refused, the others are prepared; see "
            f"{options.records}/{records_dir.REPORT}, repair them or add --allow_refused",
            error=True,
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


def print_table(rows: Sequence[dict[str, str]], options: PrepareOptions) -> None:
    """Print the short closing table."""
    ok = [r for r in rows if r["status"] == "ok"]
    hours = sum(float(r["seconds"]) for r in ok) / 3600
    counts = Counter(r["emotion"] for r in ok)
    found = sum(int(r["faces_found"]) for r in ok)
    frames = sum(int(r["frames"]) for r in ok)
    expected = [corpora.DATASETS[n].clip_count for n in options.dataset.split("+")]
    whole = ""
    if all(expected) and options.channel == "speech":
        whole = f" of {sum(e for e in expected if e)} in the full corpus"
    share = f" ({found / frames:.1%})" if frames else ""
    table = [
        ("clips", f"{len(ok)}{whole}"),
        ("hours", f"{hours:.2f}"),
        ("speakers", str(len({r["speaker"] for r in ok}))),
        ("classes", ", ".join(f"{e} {counts[e]}" for e in class_names(counts))),
        ("audio", f"{sum(int(r['audio_present']) for r in ok)} clips"),
        ("faces found", f"{found} of {frames} frames{share}"),
        ("clips without a face", str(sum(r["faces_found"] == "0" for r in ok))),
        ("refused", str(len(rows) - len(ok))),
    ]
    for name in options.dataset.split("+") if "+" in options.dataset else ():
        table.append((name, of_corpus([r for r in rows if corpus_of(r["speaker"]) == name])))
    show(("count", "value"), table, f"{options.dataset} -> {options.records}", header=False)


def of_corpus(rows: Sequence[dict[str, str]]) -> str:
    """Count what one of several corpora gives: clips, speakers, hours, classes, refused."""
    ok = [r for r in rows if r["status"] == "ok"]
    hours = sum(float(r["seconds"]) for r in ok) / 3600
    counts = Counter(r["emotion"] for r in ok)
    classes = ", ".join(f"{e} {counts[e]}" for e in class_names(counts))
    return (
        f"{len(ok)} clips, {len({r['speaker'] for r in ok})} speakers, {hours:.2f} hours, "
        f"{len(rows) - len(ok)} refused; {classes}"
    )


if __name__ == "__main__":
    sys.exit(main())

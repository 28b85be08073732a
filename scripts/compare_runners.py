"""Prepare one corpus with local processes and with Apache Beam, and compare all files written.

    scripts/compare_runners.py FOLDER SCRATCH [--clips 200] [--broken 5] [flags of prepare]

FOLDER holds RAVDESS (Actor_NN folders of mp4). SCRATCH gets links to its clips, of which the last
ones are broken copies, and the records of both runners. Exits with 1 if a byte differs.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import shutil
import sys
import time
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np

from emorec_tf.prepare import main as prepare_main
from emorec_tf.storage.files import read_csv

BEAM = "--runner=DirectRunner --direct_num_workers=2 --direct_running_mode=multi_threading"
NAN_SECONDS = 3


def nan_samples(whole: bytes) -> bytes:
    """A wav of float32 samples that are all NaN."""
    del whole
    samples = np.full(48_000 * NAN_SECONDS, np.nan, np.float32).tobytes()
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(4)
        written.setframerate(48_000)
        written.writeframes(samples)
    data = bytearray(file.getvalue())
    data[20:22] = (3).to_bytes(2, "little")  # WAVE_FORMAT_IEEE_FLOAT
    return bytes(data)


BREAK: dict[str, Callable[[bytes], bytes]] = {
    "cut in half": lambda whole: whole[: len(whole) // 2],
    "zero bytes": lambda whole: b"",
    "text": lambda whole: b"this is a text\n" * 1000,
    "header flipped": lambda whole: bytes(byte ^ 0xFF for byte in whole[:4096]) + whole[4096:],
    "samples that are NaN": nan_samples,
}


def corpus(source: Path, folder: Path, count: int, broken: int) -> None:
    """Link ``count`` clips, spread over the corpus; the last ``broken`` are damaged copies."""
    clips = sorted(source.glob("Actor_*/01-*.mp4"))
    chosen = [clips[i * len(clips) // count] for i in range(count)]
    ways = list(BREAK.values())
    for number, clip in enumerate(chosen):
        target = folder / clip.parent.name / clip.name
        target.parent.mkdir(parents=True, exist_ok=True)
        left = count - number - 1
        if left < broken:
            target.write_bytes(ways[left % len(ways)](clip.read_bytes()))
        else:
            target.symlink_to(clip.resolve())


def sums(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of finished records, except the lock."""
    files = [p for p in sorted(folder.iterdir()) if p.name != ".lock"]
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def main() -> int:
    """Run both, compare the files and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--broken", type=int, default=5)
    parser.add_argument("--beam_options", default=BEAM)
    given, flags = parser.parse_known_args()
    shutil.rmtree(given.scratch, ignore_errors=True)
    corpus(given.source, given.scratch / "corpus", given.clips, given.broken)
    where = ["--dataset=ravdess", "--source", str(given.scratch / "corpus"), "--cache_gib=0"]
    found = {}
    for runner, more in {
        "local": ["--workers=2"],
        "beam": ["--runner=beam", "--beam_options", given.beam_options],
    }.items():
        folder = given.scratch / runner
        started = time.monotonic()
        with contextlib.redirect_stderr(io.StringIO()):
            prepare_main([*where, "--records", str(folder), "--allow_refused", *more, *flags])
        seconds = time.monotonic() - started
        found[runner] = sums(folder)
        rows = read_csv(folder / "report.csv")
        refused = [row for row in rows if row["status"] == "refused"]
        print(f"{runner}: {len(rows)} clips in {seconds:.0f} s, {len(rows) / seconds:.2f} clips/s")
        print(f"{runner}: {len(found[runner])} files, {len(refused)} clips refused")
    for row in refused:
        print("refused:", row["reason"].replace(str(given.scratch), "..."))
    differing = [
        name
        for name in sorted({*found["local"], *found["beam"]})
        if found["local"].get(name) != found["beam"].get(name)
    ]
    for name, digest in found["beam"].items():
        print(f"{digest[:16]}  {name}  {'differs' if name in differing else 'equal'}")
    print(f"{len(differing)} files differ" if differing else "every byte is equal")
    return bool(differing)


if __name__ == "__main__":
    sys.exit(main())

"""Peak memory of one epoch, for records as they are and for records repeated many times.

python scripts/memory_of_training.py RECORDS FOLDER [--base 1] [--times 10] [TRAIN FLAGS]

Clips are repeated in FOLDER under other ids, with the same speakers. Each run is a separate
process; its peak is the kernel's ru_maxrss. Choose --base so that even the smaller records fill the
shuffle buffer of training (256 MiB).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from emorec_tf.storage.files import file_check, read_csv, write_atomically
from emorec_tf.storage.quiet import QUIET_START


def repeated(source: Path, folder: Path, times: int) -> Path:
    """Write records that hold each clip ``times`` times; existing ones are reused."""
    import tensorflow as tf

    from emorec_tf.records import records_dir

    manifest = json.loads((source / records_dir.MANIFEST).read_text(encoding="utf-8"))
    if (folder / records_dir.MANIFEST).exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    shards: list[dict[str, Any]] = []
    for take in range(times):
        for shard in manifest["shards"]:
            path = folder / f"shard-{len(shards):05d}.tfrecord"
            with tf.io.TFRecordWriter(str(path)) as writer:
                for message in tf.data.TFRecordDataset(str(source / shard["name"])):
                    example = tf.train.Example.FromString(message.numpy())
                    own = example.features.feature["clip_id"].bytes_list.value
                    own[0] += f"-take{take}".encode()
                    writer.write(example.SerializeToString())
            shards.append({"name": path.name, "count": shard["count"], **file_check(path)})
    rows = read_csv(source / records_dir.REPORT)
    with (folder / records_dir.REPORT).open("w", newline="", encoding="utf-8") as file:
        writer_of_rows = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer_of_rows.writeheader()
        for take in range(times):
            for row in rows:  # copies share their audio, so the check for duplicates is disabled
                other = {"clip_id": f"{row['clip_id']}-take{take}", "audio_sha256": ""}
                writer_of_rows.writerow({**row, **other})
    text = json.dumps({**manifest, "shards": shards})
    write_atomically(folder / records_dir.MANIFEST, text)
    return folder


def main() -> None:
    """Print the peak memory of both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--cache", default="none")
    parser.add_argument("--base", type=int, default=1, help="repeats of the smaller records")
    given, flags = parser.parse_known_args()
    for times in (given.base, given.base * given.times):
        folder = repeated(given.records, given.folder / f"x{times}", times)
        size = sum(p.stat().st_size for p in folder.glob("*.tfrecord"))
        command = [sys.executable, __file__, "--one", str(folder), given.cache, *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        print(f"x{times}: {size / 2**20:,.0f} MiB of records, {done.stdout.splitlines()[-1]}")


def one(folder: str, cache: str, *flags: str) -> None:
    """Train one epoch in this process and print its peak memory."""
    from emorec_tf.train import main as train_main

    run = f"{folder}-run"
    arguments = ["--records", folder, "--run", run, "--overwrite", "--epochs=1", "--cache", cache]
    code = train_main([*arguments, *flags])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak {peak:,.0f} MiB")
    sys.exit(code)


if __name__ == "__main__":
    os.environ.update(QUIET_START)
    if sys.argv[1:2] == ["--one"]:
        one(*sys.argv[2:])
    else:
        main()

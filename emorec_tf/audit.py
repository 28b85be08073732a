"""Command: check a split file for leaks, whether it was made with this package or not."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emorec_tf.cli import guarded, parse_options
from emorec_tf.config.fields import option
from emorec_tf.errors import UserError
from emorec_tf.splits.leaks import doubts, leaks
from emorec_tf.storage.screen import say

if TYPE_CHECKING:
    import numpy as np

SAMPLE_RATE_HZ = 16000


@dataclass(frozen=True)
class AuditOptions:
    """Which split file, checked how."""

    splits: tuple[str, ...] = option(
        (),
        "CSV file with the columns path,speaker,fold,role; role is train, validation or test",
        positional=True,
        metavar="FILE",
    )
    sound: bool = option(
        False, "also decode the files and compare their audio, which finds exact copies only"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Print a line for each leak; exit with 1 if there is one."""
    options, _ = parse_options(argv, "audit", AuditOptions, config_flag=False)
    if len(options.splits) != 1:
        raise UserError(f"audit needs one split file, not {len(options.splits)}: audit splits.csv")
    from emorec_tf.splits import split_file

    file = Path(options.splits[0])
    rows = split_file.read(file)
    hashes: dict[str, str] = {}
    notes: list[str] = []
    if options.sound:
        hashes, notes = split_file.audio_hashes((r.path for r in rows), file.parent, waveform_of)
    for line in (*notes, *doubts(rows)):
        say(f"warning: {line}", error=True)
    found = leaks(rows, hashes)
    for line in found:
        say(f"leak: {line}")
    if not found:
        say(f"no leak: {split_file.summary(rows, len(hashes))}")
    return 1 if found else 0


def waveform_of(path: str) -> np.ndarray | None:
    """Decode a file's audio; ``None`` where it has none."""
    from emorec_tf.media.decode import decode

    return decode(
        path, sample_rate_hz=SAMPLE_RATE_HZ, clip_seconds=None, frame_count=0, want_video=False
    ).waveform


if __name__ == "__main__":
    sys.exit(main())

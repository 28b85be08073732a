"""A stream of answers on the screen: a line every half second, and what it cost at the end."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from emorec_tf.inference import timeline
from emorec_tf.inference.live_stream import Stream
from emorec_tf.inference.predictor import Opened
from emorec_tf.inference.windows import UNSURE

NOTHING = "nothing to see or hear"


def show(ready: Opened, source: str, as_json: bool, top: int) -> int:
    """Print the answers to a camera or a film that is played, until it ends or Ctrl-C.

    Args:
        ready: the run.
        source: a camera's number, or a file.
        as_json: one object a line, else the ``top`` most likely.
        top: how many.

    Raises:
        UserError: there is no such device or file.
    """
    stream = Stream(int(source) if source.isdecimal() else source, ready)
    began = time.monotonic(), time.process_time()
    try:
        for seconds, probabilities in stream:
            if len(stream.lags) == 1:  # what was loaded before is no cost of the stream
                began = time.monotonic(), time.process_time()
            row = {**stream.told, "seconds": seconds, "probabilities": probabilities}
            print(json.dumps(row) if as_json else line(row, top), flush=True)
    except KeyboardInterrupt:
        print(file=sys.stderr)
    spent, used = time.monotonic() - began[0], time.process_time() - began[1]
    print(
        f"{len(stream.lags)} answers, {stream.skipped} left out, up to "
        f"{max(stream.lags, default=0.0):.2f} s late; CPU {used / max(spent, 1e-6):.0%} of a core",
        file=sys.stderr,
    )
    return 0


def line(row: dict[str, Any], top: int) -> str:
    """Write a moment in a line."""
    ranked = sorted(row["probabilities"].items(), key=lambda item: -item[1])[:top]
    shares = ", ".join(f"{name} {share:.2f}" for name, share in ranked)
    unsure = f"{UNSURE}: " if row.get("emotion") == UNSURE else ""
    return f"{timeline.clock(row['seconds']):>9}  {unsure}{shares or NOTHING}"

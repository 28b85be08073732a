"""A stream of answers as text: a line every half second, and what it cost at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from emorec_tf.inference import presence, timeline
from emorec_tf.inference.live_stream import Stream
from emorec_tf.inference.predictor import Predictor
from emorec_tf.inference.windows import UNSURE


class LiveTable:
    """The answers to a camera, or to a file that is played, as lines of text.

    Args:
        model: the run.
        source: a camera's number, or a file.
        as_json: one object a line, else the ``top`` most likely.
        top: how many.
    """

    def __init__(self, model: Predictor, source: str, as_json: bool, top: int) -> None:
        """Make the stream; nothing is opened yet."""
        self.stream = Stream(int(source) if source.isdecimal() else source, model)
        self.as_json, self.top = as_json, top
        self.started = time.monotonic(), time.process_time()

    def lines(self) -> Iterator[str]:
        """Give a line an answer until the source ends.

        Raises:
            UserError: there is no such device or file.
        """
        for seconds, probabilities in self.stream:
            if len(self.stream.lags) == 1:  # what was loaded before is no cost of the stream
                self.started = time.monotonic(), time.process_time()
            row = {**self.stream.answer, "seconds": seconds, "probabilities": probabilities}
            yield json.dumps(row) if self.as_json else line(row, self.top)

    def cost(self) -> str:
        """Say how many answers there were, how late they came, and what they cost."""
        spent, used = time.monotonic() - self.started[0], time.process_time() - self.started[1]
        lags = self.stream.lags
        return (
            f"{len(lags)} answers, {self.stream.skipped} left out, up to "
            f"{max(lags, default=0.0):.2f} s late; CPU {used / max(spent, 1e-6):.0%} of a core"
        )


def line(row: dict[str, Any], top: int) -> str:
    """Write a moment in a line."""
    ranked = sorted(row["probabilities"].items(), key=lambda item: -item[1])[:top]
    shares = ", ".join(f"{name} {share:.2f}" for name, share in ranked)
    unsure = f"{UNSURE}: " if row.get("emotion") == UNSURE else ""
    return f"{timeline.clock(row['seconds']):>9}  {unsure}{shares or presence.said(row)}"

"""A video is cut into windows that overlap; their answers are laid back along its time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from emorec_tf.config.fields import check

CLIP_WINDOWS = 2.0  # shorter videos are one clip, of which the middle is used
# windows over one moment; time and memory grow with its square
MOST_OVERLAPPING = 100
SPARE_HOPS = 0.1  # a remainder up to this makes no window of its own

UNSURE = "unsure"

Row = Mapping[str, Any]  # of one person in one window: see long_media


def hop_of(window_seconds: float, hop_seconds: float | None) -> float:
    """The step from window to window: half a window unless another is asked for.

    Raises:
        UserError: a step that leaves gaps, or one so short that its windows would fill the memory.
    """
    hop = window_seconds / 2 if hop_seconds is None else hop_seconds
    least = window_seconds / MOST_OVERLAPPING
    allowed = f"from {least:g} up to the run's window of {window_seconds:g} s"
    check(least <= hop <= window_seconds, "window_hop_seconds", hop, allowed)
    return hop


def cut(seconds: float, window_seconds: float, hop_seconds: float) -> list[tuple[float, float]]:
    """Start and end of each window over a video of ``seconds``, all of one length.

    They start every ``hop_seconds``, but the last ends with the video, up to a tenth of a step
    later than its turn. A video no longer than that has one window: its middle, or all of it.
    """
    length = min(seconds, window_seconds)
    steps = max(0, math.ceil((seconds - length) / hop_seconds - SPARE_HOPS))
    if not steps:
        start = (seconds - length) / 2
        return [(start, start + length)]
    starts = [step * hop_seconds for step in range(steps)]
    return [(start, start + length) for start in [*starts, seconds - length]]


def merged(
    rows: Sequence[Row],
    hop_seconds: float,
    seconds: float,
    abstain_below: float = 0.0,
    unfamiliar_below: float = 0.0,
) -> list[dict[str, Any]]:
    """Lay windows along a grid of steps: of each person, the mean of those over a step's middle.

    Steps that no window covers are left out; those without face and speech stay, with an emotion
    of ``None``.
    """
    over: dict[tuple[int, int | None], list[Row]] = defaultdict(list)
    for row in rows:
        first = math.ceil(row["start_seconds"] / hop_seconds - 0.5 - 1e-9)
        last = math.floor(row["end_seconds"] / hop_seconds - 0.5 + 1e-9)
        if row["end_seconds"] > seconds - 0.002:  # the video's last step may be a short one
            last = math.ceil(seconds / hop_seconds - 1e-6) - 1
        for step in range(first, last + 1):
            over[step, row["person"]].append(row)
    places = sorted(over, key=lambda place: (place[0], place[1] is None, place[1] or 0))
    return [
        {
            "person": person,
            "start_seconds": round(step * hop_seconds, 3),
            "end_seconds": round(min((step + 1) * hop_seconds, seconds), 3),
            **mean(over[step, person], abstain_below, unfamiliar_below),
        }
        for step, person in places
    ]


def mean(
    rows: Sequence[Row], abstain_below: float = 0.0, unfamiliar_below: float = 0.0
) -> dict[str, Any]:
    """The answer of several windows together: the mean of those that have one.

    Audio and face are present where one window has them; the coverage is the mean of all.
    """
    answer: dict[str, Any] = {}
    if "value" in rows[0]:
        values = [row["value"] for row in rows if row["value"] is not None]
        answer["value"] = round(sum(values) / len(values), 3) if values else None
    else:
        shares = [row["probabilities"] for row in rows if row["probabilities"]]
        answer["probabilities"] = {
            name: round(sum(share[name] for share in shares) / len(shares), 6)
            for name in (shares[0] if shares else ())
        }
        best = max(answer["probabilities"], key=answer["probabilities"].get, default=None)
        sure = best is None or answer["probabilities"][best] >= abstain_below
        answer["emotion"] = best if sure else UNSURE
    if "familiarity" in rows[0]:
        shares = [row["familiarity"] for row in rows if row["familiarity"] is not None]
        answer["familiarity"] = round(sum(shares) / len(shares), 4) if shares else None
        if answer.get("emotion") and shares and answer["familiarity"] < unfamiliar_below:
            answer["emotion"] = UNSURE
    answer |= {name: any(row[name] for row in rows) for name in ("audio_present", "face_present")}
    speech = [row["speech"] for row in rows]
    answer["speech"] = None if None in speech else any(speech)
    answer["face_coverage"] = round(sum(row["face_coverage"] for row in rows) / len(rows), 3)
    return answer

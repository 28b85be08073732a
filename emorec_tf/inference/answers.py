"""What is answered: of one clip, and of a media file of any length."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from emorec_tf.features.decoded import FaceTrack


@dataclass(frozen=True)
class ClipAnswer:
    """The answer to a clip; ``seconds`` is the length of the part that was used.

    Where a rating is estimated, ``value`` holds it, and there are no probabilities. Without
    anything that the network looks at there is neither: ``missing`` names the parts that it would
    look at, audio or face, and ``reason`` says why there are none. ``speech`` is set only where a
    check found none. ``familiarity`` is the share of familiar clips, held out of training, that are
    less like the training clips than this one, 0 to 1.
    """

    clip: str
    emotion: str | None
    probabilities: dict[str, float]
    audio_present: bool
    face_present: bool
    face_coverage: float
    seconds: float
    target: str = "emotion"
    value: float | None = None
    speech: bool | None = None
    rated: bool = False
    familiarity: float | None = None
    missing: Sequence[str] = ()
    reason: str | None = None
    compared: bool = False  # with training clips: the run can tell how familiar a clip is

    def as_dict(self) -> dict[str, Any]:
        """Give the object of ``--json``; a target other than emotions is named."""
        row = asdict(self)
        target, value, rated = row.pop("target"), row.pop("value"), row.pop("rated")
        if not row.pop("compared"):
            del row["familiarity"]
        if row["speech"] is None:
            del row["speech"]
        if row["reason"] is None:
            del row["missing"], row["reason"]
        else:
            row["missing"] = [*self.missing]
        if rated:
            del row["emotion"], row["probabilities"]
            row = {"clip": row.pop("clip"), "target": target, "value": value, **row}
        elif target != "emotion":
            row["target"] = target
        return row

    def as_json(self) -> str:
        """Write the line of ``--json``."""
        return json.dumps(self.as_dict())


@dataclass(frozen=True)
class MediaAnswer:
    """The answer to a media file.

    ``answer`` is the object of ``--json``. ``timeline`` lays its windows along their steps (see
    ``windows.merged``), empty for a file that was answered as one clip. ``portraits`` are uint8 RGB
    squares by the person's number; of a file that was answered as one clip, ``faces`` holds the
    face. ``problem`` says what could not be read of a file that was answered all the same.
    """

    answer: dict[str, Any]
    timeline: list[dict[str, Any]] = field(default_factory=list)
    portraits: dict[int, np.ndarray] = field(default_factory=dict)
    problem: str | None = None
    faces: FaceTrack | None = None

"""From an uploaded file to the object of ``predict --json`` and the data for the page."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf.errors import UserError
from emorec_tf.inference import face_watcher
from emorec_tf.inference.answers import MediaAnswer
from emorec_tf.inference.long_media import Settings
from emorec_tf.inference.media_answer import answer_media
from emorec_tf.inference.predictor import Predictor


def answer(
    model: Predictor,
    path: Path,
    name: str,
    abstain_below: float,
    people: str | None,
    settings: Settings,
    check: Callable[[], None],
) -> MediaAnswer:
    """Answer a file as the command does, under the name that the sender gave.

    Args:
        model: the run.
        path: where the upload lies.
        name: used in the answer and in errors; the path never is.
        abstain_below: the emotion is ``unsure`` where no probability reaches this.
        people: main or all, as ``Settings.people``; None: as ``settings`` say.
        settings: how videos are answered.
        check: called for each packet, frame and window; what it raises stops the work.

    Raises:
        UserError: the file cannot be read, or the run estimates a rating and cannot abstain.
    """
    if abstain_below and model.run.task.rating:
        raise UserError(f"this run estimates {model.run.task.rating}; drop abstain_below")
    asked = replace(model, abstain_below=abstain_below)
    settings = replace(settings, check=check, people=people or settings.people)
    return answer_media(asked, str(path), settings, name)


@dataclass(frozen=True)
class PageAnswer:
    """Data for the page: ``answer`` is the API's object, ``portraits`` are data URLs."""

    answer: Mapping[str, Any]
    timeline: list[dict[str, Any]]
    portraits: dict[str, str]
    problem: str | None


def for_page(found: MediaAnswer) -> PageAnswer:
    """Prepare an answer for the page."""
    squares = found.portraits or face_watcher.portrait_of(found.faces)
    portraits = {str(number): data_url(image) for number, image in sorted(squares.items())}
    return PageAnswer(found.answer, found.timeline, portraits, found.problem)


def data_url(image: np.ndarray) -> str:
    """Pack uint8 RGB [height, width, 3] as a JPEG for a page."""
    import cv2

    _, packed = cv2.imencode(".jpg", np.ascontiguousarray(image[:, :, ::-1]))
    return "data:image/jpeg;base64," + base64.b64encode(packed.tobytes()).decode()

"""An uploaded file to the object of ``predict --json``, and to what a page shows besides it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf.config.clip import Clip
from emorec_tf.errors import UserError
from emorec_tf.features.decoded import Film, Sound
from emorec_tf.inference import face_watcher, long_media
from emorec_tf.inference.long_media import FilmAnswer, Settings
from emorec_tf.inference.predictor import Inputs, Opened
from emorec_tf.inference.windows import UNSURE


def answer(
    ready: Opened,
    path: Path,
    name: str,
    abstain_below: float,
    settings: Settings,
    check: Callable[[], None],
) -> FilmAnswer:
    """Answer a file as the command does, under the name that its sender gave it.

    Args:
        ready: the run, opened with ``abstain_below`` 0.
        path: where the upload lies.
        name: stands in the answer and in errors; the path never does.
        abstain_below: the emotion is ``unsure`` where no probability reaches this.
        settings: how films are answered.
        check: called often; what it raises breaks the work off.

    Raises:
        UserError: the file cannot be read, or the run estimates a rating and cannot abstain.
    """
    if abstain_below and ready.run.task.rating:
        raise UserError(f"this run estimates {ready.run.task.rating}; drop abstain_below")
    films: list[Film | None] = []

    def read(clip: Clip) -> tuple[Sound | None, Film | None]:
        check()
        sound, film = ready.read(clip)
        films.append(film)
        return sound, film

    def tell(inputs: Inputs) -> list[dict[str, Any]]:
        return [doubted(row, abstain_below) for row in ready.tell(inputs)]

    asked = replace(ready, read=read, tell=tell, abstain_below=abstain_below)
    try:
        found = long_media.film_answer(asked, str(path), replace(settings, on_window=check))
    except UserError as error:
        raise UserError(str(error).replace(str(path), name)) from error
    problem = found.problem and found.problem.replace(str(path), name)
    portraits = found.portraits or portrait_of(films)
    return FilmAnswer(found.told | {"clip": name}, found.timeline, portraits, problem)


def doubted(row: dict[str, Any], abstain_below: float) -> dict[str, Any]:
    """Leave the emotion open where no probability reaches the line."""
    shares = row.get("probabilities")
    return row | {"emotion": UNSURE} if shares and max(shares.values()) < abstain_below else row


def portrait_of(films: list[Film | None]) -> dict[int, np.ndarray]:
    """The face that a clip's network saw, cut from its best picture: uint8 RGB, or none."""
    looks = [look for film in films if film is not None for look in film.looks]
    faces = [(face_watcher.worth(look.face), look) for look in looks if look.face is not None]
    return {1: face_watcher.portrait(max(faces, key=lambda pair: pair[0])[1])} if faces else {}


@dataclass(frozen=True)
class Shown:
    """What the page gets: ``answer`` is the API's object, ``portraits`` are data URLs."""

    answer: Mapping[str, Any]
    timeline: list[dict[str, Any]]
    portraits: dict[str, str]
    problem: str | None


def shown(found: FilmAnswer) -> Shown:
    """Lay an answer out for the page."""
    portraits = {str(n): data_url(picture) for n, picture in sorted(found.portraits.items())}
    return Shown(found.told, found.timeline, portraits, found.problem)


def data_url(picture: np.ndarray) -> str:
    """Pack uint8 RGB [height, width, 3] as a JPEG for a page."""
    import cv2

    _, packed = cv2.imencode(".jpg", np.ascontiguousarray(picture[:, :, ::-1]))
    return "data:image/jpeg;base64," + base64.b64encode(packed.tobytes()).decode()

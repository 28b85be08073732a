"""A timeline is three files that agree; unwritable targets are refused at once."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from emorec_tf.config.clip import EMOTIONS
from emorec_tf.errors import UserError
from emorec_tf.inference import class_colours, timeline
from emorec_tf.inference.answers import MediaAnswer


def cell(start: float, person: int | None, emotion: str | None) -> dict[str, object]:
    shares = {"happy": 0.2, "sad": 0.7, "angry": 0.1} if emotion else {}
    return {
        "person": person,
        "start_seconds": start,
        "end_seconds": start + 2,
        "emotion": emotion,
        "probabilities": shares,
        "audio_present": True,
        "speech": True,
        "face_present": person is not None,
        "face_coverage": 1.0,
    }


CELLS = [cell(0, 1, "sad"), cell(0, 2, "unsure"), cell(2, 1, "sad"), cell(4, None, None)]
ANSWER = {
    "clip": "a/talk.mp4", "emotion": "sad", "probabilities": {"happy": 0.2, "sad": 0.8},
    "film_seconds": 6.0, "voice_shared": True, "people": [{"person": 1}, {"person": 2}],
}  # fmt: skip
PORTRAITS = {1: np.full((96, 96, 3), (200, 30, 30), np.uint8)}
FOUND = MediaAnswer(ANSWER, CELLS, PORTRAITS)


def test_the_three_timeline_files_agree(tmp_path: Path) -> None:
    timeline.write(str(tmp_path / "t.png"), FOUND)
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    written = json.loads((tmp_path / "t.json").read_text())
    assert written["timeline"] == CELLS
    assert [r["person"] for r in rows] == ["1", "2", "1", ""]
    assert [r["emotion"] for r in rows] == ["sad", "unsure", "sad", ""]
    assert [r["sad"] for r in rows] == ["0.7", "0.7", "0.7", ""]
    first = (tmp_path / "t.png").read_bytes()
    timeline.write(str(tmp_path / "t.png"), FOUND)
    assert (tmp_path / "t.png").read_bytes() == first


def test_the_plot_shows_colours_at_their_times(tmp_path: Path) -> None:
    timeline.write(str(tmp_path / "t.png"), FOUND)
    image = cv2.imread(str(tmp_path / "t.png"))[:, :, ::-1]
    height, width = image.shape[:2]
    assert width == 1650
    band = image[: height // 3]
    half = width // 2  # person 1 is sad up to four of six seconds, then grey

    def share(part: np.ndarray, colour: str) -> float:
        rgb = np.frombuffer(bytes.fromhex(colour[1:]), np.uint8).astype(int)
        return float((np.abs(part.astype(int) - rgb).max(-1) < 4).mean())

    assert share(band[:, :half], timeline.COLOURS["sad"]) > 0.05
    assert share(band[:, -width // 6 :], timeline.COLOURS["sad"]) == 0
    assert share(band[:, -width // 6 :], timeline.ABSENT_COLOUR) > 0.5
    assert share(image[:, : width // 8], "#c81e1e") > 0.02  # the portrait


def test_every_emotion_has_its_own_colour() -> None:
    assert len({timeline.COLOURS[name] for name in EMOTIONS}) == len(EMOTIONS)


def test_own_classes_take_the_colours_that_are_left():
    classes = ("happy", "sad", *(f"own {number}" for number in range(9)))
    found = class_colours.of(classes)
    assert tuple(found) == classes
    assert (found["happy"], found["sad"]) == (
        class_colours.COLOURS["happy"],
        class_colours.COLOURS["sad"],
    )
    assert len({found[name] for name in classes[:9]}) == 9
    assert found["own 7"] == found["own 8"] == class_colours.UNKNOWN_COLOUR
    assert class_colours.of(EMOTIONS) == {name: class_colours.COLOURS[name] for name in EMOTIONS}


def test_ratings_are_drawn_and_written(tmp_path: Path) -> None:
    cells = [{**cell(0, 1, "sad"), "value": 3.5}, {**cell(2, 1, None), "value": None}]
    for one in cells:
        del one["emotion"], one["probabilities"]
    answer = {k: v for k, v in ANSWER.items() if k not in {"emotion", "probabilities"}} | {
        "value": 3.5
    }
    timeline.write(str(tmp_path / "t.png"), MediaAnswer(answer, cells))
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert [r["value"] for r in csv.DictReader(lines)] == ["3.5", ""]


@pytest.mark.parametrize(
    ("path", "clips", "said"),
    [
        ("t.pdf", ["a.mp4"], r"t\.pdf must end in \.png"),
        ("t.png", ["a.mp4", "b.mp4"], r"draws one clip, there are 2"),
        ("nowhere/t.png", ["a.mp4"], r"cannot write there, no folder nowhere"),
        ("t.png", ["t.png"], r"would write over t\.png"),
        ("t.png", ["./t.json"], r"would write over \./t\.json"),
    ],
)
def test_invalid_timeline_files_are_refused(path: str, clips: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        timeline.check_place(path, clips)


def test_write_errors_are_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(UserError, match=r"cannot write"):
        timeline.write(str(tmp_path / "t.png"), FOUND)


def test_clock() -> None:
    times = (0, 59.96, 61.5, 3599, 3600, 7325)
    written = ["00:00", "01:00", "01:01.5", "59:59", "1:00:00", "2:02:05"]
    assert [timeline.clock(seconds) for seconds in times] == written

"""Answers as rows: equal columns, three formats, nothing lost where a command is stopped."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from emorec_tf.errors import UserError
from emorec_tf.inference import answer_file
from emorec_tf.inference.answer_rows import Layout
from emorec_tf.inference.answer_table import SHARED

FACTS = {"audio_present": True, "face_present": True, "face_coverage": 1.0}
CLIP: dict[str, Any] = {
    "clip": "a.mp4",
    "emotion": "happy",
    "probabilities": {"happy": 0.75, "notes": 0.25},
    "familiarity": 0.5,
    **FACTS,
    "seconds": 3.0,
    "notes": ["2 people", "an old file"],
}
NONE: dict[str, Any] = {
    "clip": "b, \udce9.wav",
    "emotion": None,
    "probabilities": {},
    **FACTS,
    "face_present": False,
    "missing": ["audio", "face"],
    "reason": "there is no audio and no face was found",
}
WINDOW = {"start_seconds": 0.0, "end_seconds": 4.0, "speech": True, **FACTS}
LONG: dict[str, Any] = {
    **CLIP,
    "clip": "long.mp4",
    "notes": [],
    "windows": [
        {**WINDOW, "person": 1, "emotion": "happy", "probabilities": {"happy": 1.0, "notes": 0.0}},
        {**WINDOW, "person": 2, "emotion": "notes", "probabilities": {"happy": 0.4, "notes": 0.6}},
    ],
}
ANSWERS = [CLIP, NONE, LONG]
LAYOUT = Layout(("happy", "notes"))


def test_csv_has_a_row_for_each_clip_or_window_and_person(tmp_path: Path) -> None:
    place = tmp_path / "answers.csv"
    answer_file.write(str(place), ANSWERS, LAYOUT)
    with place.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(LAYOUT.columns)
    assert [(row["clip"], row["person"]) for row in rows] == [
        ("a.mp4", ""),
        ("b, \\udce9.wav", ""),
        ("long.mp4", "1"),
        ("long.mp4", "2"),
    ]
    assert [row["confidence"] for row in rows] == ["0.75", "", "1.0", "0.6"]
    # a class named like another column has a column of its own
    assert rows[0]["probability of notes"] == "0.25"
    assert rows[0]["notes"] == "2 people; an old file"
    assert (rows[1]["emotion"], rows[1]["missing"]) == ("", "audio, face")
    assert rows[1]["reason"] == NONE["reason"]
    assert [row["notes"] for row in rows[2:]] == [SHARED, SHARED]
    assert [row["end_seconds"] for row in rows] == ["", "", "4.0", "4.0"]
    assert len(LAYOUT.rows(LONG, each_window=False)) == 1


def test_jsonl_holds_the_answers_themselves(tmp_path: Path) -> None:
    place = tmp_path / "answers.jsonl"
    answer_file.write(str(place), ANSWERS, LAYOUT)
    assert [json.loads(line) for line in place.read_text().splitlines()] == ANSWERS


def test_parquet_equals_csv_with_types(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    for name in ("answers.parquet", "answers.csv"):
        answer_file.write(str(tmp_path / name), ANSWERS, LAYOUT)
    table = parquet.read_table(tmp_path / "answers.parquet")
    kinds = {field.name: str(field.type) for field in table.schema}
    assert kinds["person"] == "int64"
    assert kinds["audio_present"] == "bool"
    assert kinds["happy"] == "double"
    with (tmp_path / "answers.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    read = [{n: "" if c is None else str(c) for n, c in row.items()} for row in table.to_pylist()]
    assert read == lines


def test_a_rating_has_its_value_in_place_of_classes() -> None:
    (row,) = Layout(()).rows({"clip": "a.wav", "target": "arousal", "value": 2.5, **FACTS})
    assert row["value"] == 2.5
    assert not {"emotion", "confidence"} & set(row)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("answers.xls", ".csv, .jsonl, .parquet"),
        ("nowhere/answers.csv", "no folder"),
        ("clip.csv", "would write over a clip"),
        ("answers.parquet", "pip install pyarrow"),
    ],
)
def test_a_place_that_does_not_do_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)  # without pyarrow
    with pytest.raises(UserError, match=said):
        answer_file.check_place(str(tmp_path / name), [str(tmp_path / "clip.csv")])


@pytest.mark.parametrize("stop", [KeyboardInterrupt, UserError])
def test_what_was_answered_is_written_when_it_is_stopped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, stop: type[BaseException]
) -> None:
    place = tmp_path / "answers.jsonl"

    def stopped() -> None:
        with answer_file.kept(str(place), LAYOUT, 3) as keep:
            keep(CLIP)
            raise stop

    with pytest.raises(stop):
        stopped()
    assert json.loads(place.read_text()) == CLIP
    assert f"1 of 3 clips were answered, they are in {place}" in caplog.text


def test_an_earlier_file_stays_where_nothing_was_answered(tmp_path: Path) -> None:
    place = tmp_path / "answers.csv"
    place.write_text("earlier")
    with answer_file.kept(str(place), LAYOUT, 1):
        pass
    assert place.read_text() == "earlier"

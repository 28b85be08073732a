"""Tables of predictions: no path is ever cut inside a name."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from emorec_tf.inference import answer_table

LONG = "01-01-03-02-01-01-01 a recording with quite a long name, [bold]take 2[/bold] :smile:.mp4"
FOLDER = "/data/a rather deep folder/of recordings [2024]/session 01"
PROBABILITIES = {"happy": 0.5, "fearful": 0.3, "sad": 0.15, "surprised": 0.05}


def clip(path: str, **more: Any) -> dict[str, Any]:
    row = {
        "clip": path,
        "emotion": "happy",
        "probabilities": PROBABILITIES,
        "audio_present": True,
        "face_present": True,
        "face_coverage": 1.0,
        "seconds": 3.0,
    }
    return row | more


def video(path: str) -> dict[str, Any]:
    window = clip(path, person=1, start_seconds=0.0, end_seconds=4.0, speech=True)
    del window["clip"]
    return clip(path, windows=[window, window | {"start_seconds": 2.0, "person": None}])


def printed(answers: list[dict[str, Any]], width: int, top: int = 3) -> str:
    text = io.StringIO()
    answer_table.show(answers, top, Console(file=text, width=width))
    return text.getvalue()


def rows_of(text: str) -> list[list[str]]:
    """Cells of the rows' first lines; a second one has no clip and no time."""
    lines = [line.split("│")[1:-1] for line in text.replace("┃", "│").splitlines() if "│" in line]
    return [[cell.strip() for cell in line] for line in lines if line[0].strip()]


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("kind", [clip, video])
@pytest.mark.parametrize("names", [(LONG,), (LONG, "b.mp4"), ("a.mp4", f"deeper/[x]/{LONG}")])
def test_names_are_never_cut_at_any_width(width: int, kind: Any, names: tuple[str, ...]) -> None:
    text = printed([kind(f"{FOLDER}/{name}") for name in names], width)
    for name in names:
        assert name in text
    assert text.count(FOLDER) == 1
    assert "…" not in text


@pytest.mark.parametrize("width", [60, 80, 200])
def test_words_are_never_cut(width: int) -> None:
    text = printed([clip(f"{FOLDER}/a.mp4", speech=False), clip(f"{FOLDER}/b.mp4")], width)
    for word in ("probability", "no speech", "100% of frames", "fearful 0.30", "sad 0.15"):
        assert word in text
    assert text.splitlines()[0] == f"in {FOLDER}:"


def test_names_are_listed_above_a_table_without_room_for_them() -> None:
    text = printed([clip(f"{FOLDER}/{LONG}"), clip(f"{FOLDER}/b.mp4")], 80)
    lines = text.splitlines()
    assert lines[1:3] == [f"1  {LONG}", "2  b.mp4"]
    assert [row[0] for row in rows_of(text)] == ["clip", "1", "2"]
    assert max(map(len, lines[3:])) <= 80


def test_a_wide_screen_takes_the_names_into_the_table() -> None:
    rows = rows_of(printed([clip(f"{FOLDER}/{LONG}"), clip(f"{FOLDER}/b.mp4")], 200))
    head = ["clip", "emotion", "probability", "next", "audio", "face"]
    shown = ["happy", "0.50", "fearful 0.30, sad 0.15", "yes", "100% of frames"]
    assert rows == [head, [LONG, *shown], ["b.mp4", *shown]]


def test_windows_say_when_and_which_person() -> None:
    text = printed([video("talk.mp4")], 80)
    assert text.splitlines()[0] == "talk.mp4"
    assert [row[:3] for row in rows_of(text)][1:] == [
        ["00:00", "1", "happy"],
        ["00:02", "none", "happy"],
    ]


def test_only_a_folder_that_all_share_is_taken_out() -> None:
    assert answer_table.shortened(["/a/b/c.mp4", "/a/d.mp4"]) == ("/a", ["b/c.mp4", "d.mp4"])
    assert answer_table.shortened(["x/a.mp4", "x/a.mp4"]) == ("x", ["a.mp4", "a.mp4"])
    for apart in (["/a/b.mp4", "/c/d.mp4"], ["a.mp4", "/a/b.mp4"], ["a.mp4", "b.mp4"], ["x/a.mp4"]):
        assert answer_table.shortened(apart) == ("", apart)


def test_ratings_and_empty_answers() -> None:
    rated = {k: v for k, v in clip("a.mp4").items() if k not in {"emotion", "probabilities"}}
    rated |= {"target": "valence", "value": 3.25}
    why = {"missing": ["face"], "reason": "no face was found"}
    rows = rows_of(printed([rated, rated | {"value": None, "clip": "b.mp4"} | why], 100))
    assert [row[:2] for row in rows] == [
        ["clip", "valence"],
        ["a.mp4", "3.2"],
        ["b.mp4", "no answer: no face was found"],
    ]
    (_, empty) = rows_of(printed([clip("a.mp4", emotion=None, probabilities={}, **why)], 120))
    assert empty[1:4] == ["no answer: no face was found", "", ""]
    (_, unsure) = rows_of(printed([clip("a.mp4", emotion="unsure")], 100))
    assert unsure[1:4] == ["unsure", "0.50", "happy 0.50, fearful 0.30, sad 0.15"]


def test_shared_audio_and_notes_are_said_in_the_table() -> None:
    talk = video("talk.mp4")
    first = talk["windows"][0]
    shared = "the audio is shared by all in view: it is not known whose voice it is"
    assert shared not in printed([talk], 120)
    talk["windows"][1:1] = [first | {"person": 2}]
    text = printed([talk], 120)
    assert [row[-2] for row in rows_of(text)] == ["audio", "shared", "shared", "yes"]
    assert text.splitlines()[-1] == shared
    for row in talk["windows"]:
        row["speech"] = False
    assert shared not in printed([talk], 120)
    text = printed([clip("a.mp4", notes=["2 people"]), clip("b.mp4")], 120)
    assert text.splitlines()[-1] == "a.mp4: 2 people"


@pytest.mark.parametrize("kind", [clip, video])
def test_familiarity_has_a_column_where_the_run_can_tell(kind: Any) -> None:
    answer = kind("a.mp4")
    assert "familiarity" not in printed([answer], 200)
    rows = [answer, *answer.get("windows", [])]
    for row, share in zip(rows, (0.25, 0.125, None), strict=False):
        row["familiarity"] = share
    text = printed([answer], 200)
    cells = [row[-3] for row in rows_of(text)]
    assert cells == ["familiarity", *(["0.125", ""] if "windows" in answer else ["0.250"])]

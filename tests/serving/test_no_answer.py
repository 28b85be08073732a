"""Clips without an answer, and clips of two people: over HTTP, in the schema and on the page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY_FEATURES
from made_videos import AUDIO_HZ, joined, side_by_side, taken_apart, write
from over_http import reached
from untrained_runs import on_disk

from emorec_tf.inference import predictor
from emorec_tf.inference.long_media import Settings
from emorec_tf.inference.predictor import Predictor

pytest.importorskip("fastapi", reason="needs the extra 'serve'")
import httpx

from emorec_tf.serving import app

CHROMIUM = Path("/usr/bin/chromium")
WHY = {"missing": ["face"], "reason": "no face was found"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Predictor]:
    folder = tmp_path_factory.mktemp("served")
    names = ("concat", "face_only")
    return {n: predictor.load(str(on_disk(folder / n, TINY_FEATURES, fusion=n))) for n in names}


@pytest.fixture(scope="module")
def clips(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    pair = sorted((demo_clips / "clips").glob("actor0[12]_happy_1.mp4"))
    (left, wave), (right, _) = map(taken_apart, pair)
    long, talk = joined(sorted((demo_clips / "clips").glob("actor01*.mp4"))[:3])
    black = [np.zeros_like(left[0])] * len(long)
    return {
        "one": pair[0],
        "two": write(folder / "two.mov", side_by_side(left, right), wave),
        "speech": write(folder / "speech.wav", wave=wave),
        "long speech": write(folder / "long.wav", wave=talk),
        "black": write(folder / "black.mov", black[: len(left)]),
        "long black": write(
            folder / "black long.mov", black, np.zeros(len(black) * AUDIO_HZ // 10)
        ),
    }


@pytest.fixture(scope="module")
def face(models: dict[str, Predictor]) -> Iterator[httpx.Client]:
    with reached(app.app(models["face_only"])) as client:
        yield client


@pytest.fixture(scope="module")
def both(models: dict[str, Predictor]) -> Iterator[httpx.Client]:
    with reached(app.app(models["concat"])) as client:
        yield client


def sent(client: httpx.Client, path: Path, to: str = "/predict", **fields: str) -> Any:
    answer = client.post(to, files={"clip": (path.name, path.read_bytes())}, data=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_missing_parts_are_named(face: httpx.Client, clips: dict[str, Path]) -> None:
    answer = sent(face, clips["speech"])
    assert (answer["emotion"], answer["probabilities"]) == (None, {})
    assert {key: answer[key] for key in WHY} == WHY
    found = sent(face, clips["long speech"], "/look")
    rows = [found["answer"], *found["answer"]["windows"], *found["timeline"]]
    assert len(rows) > 5
    for row in rows:
        assert (row["emotion"], {key: row[key] for key in WHY}) == (None, WHY)


def test_the_client_chooses_the_people(both: httpx.Client, clips: dict[str, Path]) -> None:
    answer = sent(both, clips["two"])
    assert "windows" not in answer
    assert answer["notes"][0].startswith("2 people; the larger face is answered")
    every = sent(both, clips["two"], people="all")
    assert [row["person"] for row in every["windows"]] == [1, 2]
    look = sent(both, clips["two"], "/look", people="all")
    assert (set(look["portraits"]), len(look["timeline"])) == ({"1", "2"}, 2)
    files = {"clip": ("a.mov", clips["two"].read_bytes())}
    refused = both.post("/predict", files=files, data={"people": "some"})
    assert refused.status_code == 400
    assert refused.json() == {"error": "people is neither main nor all"}


def test_the_server_may_answer_each(models: dict[str, Predictor], clips: dict[str, Path]) -> None:
    with reached(app.app(models["concat"], Settings(people="all"))) as client:
        assert len(sent(client, clips["two"])["windows"]) == 2
        assert "windows" not in sent(client, clips["two"], people="main")


@pytest.mark.parametrize("name", ["one", "two", "speech", "long speech", "black", "long black"])
@pytest.mark.parametrize("people", ["main", "all"])
def test_answers_fit_the_schema(
    face: httpx.Client, both: httpx.Client, clips: dict[str, Path], name: str, people: str
) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    for client in (face, both):
        described = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
        schema = described["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(sent(client, clips[name], people=people), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"clip": "a.mov", "emotion": 3}, schema)


@pytest.mark.slow
def test_in_a_browser(models: dict[str, Predictor], clips: dict[str, Path], tmp_path: Path) -> None:
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    shots = Path(os.environ.get("EMOREC_SCREENSHOTS", tmp_path))
    with playwright.sync_playwright() as started:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=flags)

        def said(name: str, clip: str, width: int, scheme: str, people: str = "main") -> list[str]:
            with reached(app.app(models[name], Settings(people=people))) as opened:
                page = browser.new_page(
                    viewport={"width": width, "height": 900}, color_scheme=scheme
                )
                wrong: list[str] = []
                page.on("pageerror", lambda error: wrong.append(str(error)))
                page.goto(str(opened.base_url))
                page.set_input_files("#file", str(clips[clip]))
                page.wait_for_selector("#result:not([hidden])", timeout=60_000)
                page.screenshot(path=str(shots / f"{name}-{clip}-{people}-{width}-{scheme}.png"))
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                texts = [
                    page.inner_text(f"#{part}") for part in ("emotion", "sure", "notes", "now")
                ]
                if page.is_visible("#each"):
                    page.click("#each")
                    page.wait_for_selector("#time:not([hidden])", timeout=60_000)
                    assert page.locator("#portraits img").count() == 2
                    assert not page.is_visible("#each")
                page.close()
                assert wrong == []
                return texts

        emotion, sure, notes, _ = said("face_only", "speech", 390, "light")
        assert (emotion, sure) == ("No answer", "no face was found")
        assert notes.splitlines() == ["No face was found.", "Speech was found."]
        emotion, sure, _, now = said("face_only", "long speech", 1280, "dark")
        assert (emotion, sure) == ("No answer", "no face was found")
        assert now.endswith("audio alone: no answer: no face was found")
        emotion, sure, notes, _ = said("concat", "black", 1280, "light")
        assert (emotion, sure) == ("No answer", "there is no audio and no face was found")
        assert notes.splitlines() == ["No face was found.", "There is no audio."]
        _, sure, notes, _ = said("concat", "two", 390, "dark")
        assert sure.endswith(", the larger face")
        assert "2 people; the larger face is answered" in notes
        _, _, notes, now = said("concat", "two", 1280, "light", "all")
        assert "it is not known whose voice it is" in notes
        assert "person 2: " in now
        _, _, notes, _ = said("concat", "speech", 390, "light")
        assert "No face was found: the answer is from the audio alone." in notes
        browser.close()

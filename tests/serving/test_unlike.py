"""The page says where a clip is unlike the training clips, and where windows of a video are."""

from __future__ import annotations

import dataclasses
import html
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY_FEATURES
from made_videos import joined, write
from over_http import reached
from untrained_runs import on_disk

from emorec_tf.inference import predictor
from emorec_tf.models import branch_outputs
from emorec_tf.tasks import familiarity, familiarity_file
from emorec_tf.training import run_dir

pytest.importorskip("fastapi", reason="needs the extra 'serve'")
import httpx

from emorec_tf.serving import app

CHROMIUM = Path("/usr/bin/chromium")
LINE = "Unlike the training clips: do not rely on this answer."


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> predictor.Predictor:
    """A run whose training clips were noise, far from any real clip."""
    folder = on_disk(tmp_path_factory.mktemp("unlike") / "tiny", TINY_FEATURES)
    run = run_dir.load(folder)
    network = branch_outputs.with_branches(run_dir.load_model(run.model_file))
    widths = branch_outputs.widths_of(network)
    rows = np.random.default_rng(0).normal(50, 0.1, (240, sum(widths)))
    found, _ = familiarity.across_folds(rows, widths, np.repeat(["a", "b", "c", "d"], 60))
    run.familiarity_file.write_bytes(familiarity_file.to_bytes(found))
    return predictor.load(str(folder))


def never_unlike(model: predictor.Predictor) -> predictor.Predictor:
    """The same model without a threshold, as where too few clips were held out."""
    answering = predictor.unfamiliar.answering_of(model.run, model.model)
    assert isinstance(answering.found, familiarity.Familiarity)
    answering.found = dataclasses.replace(answering.found, threshold=0.0)
    return dataclasses.replace(model, answering=answering)


@pytest.fixture(scope="module")
def clip(demo_clips: Path) -> Path:
    return min((demo_clips / "clips").glob("actor01*.mp4"))


@pytest.fixture(scope="module")
def talk(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    videos = sorted((demo_clips / "clips").glob("actor01*.mp4"))[:3]
    return write(tmp_path_factory.mktemp("talk") / "talk.mov", *joined(videos))


@pytest.fixture
def client(model: predictor.Predictor) -> Iterator[httpx.Client]:
    with reached(app.app(model)) as opened:
        yield opened


def facts_of(client: httpx.Client) -> dict[str, Any]:
    found = re.search(r'data-facts="([^"]*)"', client.get("/").text)
    assert found
    return json.loads(html.unescape(found[1]))


def test_the_page_knows_the_threshold(
    client: httpx.Client, model: predictor.Predictor, clip: Path, talk: Path
) -> None:
    facts = facts_of(client)
    assert facts["unlike_below"] == familiarity.UNFAMILIAR_BELOW
    assert facts["unsure_below"] == 0
    assert "Pale is unlike the training clips" in client.get("/").text
    for path in (clip, talk):
        shown = client.post("/look", files={"clip": (path.name, path.read_bytes())}).json()
        assert shown["answer"]["familiarity"] < facts["unlike_below"]
        cells = [c for c in shown["timeline"] if c["familiarity"] is not None]
        assert bool(cells) is (path == talk)
        assert all(cell["familiarity"] < facts["unlike_below"] for cell in cells)
    with reached(app.app(dataclasses.replace(model, unfamiliar_below=0.02))) as abstaining:
        assert facts_of(abstaining)["unsure_below"] == 0.02
    for other in (never_unlike(model), dataclasses.replace(model, answering=None)):
        with reached(app.app(other)) as opened:
            assert not facts_of(opened)["unlike_below"]
            assert "Pale is unlike" not in opened.get("/").text


@pytest.mark.slow
def test_in_a_browser(model: predictor.Predictor, clip: Path, talk: Path, tmp_path: Path) -> None:
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    pictures = Path(os.environ.get("EMOREC_SCREENSHOTS", tmp_path))
    with playwright.sync_playwright() as started:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=flags)

        def sent(of: predictor.Predictor, path: Path, width: int, scheme: str) -> tuple[str, ...]:
            with reached(app.app(of)) as opened:
                page = browser.new_page(
                    viewport={"width": width, "height": 900}, color_scheme=scheme
                )
                page.goto(str(opened.base_url))
                page.set_input_files("#file", str(path))
                page.wait_for_selector("#result:not([hidden])", timeout=60_000)
                name = f"{path.stem}-{width}-{scheme}.png"
                page.screenshot(path=str(pictures / name), full_page=True)
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                first = page.locator("#notes li").first
                said = (page.inner_text("#emotion"), first.inner_text(), page.inner_text("#now"))
                assert ("lacks" in (first.get_attribute("class") or "")) is (said[1] == LINE)
                page.close()
                return said

        for width, scheme in ((390, "light"), (1280, "dark"), (390, "dark"), (1280, "light")):
            emotion, note, now = sent(model, talk, width, scheme)
            assert (emotion in ("a", "b", "c"), note) == (True, LINE)
            assert now.endswith("(unlike the training clips)")
        assert sent(model, clip, 390, "light")[1] == LINE
        abstaining = dataclasses.replace(model, unfamiliar_below=0.02)
        assert sent(abstaining, clip, 390, "light")[0] == "unsure"
        assert sent(never_unlike(model), clip, 390, "light")[1] != LINE
        browser.close()

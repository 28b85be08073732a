"""serve: predict's answers over HTTP; bad uploads get one line and leave no files."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY_FEATURES
from made_videos import joined, taken_apart, write
from over_http import reached
from untrained_runs import on_disk

from emorec_tf import serve
from emorec_tf.inference import media_answer, predictor
from emorec_tf.inference.predictor import Predictor
from emorec_tf.media.container import open_media
from emorec_tf.media.decode import Wanted, decode_part
from emorec_tf.serving import uploads
from emorec_tf.serving.job_queue import GoneError, JobQueue, LateError
from emorec_tf.storage.ending import STOPPED
from emorec_tf.training.speaker_adaptation import SpeakerAdapter

pytest.importorskip("fastapi", reason="needs the extra 'serve'")
import httpx

from emorec_tf.serving import app
from emorec_tf.serving.app import Limits

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return on_disk(tmp_path_factory.mktemp("served") / "tiny", TINY_FEATURES)


@pytest.fixture(scope="module")
def ready(tiny_run: Path) -> Predictor:
    return predictor.load(str(tiny_run))


@pytest.fixture(scope="module")
def client(ready: Predictor) -> Iterator[httpx.Client]:
    with reached(app.app(ready, limits=Limits(upload_mb=1.0))) as reached_client:
        yield reached_client


@pytest.fixture(scope="module")
def clip(demo_clips: Path) -> Path:
    return min((demo_clips / "clips").glob("actor01*.mp4"))


@pytest.fixture(scope="module")
def talk(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    videos = sorted((demo_clips / "clips").glob("actor01*.mp4"))[:3]
    return write(tmp_path_factory.mktemp("talk") / "talk.mov", *joined(videos))


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No test leaves an upload on disk."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    left = [path.name for path in folder.rglob("*")]  # TensorFlow's own are no uploads
    assert [name for name in left if not name.startswith("__autograph")] == []


def post(client: Any, data: bytes, name: str = "a.mp4", to: str = "/predict", **fields: str) -> Any:
    return client.post(to, files={"clip": (name, data)}, data=fields)


@pytest.mark.parametrize("abstain_below", [0.0, 0.99])
def test_same_json_as_the_command(
    client: httpx.Client, tiny_run: Path, clip: Path, talk: Path, abstain_below: float
) -> None:
    for path in (clip, talk):
        answer = post(client, path.read_bytes(), path.name, abstain_below=str(abstain_below))
        assert answer.status_code == 200
        wanted = media_answer.load(str(tiny_run), abstain_below=abstain_below)(str(path)).answer
        assert answer.json() == json.loads(json.dumps(wanted)) | {"clip": path.name}
        assert (answer.json()["emotion"] == "unsure") is bool(abstain_below)


def test_the_page_gets_faces_and_timeline(client: httpx.Client, clip: Path, talk: Path) -> None:
    short, long = (post(client, p.read_bytes(), to="/look").json() for p in (clip, talk))
    assert short["timeline"] == []
    assert {cell["person"] for cell in long["timeline"]} == {1}
    for shown in (short, long):
        assert list(shown["portraits"]) == ["1"]
        assert shown["portraits"]["1"].startswith("data:image/jpeg;base64,")
        assert shown["problem"] is None


def test_a_truncated_video_is_answered_with_a_problem(
    client: httpx.Client, demo_clips: Path, tmp_path: Path
) -> None:
    videos = sorted((demo_clips / "clips").glob("actor01*.mp4"))[:3]
    whole = write(tmp_path / "whole.mkv", *joined(videos)).read_bytes()
    answer = post(client, whole[: len(whole) * 6 // 10], "mine.mkv")
    assert answer.status_code == 200
    assert answer.headers["emorec-problem"].startswith("mine.mkv: is cut short")


@pytest.mark.parametrize(
    ("data", "name", "status", "said"),
    [
        (b"", "empty.mp4", 400, "empty"),
        (b"plain words", "words.mp4", 422, "words.mp4"),
        (b"\0" * 50_000, "zeros.wav", 422, "zeros.wav"),
        (b"CUT", "cut.mp4", 422, "cut.mp4"),
        (b"plain words", "../../etc/passwd", 422, "passwd: "),
        (b"plain words", "C:\\x\\..\\y.mp4", 422, "y.mp4: "),
        (b"plain words", "a\nb\x00c.mp4", 422, "c.mp4: "),
        (b"ffconcat version 1.0\nfile '/etc/passwd'\n", "x.ffconcat", 422, "x.ffconcat"),
        (b"#EXTM3U\n#EXTINF:1,\nhttp://localhost/x.ts\n", "x.m3u8", 422, "x.m3u8"),
        (b"x" * 3_000_000, "large.mp4", 413, "larger than 1 MB"),
    ],
)
def test_bad_uploads_are_refused_in_one_line(
    client: httpx.Client, clip: Path, data: bytes, name: str, status: int, said: str
) -> None:
    sent = clip.read_bytes()[:3000] if data == b"CUT" else data
    for to in ("/predict", "/look"):
        answer = post(client, sent, name, to)
        assert answer.status_code == status
        line = answer.json()["error"]
        assert said in line
        assert "\n" not in line
        assert tempfile.gettempdir() not in line


def test_bad_forms_are_refused_in_one_line(client: httpx.Client, clip: Path) -> None:
    data = clip.read_bytes()
    assert post(client, data, abstain_below="much").status_code == 400
    assert post(client, data, abstain_below="nan").status_code == 400
    assert client.post("/predict", data={"clip": "words"}).status_code == 415
    assert client.post("/predict", files={"other": ("a", data)}).status_code == 400
    assert client.post("/predict", files=[("clip", data), ("clip", data)]).status_code == 400
    head = {"content-type": "multipart/form-data"}
    assert client.post("/predict", content=data, headers=head).status_code == 400
    head = {"content-type": "multipart/form-data; boundary=x"}
    part = b'--x\r\nContent-Disposition: form-data; name="clip"; filename="a"\r\n\r\n' + data
    cut = client.post("/predict", content=part, headers=head)
    assert (cut.status_code, cut.json()) == (400, {"error": "the form was cut short"})
    fields = {str(n): "x" for n in range(20)}
    assert post(client, data, **fields).status_code == 400
    assert client.get("/predict").status_code == 405
    assert post(client, data).status_code == 200  # and it goes on


def test_a_body_without_a_length_is_bounded_while_read(client: httpx.Client) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="clip"; filename="a"\r\n\r\n'
        for _ in range(5):
            sent += 1_000_000
            yield b"y" * 1_000_000

    head = {"content-type": "multipart/form-data; boundary=x"}
    answer = client.post("/predict", content=endless(), headers=head)
    assert answer.status_code == 413


def test_upload_names_are_cleaned_for_display() -> None:
    names = {
        "a/b.mp4": "b.mp4",
        "a\\b": "b",
        None: "clip",
        "": "clip",
        "..": "..",
        "é\x1b[1m": "é[1m",
    }
    assert {name: uploads.display_name(name) for name in names} == names
    assert len(uploads.display_name("x" * 5000)) == uploads.NAME_LENGTH


class HeldUp(SpeakerAdapter):
    """Adapts as another adapter does, after a wait."""

    def __init__(self, adapter: SpeakerAdapter, wait: Callable[[], None]) -> None:
        super().__init__(adapter.adapt, adapter.standard)
        self.adapter, self.wait = adapter, wait

    def __call__(self, inputs: Any, clip_ids: Any = None) -> Any:
        self.wait()
        return self.adapter(inputs, clip_ids)


def test_a_full_queue_and_the_time_limit(ready: Predictor, clip: Path) -> None:
    free, busy = threading.Event(), threading.Event()

    def wait() -> None:
        busy.set()
        free.wait(20)

    held = dataclasses.replace(ready, adapt=HeldUp(ready.adapt, wait))
    application = app.app(held, limits=Limits(queue=0, seconds=1.0))
    with reached(application) as client:
        first: list[Any] = []
        data = clip.read_bytes()
        one = threading.Thread(target=lambda: first.append(post(client, data)))
        one.start()
        assert busy.wait(20)
        full = post(client, data)
        assert full.status_code == 429
        assert int(full.headers["retry-after"]) >= 1
        one.join()
        assert first[0].status_code == 504
        assert "1 s" in first[0].json()["error"]
        free.set()
        counters = client.get("/metrics").text
    assert 'emorec_requests_total{path="/predict",status="429"} 1.0' in counters
    assert 'emorec_requests_total{path="/predict",status="504"} 1.0' in counters
    assert "emorec_queue_length 0.0" in counters


def test_a_long_video_is_stopped_at_its_next_window(ready: Predictor, talk: Path) -> None:
    windows = 0

    def wait() -> None:
        nonlocal windows
        windows += 1
        time.sleep(0.4)

    held = dataclasses.replace(ready, adapt=HeldUp(ready.adapt, wait))
    with reached(app.app(held, limits=Limits(seconds=0.6))) as client:
        assert post(client, talk.read_bytes()).status_code == 504
    assert windows <= 3  # of about eight


@pytest.mark.parametrize("how", ["limit", "closed"])
def test_a_job_ends_in_the_middle_of_decoding(talk: Path, how: str) -> None:
    packets = 0

    def work(check: Callable[[], None]) -> None:
        def slow() -> None:
            nonlocal packets
            packets += 1
            time.sleep(0.05)
            check()

        with open_media(str(talk), check=slow) as source:
            decode_part(source, Wanted())

    async def here() -> bool:
        return False

    async def go() -> float:
        jobs = JobQueue(queue=1)
        limit = 0.4 if how == "limit" else 60.0
        job = asyncio.create_task(jobs.answer(work, time.monotonic() + limit, here))
        await asyncio.sleep(0.4)
        start = time.monotonic()
        await asyncio.to_thread(jobs.close)  # waits for the worker
        with pytest.raises(LateError):
            await job
        return time.monotonic() - start

    assert asyncio.run(go()) < 1.0
    assert 0 < packets < 20  # of 120, which take 6 s


def test_one_clip_at_a_time_and_none_for_disconnected_clients() -> None:
    async def here() -> bool:
        return False

    async def left() -> bool:
        return True

    async def go() -> list[Any]:
        jobs, inside, most = JobQueue(queue=9), 0, 0

        def work(check: Any) -> None:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            time.sleep(0.05)
            inside -= 1

        soon = time.monotonic() + 20
        await asyncio.gather(*(jobs.answer(work, soon, here) for _ in range(4)))
        found: list[Any] = [most]
        for late, gone in ((time.monotonic() - 1, here), (soon, left)):
            try:
                await jobs.answer(lambda _: time.sleep(1), late, gone)
            except (LateError, GoneError) as error:
                found.append(type(error))
        jobs.close()
        return found

    assert asyncio.run(go()) == [1, LateError, GoneError]


def test_pages_load_only_own_content_and_refuse_other_origins(client: httpx.Client) -> None:
    for path in ("/", "/docs"):
        page = client.get(path)
        assert page.status_code == 200
        assert re.findall(r"(?:src|href)=\"(?:https?:)?//", page.text) == []
        assert "<script>" not in page.text
        assert " style=" not in page.text
        assert page.headers["content-security-policy"].startswith("default-src 'self';")
    assert "not be used to decide about people" in client.get("/").text
    for path in ("/page.css", "/page.js", "/openapi.json", "/healthz", "/metrics"):
        assert client.get(path).status_code == 200
    schema = client.get("/openapi.json").json()
    assert set(schema["paths"]) == {"/predict", "/healthz", "/metrics"}
    form = schema["paths"]["/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert set(form["schema"]["properties"]) == {"clip", "abstain_below", "people"}
    elsewhere = {"origin": "https://elsewhere.example"}
    assert client.post("/predict", headers=elsewhere).status_code == 403


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--run", "nowhere", "--port=0"], "nowhere"),
        (["--run", "r", "--port=70000"], "port is 70000"),
        (["--run", "r", "--queue=-1"], "queue is -1"),
        (["--run", "r", "--max_upload_mb=0"], "max_upload_mb is 0"),
        (["--run", "r", "--port=TAKEN"], "in use"),
        (["--run", "r", "--host=203.0.113.1"], "203.0.113.1"),
        (["--run", "r", "--host=no.such.host.invalid"], "no.such.host.invalid"),
    ],
)
def test_wrong_calls_are_refused_in_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert serve.main([a.replace("TAKEN", port) for a in arguments]) == 1
    error = capsys.readouterr().err.strip()
    assert error.count("\n") == 0
    assert said in error


def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serve, "NEEDED", ("no_such_package",))
    assert serve.main(["--run", "r", "--port=0"]) == 1
    assert "pip install 'emorec-tf[serve]'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def server(tiny_run: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "emorec_tf.serve", "--run", str(tiny_run), "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found
        yield process, found[0]
        process.kill()


@pytest.mark.slow
def test_in_a_browser(
    server: tuple[subprocess.Popen[str], str], clip: Path, talk: Path, tmp_path: Path
) -> None:
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    frames, wave = taken_apart(clip)
    as_y4m(tmp_path / "camera.y4m", frames)
    write(tmp_path / "microphone.wav", wave=wave)
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    flags += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    flags += [f"--use-file-for-fake-video-capture={tmp_path / 'camera.y4m'}"]
    flags += [f"--use-file-for-fake-audio-capture={tmp_path / 'microphone.wav'}"]
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        page = browser.new_page(viewport={"width": 390, "height": 800})
        wrong: list[str] = []
        asked: set[str] = set()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: asked.add(request.url))
        page.goto(server[1])
        page.set_input_files("#file", str(talk))
        page.wait_for_selector("#result:not([hidden])", timeout=60_000)
        assert page.locator("#bars li").count() == 3
        assert page.locator("#lanes svg").count() == 1
        assert page.locator("#portraits img").count() == 1
        said = page.inner_text("#emotion")
        page.fill("#abstain", "1")
        assert (said in ("a", "b", "c"), page.inner_text("#emotion")) == (True, "unsure")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.set_input_files("#file", {"name": "x.mp4", "mimeType": "", "buffer": b"words"})
        page.wait_for_selector("#status.wrong")
        assert "x.mp4" in page.inner_text("#status")
        page.focus("#camera")
        page.keyboard.press("Enter")
        page.wait_for_selector("#record:not([hidden])")
        page.keyboard.press("Enter")  # the focus has moved to it
        page.locator("#status", has_text="2 s").wait_for()
        page.keyboard.press("Enter")
        page.wait_for_selector("#result:not([hidden])", timeout=60_000)
        notes = page.inner_text("#notes")
        assert "A face was found" in notes
        assert "Speech was found" in notes
        browser.close()
    assert [line for line in wrong if "422" not in line] == []
    assert {url.split("/")[2] for url in asked if url.startswith("http")} == {
        server[1].split("/")[2]
    }


def as_y4m(path: Path, frames: list[Any]) -> None:
    import cv2

    height, width = frames[0].shape[:2]
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F10:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            file.write(b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420).tobytes())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_right_after_the_address_stops_it(number: int) -> None:
    """The address is printed last: ten servers, each stopped as soon as it is read."""
    code = (
        "import sys\n"
        "from emorec_tf.serving.listening import address_of, listening\n"
        "from emorec_tf.serving.server import serve\n"
        "async def application(scope, receive, send):\n"
        "    while scope['type'] == 'lifespan':\n"
        "        kind = (await receive())['type']\n"
        "        await send({'type': kind + '.complete'})\n"
        "        if kind == 'lifespan.shutdown': return\n"
        "with listening('127.0.0.1', 0) as listener:\n"
        "    serve(application, listener, lambda: print(address_of(listener), flush=True))\n"
        "print('stopped')\n"
    )
    for _ in range(10):
        with subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("http://127.0.0.1:")
            process.send_signal(number)
            assert (process.stdout.read(), process.wait(20)) == ("stopped\n", 0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_while_it_loads_stops_it(number: int, code: int, tiny_run: Path) -> None:
    """In a container it is process 1, to which SIGTERM does nothing without a handler."""
    loading = (
        "import sys, time\n"
        "from emorec_tf import serve\n"
        "from emorec_tf.inference.options import ModelOptions\n"
        "def load(*_): print('loading', flush=True); time.sleep(60)\n"
        "ModelOptions.load = load\n"
        "sys.exit(serve.main(['--run', sys.argv[1], '--port=0']))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", loading, str(tiny_run)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "loading\n"
        process.send_signal(number)
        out, errors = process.communicate(timeout=20)
        assert (out, errors, process.returncode) == ("", f"{STOPPED}\n", code)


@pytest.mark.slow
def test_it_stops_when_asked(server: tuple[subprocess.Popen[str], str]) -> None:
    process, _ = server
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert process.stdout is not None
    assert process.stdout.read().strip().endswith("stopped")

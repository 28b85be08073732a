"""The server holds on to nothing, answers known hosts only, and says what fails in one line."""

from __future__ import annotations

import errno
import gc
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from over_http import reached

from emorec_tf.errors import UserError

pytest.importorskip("fastapi", reason="needs the extra 'serve'")
import httpx

from emorec_tf.serving import app, responses, uploads
from emorec_tf.serving.hosts import Hosts

MODEL: Any = SimpleNamespace(run=SimpleNamespace(folder=Path("tiny")))
CLIP = {"clip": ("a.mp4", b"x" * 1000)}


class Decoder:
    """Stands for what decoding holds open."""


@pytest.fixture
def decoders(monkeypatch: pytest.MonkeyPatch) -> weakref.WeakSet[Decoder]:
    """Every clip is refused in the midst of decoding; gives the decoders that live."""
    alive: weakref.WeakSet[Decoder] = weakref.WeakSet()

    def refuse(*_: Any) -> None:
        decoder = Decoder()
        alive.add(decoder)
        raise UserError("a.mp4: is damaged")

    monkeypatch.setattr(responses, "answer", refuse)
    return alive


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with reached(app.app(MODEL)) as opened:
        yield opened


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Only what nothing refers to goes: a cycle would stay."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_refused_posts_leave_no_decoder(
    client: httpx.Client, decoders: weakref.WeakSet[Decoder], no_collection: None
) -> None:
    for _ in range(300):
        answer = client.post("/predict", files=CLIP)
        assert (answer.status_code, answer.json()) == (422, {"error": "a.mp4: is damaged"})
    assert len(decoders) <= 1, "the worker thread may hold its last"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 507),
        (OSError(errno.EACCES, "Permission denied"), 500),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory"), 500),
    ],
)
def test_a_clip_that_cannot_be_kept(
    client: httpx.Client, error: OSError, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise error

    monkeypatch.setattr(uploads, "keep", full)
    answer = client.post("/predict", files=CLIP)
    assert answer.status_code == status
    assert answer.json() == {"error": "the server has no place to keep the clip; try again later"}
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.filterwarnings("ignore:Unclosed file:ResourceWarning")
def test_a_folder_for_uploads_that_is_gone(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    large = {"clip": ("a.mp4", b"x" * 3_000_000)}  # is spooled to disk while it comes
    for files in (large, CLIP):
        answer = client.post("/predict", files=files)
        assert answer.status_code == 500
        assert "no place to keep" in answer.json()["error"]
        assert answer.headers["cache-control"] == "no-store"
    gc.collect()  # Starlette leaves the file open that it could not write


def test_an_error_in_the_code_has_the_headers_too(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(responses, "answer", broken)
    answer = client.post("/predict", files=CLIP)
    assert answer.status_code == 500
    assert answer.json() == {"error": "the server failed; its log says why"}
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    assert "a bug" in caplog.text
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("served", "host", "answered"),
    [
        ([], "localhost:8080", True),
        ([], "LOCALHOST.", True),
        ([], "127.0.0.1", True),
        ([], "[::1]:8080", True),
        ([], "evil.example:8080", False),
        ([], "127.0.0.1.evil.example", False),
        ([], "192.168.0.7", False),
        ([], "", False),
        ([], "[", False),
        (["192.168.0.7", ""], "192.168.0.7:80", True),
        (["0.0.0.0"], "192.168.0.7:80", True),
        (["::"], "[fe80::1]:80", True),
        (["0.0.0.0"], "evil.example", False),
        (["0.0.0.0", " Voices.Example "], "voices.example", True),
    ],
)
def test_hosts(served: list[str], host: str, answered: bool) -> None:
    assert Hosts.of(served).include(host) is answered


def test_another_host_is_refused_though_its_origin_agrees(
    client: httpx.Client, decoders: weakref.WeakSet[Decoder]
) -> None:
    rebound = {"host": "evil.example:80", "origin": "http://evil.example:80"}
    for answer in (
        client.post("/predict", files=CLIP, headers=rebound),
        client.get("/healthz", headers={"host": "evil.example"}),
    ):
        assert answer.status_code == 403
        assert "--allowed_hosts" in answer.json()["error"]
        assert answer.headers["cache-control"] == "no-store"
    port = client.base_url.port
    own = {"host": f"localhost:{port}", "origin": f"http://localhost:{port}"}
    assert client.post("/predict", files=CLIP, headers=own).status_code == 422
    with reached(app.app(MODEL, hosts=["evil.example"])) as other:
        assert other.get("/healthz", headers={"host": "evil.example"}).status_code == 200

"""Downloads that fail: one short line that says why."""

from __future__ import annotations

import http.server
import socket
import threading
from pathlib import Path

import pytest

from emorec_tf.errors import SetupError, UserError
from emorec_tf.storage import downloads
from emorec_tf.storage.cache_dir import CACHE_VARIABLE


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


def unreachable() -> str:
    """Address of this machine at which no server listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/model.bin"


def test_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    url = unreachable()
    with pytest.raises(SetupError) as refused:
        downloads.model_path(None, ("model.bin", url, "0" * 64))
    assert str(refused.value) == (
        f"{url} cannot be downloaded (no connection to 127.0.0.1); download it elsewhere and pass "
        "--face_model FILE"
    )


def test_no_such_file_on_the_server(tmp_path: Path) -> None:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}/no-such-model.bin"
        with pytest.raises(UserError, match=r"\(127.0.0.1 answers with status 404\)$"):
            downloads.fetch(url, "0" * 64, tmp_path / "model.bin")
        server.shutdown()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UserError, match=r"\(File exists: .*taken\)$"):
        downloads.fetch(unreachable(), "0" * 64, tmp_path / "taken" / "model.bin")

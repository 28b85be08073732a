"""Buckets: errors are reported quickly in one line; the exit code is kept."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from emorec_tf.errors import SetupError
from emorec_tf.evaluate import main as evaluate_main
from emorec_tf.prepare import main as prepare_main
from emorec_tf.storage import object_store


@pytest.fixture
def object_store_env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Environment with a key, and no bucket checked yet."""
    object_store.ready.cache_clear()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setattr(object_store, "PROBE_SECONDS", 1.0)
    return monkeypatch


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_an_unreachable_server_is_reported(
    object_store_env: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    object_store_env.setenv("S3_ENDPOINT", address := closed_port())
    assert evaluate_main(["--run", "s3://bucket/run"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: s3://bucket: {address} cannot be reached")


def test_a_server_that_never_responds_times_out(object_store_env: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        object_store_env.setenv("S3_ENDPOINT", f"http://127.0.0.1:{mute.getsockname()[1]}")
        with pytest.raises(SetupError, match="cannot be reached"):
            object_store.ready("s3", "bucket")


@pytest.mark.parametrize(("scheme", "variable"), [("s3", "AWS_ACCESS"), ("gs", "GOOGLE_APP")])
def test_missing_credentials_are_reported(
    scheme: str, variable: str, object_store_env: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in object_store.KEYS[scheme][0]:
        object_store_env.delenv(name, raising=False)
    object_store_env.setenv("HOME", str(tmp_path))
    object_store_env.setenv(object_store.NO_METADATA[scheme], "true")
    with pytest.raises(SetupError, match=f"no credentials found; set {variable}"):
        object_store.ready(scheme, "bucket")
    for name in object_store.KEYS[scheme][1]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert object_store.has_key(scheme)


def test_a_missing_bucket_is_reported(
    s3: str, object_store_env: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare_main(["--source", "s3://elsewhere/clips", "--records", f"{s3}/records"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: s3://elsewhere: no such bucket at http://127.0.0.1")


def test_other_urls(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate_main(["--run", "https://bucket/run"]) == 1
    assert "only gs://, s3:// are supported" in capsys.readouterr().err


def test_without_native_plugins(object_store_env: pytest.MonkeyPatch) -> None:
    """As with the newest packages, where tensorflow-io registers nothing."""
    object_store_env.setattr(tf.io.gfile, "get_registered_schemes", lambda: ["", "gs"])
    with pytest.raises(SetupError, match=r"do not load with TensorFlow 2\.\d+"):
        object_store.file_system.__wrapped__("s3")


@pytest.mark.slow
@pytest.mark.parametrize("code", [0, 3])
def test_a_process_that_used_s3_ends_with_its_own_code(s3: str, code: int) -> None:
    script = (
        f"import sys; from emorec_tf.storage.paths import place\n"
        f"place('{s3}/end/{code}').write_bytes(b'whole')\n"
        f"print(place('{s3}/end/{code}').read_text())\n"
        f"sys.exit({code})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (code, "whole\n", "")

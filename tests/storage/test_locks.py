"""Locks: one process at a time."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from emorec_tf.errors import UserError
from emorec_tf.storage.locks import alone

HOLD = """
import sys, time
from pathlib import Path
from emorec_tf.storage.locks import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_is_released_however_its_process_ends(tmp_path: Path) -> None:
    lock = tmp_path / "inside" / ".lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE)
    assert holder.stdout
    assert holder.stdout.readline() == b"held\n"
    with (
        pytest.raises(UserError, match="another one is at work"),
        alone(lock, "another one is at work"),
    ):
        pass
    holder.stdout.close()
    started = time.perf_counter()
    os.kill(holder.pid, signal.SIGKILL)
    with alone(lock):  # waits
        assert time.perf_counter() - started < 30
    holder.wait()


def test_the_refusal_names_the_file_and_a_wait_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lock = tmp_path / ".lock"
    caplog.set_level("INFO", "emorec_tf")
    said = re.escape(f"busy (locked: {lock})")
    with alone(lock), pytest.raises(UserError, match=said), alone(lock, "busy"):
        pass
    assert caplog.messages == []
    code = HOLD.replace("time.sleep(60)", "time.sleep(0.5)")
    with subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with alone(lock):
            assert caplog.messages == [f"waiting for the process that holds {lock}"]


def test_a_lock_that_is_a_symbolic_link_empties_nothing(tmp_path: Path) -> None:
    precious, lock = tmp_path / "thesis.txt", tmp_path / ".lock"
    precious.write_text("years of work")
    lock.symlink_to(precious)
    for refusal in ("", "busy"):
        with pytest.raises(UserError, match="symbolic link"), alone(lock, refusal):
            pass
    assert precious.read_text() == "years of work"

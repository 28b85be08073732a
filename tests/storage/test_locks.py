"""One process at a time."""

from __future__ import annotations

import os
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
from emorec_tf.locks import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_goes_with_its_process_however_it_ends(tmp_path: Path) -> None:
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

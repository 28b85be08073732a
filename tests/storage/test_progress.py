"""A progress bar stands on a terminal alone, and leaves standard output as it is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = """
from emorec_tf.storage import progress
with progress.over("abc", "predicting") as items:
    for item in items:
        print(item)
"""


def test_none_in_a_pipe() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("a\nb\nc\n", "")


def test_a_bar_on_a_terminal_leaves_the_output_alone() -> None:
    pty = pytest.importorskip("pty", reason="needs a system with pseudo-terminals")
    screen, terminal = pty.openpty()
    settings = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-c", CODE], stdout=subprocess.PIPE, stderr=terminal, env=settings
    )
    os.close(terminal)
    shown = os.read(screen, 1 << 16).decode()
    os.close(screen)
    assert done.returncode == 0
    assert done.stdout == b"a\nb\nc\n"
    assert "predicting" in shown
    assert "3/3" in shown

"""Signals end commands with a line and a code; workers end with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from emorec_tf.cli import guarded
from emorec_tf.storage import ending
from emorec_tf.storage.ending import STOPPED

BUSY = """
import sys, time
from emorec_tf.cli import guarded
def run(argv):
    print("busy", flush=True)
    time.sleep(60)
sys.exit(guarded(run, []))
"""
IMPORTING = """
import sys
from emorec_tf.cli import guarded
def run(argv):
    import slow_to_import
sys.exit(guarded(run, []))
"""
POOL = """
import os, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import fragile_work
from emorec_tf.cli import guarded
from emorec_tf.storage import ending

def run(argv):
    spawn = get_context("spawn")
    pool = ProcessPoolExecutor(2, spawn, ending.end_with_parent)
    try:
        with ending.ignored_by_children():
            waiting = [pool.submit(fragile_work.sleep, 60) for _ in range(2)]
            known = pool.submit(os.getpid)
        time.sleep(2)
        print(*pool._processes, flush=True)
        waiting[0].result()
    finally:
        ending.end_pool(pool)

if __name__ == "__main__":
    sys.exit(guarded(run, []))
"""


def started(code: str, folder: Path) -> subprocess.Popen[str]:
    (folder / "work.py").write_text(code)
    tests = str(Path(__file__).parents[1])
    known = os.pathsep.join([tests, *sys.path])
    return subprocess.Popen(
        [sys.executable, str(folder / "work.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": known},
        start_new_session=True,
    )


def lives(number: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{number}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_command_in_a_line(number: int, code: int, tmp_path: Path) -> None:
    with started(BUSY, tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "busy\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (code, f"{STOPPED}\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_during_an_import_raises_nothing_there(
    number: int, code: int, tmp_path: Path
) -> None:
    (tmp_path / "slow_to_import.py").write_text(
        "import time\n"
        "print('busy', flush=True)\n"
        "try: time.sleep(60)\n"
        "except BaseException: print('raised', flush=True)\n"
    )
    with started(IMPORTING, tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "busy\n"
        process.send_signal(number)
        out, errors = process.communicate(timeout=20)
        assert (process.returncode, out, errors) == (code, "", f"{STOPPED}\n")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("number", "whole_group", "code"),
    [
        (signal.SIGKILL, False, -9),
        (signal.SIGTERM, False, 143),
        (signal.SIGTERM, True, 143),
        (signal.SIGINT, True, 130),
    ],
)
def test_workers_end_with_their_parent(
    number: int, whole_group: bool, code: int, tmp_path: Path
) -> None:
    """Busy for a minute, they are gone within seconds, and print nothing."""
    with started(POOL, tmp_path) as process:
        assert process.stdout is not None
        workers = [int(word) for word in process.stdout.readline().split()]
        assert len(workers) == 2
        assert all(map(lives, workers))
        os.killpg(process.pid, number) if whole_group else process.send_signal(number)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == code
        assert number == signal.SIGKILL or errors == f"{STOPPED}\n"
        until = time.monotonic() + 10
        while any(map(lives, workers)) and time.monotonic() < until:
            time.sleep(0.05)
        assert not any(map(lives, workers))


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    inside: list[object] = []

    def run(_argv: object) -> int:
        inside.extend(signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT))
        return 3

    assert guarded(run, []) == 3
    assert inside[0] is inside[1] is not before[0]
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == before


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with ending.stopped_by_signals():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)

"""How a process ends: by a signal with its own exit code, and never later than its parent."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from types import FrameType
from typing import Any

BASE = 128  # exit codes of processes that a signal ended: 130 by Ctrl-C, 143 by SIGTERM
STOPPED = "stopped; what was finished is kept; run the same command to continue"


class Stopped(KeyboardInterrupt):
    """SIGTERM, raised where the process is; ``except Exception`` lets it pass, as Ctrl-C."""

    code = BASE + signal.SIGTERM


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Raise ``Stopped`` on SIGTERM, and ``KeyboardInterrupt`` on Ctrl-C.

    The process ends at once, with a line, at a second signal and while a module is imported: an
    exception in the middle of a C++ module's start would abort the process. Without a handler a
    process with the number 1, as in a container, would not notice SIGTERM. Ignored signals stay
    ignored; outside of the main thread nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []
    shown = _copy_of_stderr()

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        if len(asked) > 1 or _imports(frame):
            with contextlib.suppress(OSError):
                os.write(shown, f"{STOPPED}\n".encode())
            os._exit(BASE + number)
        raise Stopped if number == signal.SIGTERM else KeyboardInterrupt

    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    usual = (signal.SIG_DFL, signal.default_int_handler)
    taken = [number for number, handler in before.items() if handler in usual]
    for number in taken:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])
        if shown >= 0:
            os.close(shown)


def _copy_of_stderr() -> int:
    """Standard error, also while other packages' output is held back; -1: there is none."""
    try:
        return os.dup(2)
    except OSError:
        return -1


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported, by this frame or by its callers within a command."""
    while frame is not None and frame.f_code.co_name != "guarded":
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


@contextlib.contextmanager
def ignored_by_children() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: their parent gets it, and ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_pool(pool: ProcessPoolExecutor) -> None:
    """End the processes of a pool, whatever they are doing, and drop what waits for them."""
    processes = list((getattr(pool, "_processes", None) or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:  # else the interpreter would wait for them when it exits
        process.terminate()


def end_with_parent() -> None:
    """End this worker process when its parent is gone, whatever it is doing; for initializers.

    Workers of a pool read from a pipe that they hold open themselves, so that they would wait for
    ever after their parent was killed.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: Any) -> None:
    parent.join()
    os._exit(1)

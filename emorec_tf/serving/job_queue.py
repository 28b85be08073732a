"""A bounded queue of clips: one is processed at a time, a few wait, with a time limit.

The network, the detector and the speech check are not thread-safe, so one thread does all
the work. A request holds its place from its first byte to its answer, which bounds memory and disk.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Result = TypeVar("Result")

POLL_SECONDS = 0.5  # between checks whether the client of a waiting request is still there
NEWEST_SHARE = 0.2  # of the running mean of seconds a clip takes


class FullError(Exception):
    """All places are taken; ``retry_after_seconds`` is a guess when one will be free."""

    def __init__(self, retry_after_seconds: int) -> None:
        """Keep the guess."""
        super().__init__()
        self.retry_after_seconds = retry_after_seconds


class LateError(Exception):
    """A request took too long."""


class GoneError(Exception):
    """The client has left before it was answered."""


class JobQueue:
    """A bounded queue of clips before one worker thread.

    Args:
        queue: how many may wait besides the one that is answered.
        answered: called with the seconds that each answer took.
    """

    def __init__(self, queue: int, answered: Callable[[float], None] = lambda _: None) -> None:
        """Start with an empty queue."""
        self.places = queue + 1
        self.taken = 0
        self.clip_seconds = 1.0
        self._answered = answered
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="emorec-worker")
        self._closing = threading.Event()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place; on the event loop's thread only.

        Raises:
            FullError: there is none.
        """
        if self.taken >= self.places:
            raise FullError(max(1, math.ceil(self.clip_seconds * self.taken)))
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    async def answer(
        self,
        work: Callable[[Callable[[], None]], Result],
        deadline: float,
        is_gone: Callable[[], Awaitable[bool]],
    ) -> Result:
        """Let the worker do ``work(check)``, which calls ``check`` where it may be stopped.

        Args:
            work: runs in the worker's thread.
            deadline: by ``time.monotonic``.
            is_gone: says whether the client has left.

        Raises:
            LateError: the deadline has passed, before or during the work.
            GoneError: the client has left.
        """
        dropped = threading.Event()

        def check() -> None:
            if dropped.is_set() or self._closing.is_set() or time.monotonic() > deadline:
                raise LateError

        def job() -> Result:
            check()
            start = time.monotonic()
            result = work(check)
            seconds = time.monotonic() - start
            self._answered(seconds)
            self.clip_seconds += NEWEST_SHARE * (seconds - self.clip_seconds)
            return result

        future = asyncio.get_running_loop().run_in_executor(self._worker, job)
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            while True:
                left = deadline - time.monotonic()
                await asyncio.wait({future}, timeout=max(0.0, min(left, POLL_SECONDS)))
                if future.done():
                    return future.result()
                if left <= 0:
                    raise LateError
                if await is_gone():
                    raise GoneError
        finally:
            dropped.set()
            # An error's traceback holds this frame, and the future holds the error: a cycle that
            # would keep all that the work had open until Python happens to look for cycles.
            del future

    def close(self) -> None:
        """Stop the current clip; accept no more."""
        self._closing.set()
        self._worker.shutdown(wait=True, cancel_futures=True)

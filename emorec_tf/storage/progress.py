"""A progress bar on standard error: things done, their rate, the remaining time."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


@contextlib.contextmanager
def bar(total: int, what: str) -> Iterator[Callable[[], None]]:
    """Draw a bar; what it gives is called once for each clip that is done.

    Args:
        total: number of clips.
        what: a word before the bar.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    rate = TextColumn("{task.fields[rate]}")
    columns = (what, BarColumn(), MofNCompleteColumn(), rate, Remaining())
    # Rich prints above the bar what goes to the same screen; a pipe or a file gets it directly.
    same = sys.stdout.isatty()
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=same) as shown:
        task = shown.add_task("", total=total, rate="")
        start = time.monotonic()

        def advance() -> None:
            # Rich's own rate sums over a thousand steps at each step.
            speed = (shown.tasks[0].completed + 1) / (time.monotonic() - start)
            shown.update(task, advance=1, rate=f"{speed:.1f} clips/s")

        yield advance


@contextlib.contextmanager
def over(items: Sequence[Item], what: str) -> Iterator[Iterable[Item]]:
    """Go through several items with a bar; without one where standard error is no terminal."""
    if len(items) < 2 or not sys.stderr.isatty():
        yield items
        return
    with bar(len(items), what) as advance:

        def counted() -> Iterator[Item]:
            for item in items:
                yield item
                advance()

        yield counted()

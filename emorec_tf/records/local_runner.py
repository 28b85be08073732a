"""Shards made by processes of this machine, where asked for with a progress bar."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator

from emorec_tf.records import shards, worker_pool


def make_all(
    job: shards.Job, parts: shards.Parts, workers: int, show_progress: bool = False
) -> None:
    """Make these shards, in order; all processes work on one, then on the next."""
    queue = [clip for clips in parts.values() for clip in clips]
    results = worker_pool.process(queue, workers, job.settings)
    shown = progress_bar(len(queue)) if show_progress else contextlib.nullcontext(_unchanged)
    with contextlib.closing(results), shown as advance:
        for number, clips in parts.items():
            shards.write(job.place, number, map(advance, itertools.islice(results, len(clips))))


def _unchanged(result: worker_pool.Result) -> worker_pool.Result:
    return result


@contextlib.contextmanager
def progress_bar(total: int) -> Iterator[Callable[[worker_pool.Result], worker_pool.Result]]:
    """Show clips done, rate and remaining time on a terminal, as results pass through."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    rate = TextColumn("{task.fields[rate]}")
    columns = ("preparing", BarColumn(), MofNCompleteColumn(), rate, Remaining())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total, rate="")
        start = time.monotonic()

        def advance(result: worker_pool.Result) -> worker_pool.Result:
            # Rich's own rate sums over a thousand steps at each step.
            speed = (bar.tasks[0].completed + 1) / (time.monotonic() - start)
            bar.update(task, advance=1, rate=f"{speed:.1f} clips/s")
            return result

        yield advance

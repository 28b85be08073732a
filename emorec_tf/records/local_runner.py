"""Shards made by processes of this machine, where asked for with a progress bar."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator

from emorec_tf.records import shards, worker_pool
from emorec_tf.storage import progress


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
    with progress.bar(total, "preparing") as advance:

        def passed(result: worker_pool.Result) -> worker_pool.Result:
            advance()
            return result

        yield passed

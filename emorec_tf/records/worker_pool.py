"""Clips to serialised examples in worker processes, with one line of the report for each."""

from __future__ import annotations

import contextlib
import json
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

from emorec_tf.config.clip import Clip
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.errors import SetupError, UserError
from emorec_tf.features.decode_cache import Cache
from emorec_tf.records import records_dir
from emorec_tf.storage.paths import local_copy, place

Result = tuple[bytes, dict[str, Any]]  # a framed example (b"": refused), a line of report.csv
Settings = tuple[FeaturesConfig, str | None, str | None, Cache | None]  # of ``examples.maker``
# TensorFlow and Keras import these where they are installed: as long again as without them.
UNUSED = ("jax", "matplotlib", "pandas", "sklearn")
WORKER: dict[str, Any] = {}  # what start_worker loaded, once per process


class Crew:
    """Worker processes that stay from one list of clips to the next."""

    def __init__(self, workers: int, settings: Settings) -> None:
        """Plan so many processes; ``settings`` are the arguments of ``examples.maker``."""
        self.workers, self.settings = workers, settings
        self.pool: ProcessPoolExecutor | None = None

    def process(self, clips: Sequence[Clip]) -> Iterator[Result]:
        """Make examples; results come in the order of ``clips``.

        A clip on which the process itself dies (a decoder's crash) is refused; the rest goes on.
        """
        waiting: deque[tuple[Clip, Future[Result]]] = deque()
        rest = deque(clips)
        count = min(self.workers, max(len(clips), 1))
        pool = self.pool = self.pool or make_pool(count, self.settings)
        while rest or waiting:
            while rest and len(waiting) < 4 * self.workers:
                waiting.append((rest[0], submit(pool, rest[0])))
                rest.popleft()
            clip, future = waiting.popleft()
            try:
                yield future.result()
            except BrokenProcessPool:
                yield alone(clip, self.settings)
                rest.extendleft(c for c, _ in reversed(waiting))
                waiting.clear()
                pool = self.pool = make_pool(self.workers, self.settings)

    def close(self) -> None:
        """Let the processes go, whatever they were at."""
        if self.pool:
            self.pool.shutdown(wait=False, cancel_futures=True)
            self.pool = None


def process(clips: Sequence[Clip], workers: int, settings: Settings) -> Iterator[Result]:
    """Make examples in ``workers`` processes of their own: see ``Crew``."""
    with contextlib.closing(Crew(workers, settings)) as crew:
        yield from crew.process(clips)


def submit(pool: ProcessPoolExecutor, clip: Clip) -> Future[Result]:
    """Hand a clip to the pool; a pool that has just broken answers as its earlier clips do."""
    try:
        return pool.submit(work, clip)
    except BrokenProcessPool as error:
        future: Future[Result] = Future()
        future.set_exception(error)
        return future


def make_pool(workers: int, settings: Settings) -> ProcessPoolExecutor:
    """Start fresh processes: neither TensorFlow nor MediaPipe survives a fork."""
    context = get_context("spawn")
    return ProcessPoolExecutor(workers, context, initializer=start_worker, initargs=settings)


def alone(clip: Clip, settings: Settings) -> Result:
    """Run one suspect clip in a process of its own."""
    with make_pool(1, settings) as pool:
        try:
            return pool.submit(work, clip).result()
        except BrokenProcessPool:
            path = clip.video or clip.audio
            return b"", row_of(clip, f"{path}: the decoder crashed on it; convert or remove it")


def start_worker(
    features: FeaturesConfig, face_model: str | None, mesh_model: str | None, cache: Cache | None
) -> None:
    """Make the maker once per process, on one thread: a process per core is fastest."""
    from emorec_tf.storage.downloads import hidden

    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with hidden(*(name for name in UNUSED if name != backend)):
        import tensorflow as tf

    from emorec_tf.features import examples

    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    try:
        WORKER["make"] = examples.maker(features, face_model, mesh_model, cache)
    except UserError as error:  # raised where the clip is asked for, so that it reaches the user
        WORKER["make"] = error


def work(clip: Clip) -> Result:
    """Make one example in a worker; refuse what cannot be read."""
    make = WORKER["make"]
    if isinstance(make, UserError):
        raise make
    try:
        with at_hand(clip) as here:
            example, seen = make(here)
    except SetupError:
        raise
    except UserError as error:
        return b"", row_of(clip, str(error))
    labels: dict[str, str | float] = {
        "clip_id": clip.clip_id,
        "speaker": clip.speaker,
        "emotion": clip.emotion,
        "activation": float("nan") if clip.activation is None else clip.activation,
        "valence": float("nan") if clip.valence is None else clip.valence,
    }
    return records_dir.framed(records_dir.serialise(example, labels)), row_of(clip, "", seen)


@contextlib.contextmanager
def at_hand(clip: Clip) -> Iterator[Clip]:
    """Give the clip with its files on this machine; what had to be fetched is dropped afterwards.

    Errors name the files as they were given.
    """
    with contextlib.ExitStack() as stack:
        here = {
            path: str(stack.enter_context(local_copy(place(path))))
            for path in sorted({path for path in (clip.video, clip.audio) if path})
        }
        video, audio = (path and here[path] for path in (clip.video, clip.audio))
        try:
            yield replace(clip, video=video, audio=audio)
        except UserError as error:
            said = str(error)
            for given, fetched in here.items():
                said = said.replace(fetched, str(given))
            raise type(error)(said) from error


def row_of(clip: Clip, refused: str, seen: Any = None) -> dict[str, Any]:
    """One line of report.csv."""
    lacks = []
    if seen and not seen.audio_present:
        lacks.append("no sound")
    if seen and seen.frames and not seen.faces_found:
        lacks.append("no face found")
    elif seen and not seen.frames:
        lacks.append("no pictures")
    return {
        "clip_id": clip.clip_id,
        "status": "refused" if refused else "ok",
        "reason": refused or "; ".join([*lacks, *(seen.notes if seen else ())]),
        "emotion": clip.emotion,
        "speaker": clip.speaker,
        "session": clip.session,
        "activation": "" if clip.activation is None else clip.activation,
        "valence": "" if clip.valence is None else clip.valence,
        "audio_present": int(seen.audio_present) if seen else "",
        "faces_found": seen.faces_found if seen else "",
        "frames": seen.frames if seen else "",
        "seconds": f"{seen.seconds:.3f}" if seen else "",
        "audio_sha256": seen.audio_sha256 if seen else "",
        "traits": json.dumps(dict(clip.traits), sort_keys=True),
        "video": clip.video or "",
        "audio": clip.audio or "",
    }

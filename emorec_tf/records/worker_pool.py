"""Clips to serialised examples in worker processes, with one line of the report for each."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
from collections import deque
from collections.abc import Generator, Iterator, Sequence
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
from emorec_tf.storage.ending import end_pool, end_with_parent, ignored_by_children
from emorec_tf.storage.paths import local_copy, place

Result = tuple[bytes, dict[str, Any]]  # a framed example (b"": refused), a line of report.csv
Settings = tuple[FeaturesConfig, str | None, str | None, Cache | None]  # of ``examples.maker``
# TensorFlow and Keras import these if they are installed, which doubles the time to start.
UNUSED = ("jax", "matplotlib", "pandas", "sklearn")
WORKER: dict[str, Any] = {}  # what start_worker loaded, once per process


class Workers:
    """Worker processes that are kept from one list of clips to the next."""

    def __init__(self, workers: int, settings: Settings) -> None:
        """Plan ``workers`` processes; ``settings`` are the arguments of ``examples.maker``."""
        self.workers, self.settings = workers, settings
        self.pool: ProcessPoolExecutor | None = None

    def process(self, clips: Sequence[Clip]) -> Iterator[Result]:
        """Make examples; results come in the order of ``clips``.

        A clip that crashes its process (in a decoder) is refused; the others are still processed.
        """
        pending: deque[tuple[Clip, Future[Result]]] = deque()
        remaining = deque(clips)
        count = min(self.workers, max(len(clips), 1))
        pool = self.pool = self.pool or make_pool(count, self.settings)
        while remaining or pending:
            while remaining and len(pending) < 4 * self.workers:
                pending.append((remaining[0], submit(pool, remaining[0])))
                remaining.popleft()
            clip, future = pending.popleft()
            try:
                yield future.result()
            except BrokenProcessPool:
                yield process_alone(clip, self.settings)
                remaining.extendleft(c for c, _ in reversed(pending))
                pending.clear()
                pool = self.pool = make_pool(self.workers, self.settings)

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        if self.pool:
            end_pool(self.pool)
            self.pool = None


def process(
    clips: Sequence[Clip], workers: int, settings: Settings
) -> Generator[Result, None, None]:
    """Make examples in ``workers`` new processes: see ``Workers``."""
    with contextlib.closing(Workers(workers, settings)) as pool:
        yield from pool.process(clips)


def submit(pool: ProcessPoolExecutor, clip: Clip) -> Future[Result]:
    """Submit a clip; a pool that has just broken fails it as it fails its earlier clips."""
    try:
        with ignored_by_children():  # processes start when they are first needed
            return pool.submit(work, clip)
    except BrokenProcessPool as error:
        future: Future[Result] = Future()
        future.set_exception(error)
        return future


def make_pool(workers: int, settings: Settings) -> ProcessPoolExecutor:
    """Start fresh processes: neither TensorFlow nor MediaPipe survives a fork."""
    context = get_context("spawn")
    return ProcessPoolExecutor(workers, context, initializer=start_worker, initargs=settings)


def process_alone(clip: Clip, settings: Settings) -> Result:
    """Process one suspect clip in a separate process."""
    pool = make_pool(1, settings)
    try:
        return submit(pool, clip).result()
    except BrokenProcessPool:
        path = clip.video or clip.audio
        return b"", row_of(clip, f"{path}: the decoder crashed on it; convert or remove it")
    finally:
        end_pool(pool)


def start_worker(
    features: FeaturesConfig, face_model: str | None, mesh_model: str | None, cache: Cache | None
) -> None:
    """Prepare decoding once per process, on one thread: a process per core is fastest."""
    end_with_parent()
    from emorec_tf.storage.downloads import hidden
    from emorec_tf.storage.start_notes import quiet_start

    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with hidden(*(name for name in UNUSED if name != backend)), quiet_start():
        import tensorflow as tf

    from emorec_tf.features import examples

    atexit.register(WORKER.clear)  # while TensorFlow is whole; its functions fail to go later
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    try:
        WORKER["make"] = examples.maker(features, face_model, mesh_model, cache)
    except UserError as error:  # raised with the first clip, so that it reaches the user
        WORKER["make"] = error


def work(clip: Clip) -> Result:
    """Make one example in a worker; refuse what cannot be read."""
    make = WORKER["make"]
    if isinstance(make, UserError):
        raise make
    try:
        with localised(clip) as here:
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
def localised(clip: Clip) -> Iterator[Clip]:
    """Yield the clip with its files on this machine; downloaded files are removed afterwards.

    Errors name the files by their original paths.
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
            message = str(error)
            for given, fetched in here.items():
                message = message.replace(fetched, str(given))
            raise type(error)(message) from error


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

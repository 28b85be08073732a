"""Shards made by Apache Beam, on the engine that its options name: one element is one shard.

Only shard numbers travel through the engine. The clips of each shard are listed in a file beside
the notes, and each worker writes its shards and notes itself, as ``local_runner`` does: a job that
was killed resumes with the missing shards, and an engine that retries an element writes the same
bytes. Clips are decoded in a separate process, so a clip that crashes the decoder is refused here
too, instead of crashing Beam's worker.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import logging
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from emorec_tf.config.clip import Clip
from emorec_tf.errors import SetupError, UserError
from emorec_tf.records import shards, worker_pool
from emorec_tf.storage.files import write_atomically
from emorec_tf.storage.quiet import last_line

_LOG = logging.getLogger(__name__)
# An error raised by a worker comes back as text, after a traceback.
RAISED = re.compile(r"emorec_tf\.errors\.(?:User|Setup)Error: (.+?)(?:\n|\\n|$)")


class MakeShard(beam.DoFn):
    """Makes the shard of each number in the collection; numbers in the output are done."""

    def __init__(self, job: shards.Job) -> None:
        """Keep the job, which says where the lists of clips are and where shards go."""
        self.job = job
        self.workers: worker_pool.Workers | None = None

    def setup(self) -> None:
        """Plan the decoding process; it starts with the first clip and is kept."""
        self.workers = worker_pool.Workers(1, self.job.settings)

    def process(self, number: int) -> Iterator[int]:
        """Make one shard."""
        assert self.workers
        clips = read_clips(clips_file(self.job.place, number))
        results = list(self.workers.process(clips))
        shards.write(self.job.place, number, results)
        refused = sum(not data for data, _ in results)
        beam.metrics.Metrics.counter("emorec_tf", "clips").inc(len(clips))
        beam.metrics.Metrics.counter("emorec_tf", "refused").inc(refused)
        yield number

    def teardown(self) -> None:
        """End the decoding process."""
        if self.workers:
            self.workers.close()


def make_all(job: shards.Job, parts: shards.Parts, given: str) -> None:
    """Make these shards on the engine that ``given`` names: Beam's own options in one string.

    Raises:
        UserError: options that Beam does not understand, or the error that stopped the job.
    """
    options = options_of(given)
    for number, clips in parts.items():
        write_clips(clips_file(job.place, number), clips)
    _LOG.info("%d shards to make on Apache Beam (%s)", len(parts), given or "its direct runner")
    job = dataclasses.replace(job, folder=str(job.place.absolute()))  # the same for all workers
    log = logging.getLogger("apache_beam")
    level = log.level
    log.setLevel(logging.CRITICAL)  # a failure is reported below, in one line
    try:
        with beam.Pipeline(options=options) as pipeline:
            numbers = pipeline | "Numbers" >> beam.Create(list(parts))
            _ = numbers | beam.Reshuffle() | "Shards" >> beam.ParDo(MakeShard(job))
    except Exception as error:
        raise UserError(f"{reason(error)} (on Apache Beam; repeat the command)") from error
    finally:
        log.setLevel(level)


def reason(error: Exception) -> str:
    """Return in one line why a job stopped; our own errors come back as they are, or as text."""
    text = str(error)
    raised = RAISED.search(text)
    if raised is None and not isinstance(error, UserError):
        return last_line(text) or type(error).__name__
    return (raised[1] if raised else text).split(" [while running")[0]


def options_of(given: str) -> Any:
    """Read Beam's options.

    Raises:
        UserError: an invalid value. Unknown flags are only logged by Beam, as an engine may know
            them.
    """
    complaint = io.StringIO()
    try:
        options = PipelineOptions(shlex.split(given))
        with contextlib.redirect_stderr(complaint):
            options.get_all_options()
    except (SystemExit, ValueError) as error:
        line = last_line(complaint.getvalue()) or str(error)
        raise UserError(f"--beam_options {given!r}: {line}") from error
    return options


def clips_file(folder: Path, number: int) -> Path:
    """File that lists the clips of one shard."""
    return folder / shards.PARTIAL / f"clips-{number:05d}.json"


def write_clips(path: Path, clips: Sequence[Clip]) -> None:
    """Write a list of clips."""
    facts = [{**vars(clip), "traits": dict(clip.traits)} for clip in clips]
    write_atomically(path, json.dumps(facts))


def read_clips(path: Path) -> list[Clip]:
    """Read back a list of clips.

    Raises:
        SetupError: this worker cannot see the file.
    """
    try:
        return [Clip(**facts) for facts in json.loads(path.read_text())]
    except FileNotFoundError as error:
        raise SetupError(
            f"a Beam worker cannot find {path}; put --records and --source where all workers "
            "reach them: s3://, gs:// or a shared folder"
        ) from error

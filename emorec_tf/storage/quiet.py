"""Run other packages' code without what it prints, native code included."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

from emorec_tf.errors import UserError

LONGEST = 200  # characters of a foreign message that are passed on
# TensorFlow's and MediaPipe's notes on start-up; errors still show
QUIET_START = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "GLOG_minloglevel": "2",
    "GRPC_VERBOSITY": "ERROR",
    "TF_ENABLE_ONEDNN_OPTS": "1",
}
REDIRECT = {"stdout": contextlib.redirect_stdout, "stderr": contextlib.redirect_stderr}


def start_quietly() -> None:
    """Let TensorFlow and MediaPipe start without notes, unless the user set their variables.

    Call it before they are imported.
    """
    for name, level in QUIET_START.items():
        os.environ.setdefault(name, level)
    # its advice on retracing is for programmers; models of several kinds in one process cause it
    tensorflow = logging.getLogger("tensorflow")
    if tensorflow.level == logging.NOTSET:
        tensorflow.setLevel(logging.ERROR)


@contextlib.contextmanager
def quiet(
    *, stdout: bool = True, stderr: bool = True, native: bool = True
) -> Iterator[Callable[[], str]]:
    """Keep output and warnings from the screen.

    Args:
        stdout: hold back standard output.
        stderr: hold back standard error.
        native: also what is written to the file descriptors, by C++ or by child processes. Then
            other threads of this process are silenced as well.

    Yields:
        A function that returns the text held back so far.
    """
    chosen = {"stdout": stdout, "stderr": stderr}
    streams = {name: getattr(sys, name) for name, wanted in chosen.items() if wanted}
    numbers = [("stdout", "stderr").index(name) + 1 for name in streams] if native else []
    _flush(streams.values())
    kept = [os.dup(number) for number in numbers]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as file,
        contextlib.ExitStack() as stack,
    ):

        def held_back() -> str:
            _flush([*streams.values(), file])
            file.seek(0)
            text = file.read()
            file.seek(0, os.SEEK_END)
            return text

        try:
            for number in numbers:
                os.dup2(file.fileno(), number)
            for name, stream in streams.items():
                if not (native and _writes_to_descriptor(stream)):
                    stack.enter_context(REDIRECT[name](file))
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            yield held_back
        finally:
            _flush(streams.values())
            for number, copy in zip(numbers, kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)


def _flush(streams: Iterable[TextIO]) -> None:
    for stream in streams:
        stream.flush()


def _writes_to_descriptor(stream: TextIO) -> bool:
    """Whether a stream is the process's own, which redirecting its descriptor silences too."""
    try:
        return stream.fileno() in (1, 2)
    except (OSError, ValueError, AttributeError):  # replaced, by a notebook for instance
        return False


@contextlib.contextmanager
def quietly(failure: str) -> Iterator[None]:
    """Run other packages' code in silence; report a failure in one line.

    Args:
        failure: start of the error message; the last line of the foreign message follows.

    Raises:
        UserError: the code failed; an ``OSError`` (no space, no permission) passes unchanged.
    """
    with quiet() as held_back:
        try:
            yield
        except (UserError, OSError):
            raise
        except Exception as error:
            line = last_line(str(error)) or last_line(held_back()) or type(error).__name__
            raise UserError(f"{failure}: {line}") from error


def last_line(text: str) -> str:
    """Last line that holds a letter, with its white space joined, cut to ``LONGEST``."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return next((line[:LONGEST] for line in reversed(lines) if any(map(str.isalpha, line))), "")

"""Run what others wrote without what it prints, from C++ too."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator

from emorec_tf.errors import UserError

LONGEST = 200  # characters of a foreign message that are passed on


@contextlib.contextmanager
def quiet() -> Iterator[Callable[[], str]]:
    """Keep standard output, standard error and warnings from the screen.

    Yields:
        A function that gives what was held back so far.
    """
    streams = sys.stdout, sys.stderr
    for stream in streams:
        stream.flush()
    kept = [os.dup(number) for number in (1, 2)]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as file:

        def held_back() -> str:
            file.flush()
            file.seek(0)
            text = file.read()
            file.seek(0, os.SEEK_END)
            return text

        try:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
            with (
                contextlib.redirect_stdout(file),
                contextlib.redirect_stderr(file),
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("ignore")
                yield held_back
        finally:
            for stream in streams:
                stream.flush()
            for number, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)


@contextlib.contextmanager
def quietly(failure: str) -> Iterator[None]:
    """Let foreign code work in silence; where it fails, say so in one line.

    Args:
        failure: what to say; the last line of the foreign message follows.

    Raises:
        UserError: anything failed but for want of space or rights, which stays an OSError.
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
    """Last line that says something, its white space joined, not too long."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return next((line[:LONGEST] for line in reversed(lines) if any(map(str.isalpha, line))), "")

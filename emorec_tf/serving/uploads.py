"""Writes a request's body to a temporary file, limited in size while it is read."""

from __future__ import annotations

import asyncio
import math
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from emorec_tf.serving.job_queue import GoneError

FORM_BYTES = 64 * 1024  # of a form besides the clip
MOST_FIELDS = 4
NAME_LENGTH = 120
DRAIN_SECONDS = 10.0  # a refused body is read this long, so that its sender sees the answer


class RefusedError(Exception):
    """An upload that cannot be taken: the status, and one line for the sender."""

    def __init__(self, status: int, line: str) -> None:
        """Keep both."""
        super().__init__(line)
        self.status, self.line = status, line


@dataclass(frozen=True)
class Upload:
    """A clip on disk, its sender's name for it, and how it is to be answered.

    That is the probability below which to abstain, and which people; None: as the server does.
    """

    path: Path
    name: str
    abstain_below: float
    people: str | None = None


class Body:
    """The body of a request, counted while it is read."""

    def __init__(self, request: Request, most_bytes: int) -> None:
        """Start with nothing read."""
        self.request, self.most_bytes = request, most_bytes
        self.left, self.ended, self.tail = most_bytes + FORM_BYTES, False, b""

    async def receive(self) -> Message:
        """Give the next piece.

        Raises:
            RefusedError: it is one too many, or the last of a form that is cut short.
        """
        message = await self.request.receive()
        self.left -= len(message.get("body", b""))
        self.ended = not message.get("more_body", False)
        self.tail = (self.tail + message.get("body", b""))[-8:]
        if self.left < 0:
            raise too_large(self.most_bytes)
        if self.ended and not self.tail.rstrip().endswith(b"--"):
            raise RefusedError(400, "the form was cut short")
        return message

    async def drain(self) -> None:
        """Read the rest of a refused body, within bounds, so that its sender gets the reason."""
        self.left = self.most_bytes + FORM_BYTES
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while not self.ended:
                    await self.receive()
        except (TimeoutError, RefusedError):
            return


@asynccontextmanager
async def received(body: Body, limit_seconds: float) -> AsyncIterator[Upload]:
    """Take the form of a request; the clip lies in a folder that is removed in the end.

    Raises:
        RefusedError: no form with a clip, an empty or too large one, a wrong value, or it comes
            too slowly.
        GoneError: the sender has left.
    """
    headers = body.request.headers
    if int_of(headers.get("content-length")) > body.left:
        raise too_large(body.most_bytes)
    if not headers.get("content-type", "").startswith("multipart/form-data"):
        raise RefusedError(415, "send a form (multipart/form-data) with the file in its field clip")
    try:
        async with asyncio.timeout(limit_seconds):
            form = await Request(body.request.scope, body.receive).form(
                max_files=1, max_fields=MOST_FIELDS, max_part_size=FORM_BYTES
            )
    except (HTTPException, MultiPartException) as error:
        reason = " ".join(str(getattr(error, "detail", None) or error).split())
        raise RefusedError(400, f"the form cannot be read ({reason})") from error
    except TimeoutError as error:
        raise RefusedError(408, f"the clip did not come within {limit_seconds:g} s") from error
    except ClientDisconnect as error:
        raise GoneError from error
    with TemporaryDirectory(prefix="emorec-serve-") as folder:
        try:
            clip = form.get("clip")
            if clip is None or isinstance(clip, str):
                raise RefusedError(400, "the form's field clip holds no file")
            if not clip.size:
                raise RefusedError(400, "the clip is empty (0 bytes)")
            threshold = number(form.get("abstain_below", "0"))
            people = choice(form.get("people"))
            path = Path(folder) / "clip"
            await asyncio.to_thread(keep, clip.file, path)
            upload = Upload(path, display_name(clip.filename), threshold, people)
        finally:
            await form.close()
        yield upload


def too_large(most_bytes: int) -> RefusedError:
    """Say how large a clip may be."""
    return RefusedError(413, f"the clip is larger than {most_bytes / 1e6:g} MB")


def int_of(text: str | None) -> int:
    """Read a length from a header; 0 where there is none."""
    return int(text) if text and text.isdecimal() else 0


def number(text: Any) -> float:
    """Read the probability below which to abstain.

    Raises:
        RefusedError: it is no number from 0 to 1.
    """
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not 0 <= value <= 1:
        raise RefusedError(400, "abstain_below is no number from 0 to 1")
    return value


def choice(text: Any) -> str | None:
    """Read which people are answered; None: the form does not say.

    Raises:
        RefusedError: it is neither main nor all.
    """
    if text not in (None, "main", "all"):
        raise RefusedError(400, "people is neither main nor all")
    return None if text is None else str(text)


def display_name(name: str | None) -> str:
    """Printable form of a sender's file name; it is never used as a path."""
    last = PurePosixPath((name or "").replace("\\", "/")).name
    return "".join(c for c in last if c.isprintable())[:NAME_LENGTH] or "clip"


def keep(source: Any, path: Path) -> None:
    """Write an upload to disk."""
    with path.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)

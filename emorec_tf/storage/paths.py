"""Paths: a local file or folder, or a URL such as ``s3://bucket/records``.

``place`` returns a ``pathlib.Path`` for a local path and a ``Remote`` for a URL, which is a path
too and has the methods that this package uses, through ``tf.io.gfile``: code that reads and writes
need not know which it is. Three things differ, and each has a function here:

- an object appears when its upload is complete, so ``write_bytes`` is atomic without a rename;
- libraries that open files themselves (FFmpeg, Keras) get a temporary ``local_copy``;
- there are no locks. Two processes that prepare the same records at once write the same bytes under
  the same names, and the manifest is written last; other records are never replaced without
  ``--overwrite``. Two processes that train one run at once corrupt it.
"""

from __future__ import annotations

import contextlib
import errno
import io
import posixpath
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path, PosixPath
from typing import Any, TypeVar

from emorec_tf.errors import SetupError, UserError
from emorec_tf.storage import object_store

PAUSES_SECONDS = (1.0, 4.0)  # between retries of transient errors
LARGEST_COPY_BYTES = 16 * 2**30
Result = TypeVar("Result")


def place(text: str | Path) -> Path:
    """Path of a file or folder, local or at a URL."""
    return Remote(text) if isinstance(text, Remote) or "://" in str(text) else Path(text)


class Remote(PosixPath):
    """A URL of object storage that behaves like a path. Folders are mere prefixes."""

    def __str__(self) -> str:
        """Return the URL; a path has lost the second slash."""
        scheme, _, rest = posixpath.normpath(super().__str__()).partition(":/")
        return f"{scheme}://{rest.lstrip('/')}"

    def _ask(self, question: Callable[[Any, str], Result]) -> Result:
        """Ask the storage, with retries of transient errors; its errors become those of a path."""
        scheme, _, rest = str(self).partition("://")
        files = object_store.ready(scheme, rest.split("/")[0])
        from tensorflow import errors

        transient = (errors.UnavailableError, errors.DeadlineExceededError, errors.AbortedError)
        for pause in (*PAUSES_SECONDS, None):
            try:
                return question(files, str(self))
            except errors.NotFoundError as error:
                raise FileNotFoundError(errno.ENOENT, _line(error), str(self)) from error
            except errors.PermissionDeniedError as error:
                raise PermissionError(errno.EACCES, "Permission denied", str(self)) from error
            except (*transient, errors.UnknownError, errors.InternalError) as error:
                if pause is None:
                    raise SetupError(f"{self}: {_line(error)}; repeat the command") from error
                time.sleep(pause)
            except errors.OpError as error:
                raise SetupError(f"{self}: {_line(error)}") from error
        raise AssertionError("unreachable")

    def exists(self, **_: Any) -> bool:
        """Whether it is an object or a folder."""
        return self._ask(lambda files, url: files.exists(url)) or self.is_dir()

    def is_dir(self) -> bool:
        """Whether there are objects below it, or it is a bucket."""
        url = str(self).rstrip("/") + "/"
        return self._ask(lambda files, _: files.isdir(url))

    def is_file(self) -> bool:
        """Whether it is an object."""
        return self._ask(lambda files, url: files.exists(url) and not files.isdir(url))

    def size(self) -> int:
        """Bytes of the object."""
        return int(self._ask(lambda files, url: files.stat(url).length))

    def iterdir(self) -> Generator[Remote, None, None]:
        """Entries directly below, sorted."""
        url = str(self).rstrip("/") + "/"
        names = self._ask(lambda files, _: files.listdir(url))
        yield from (self / name.rstrip("/") for name in sorted(names))

    def glob(self, pattern: str) -> Generator[Remote, None, None]:
        """Matches below, sorted."""
        found = self._ask(lambda files, url: files.glob(f"{url.rstrip('/')}/{pattern}"))
        yield from map(Remote, sorted(found))

    def open(self, mode: str = "r", *_: Any, **text: Any) -> Any:
        """Open for reading; the whole object is downloaded."""
        if mode not in ("r", "rb"):
            raise UserError(f"{self}: can only be written whole, by write_bytes")
        data = io.BytesIO(self._ask(lambda files, url: files.GFile(url, "rb").read()))
        if mode == "rb":
            return data
        known = {k: v for k, v in text.items() if k in ("encoding", "errors", "newline")}
        return io.TextIOWrapper(data, **{"encoding": "utf-8", **known})

    def read_bytes(self) -> bytes:
        """Download the object."""
        return bytes(self.open("rb").read())

    def write_bytes(self, data: Any) -> int:
        """Upload the object; it appears, or is replaced, once it is complete."""

        def upload(files: Any, url: str) -> int:
            with files.GFile(url, "wb") as file:
                file.write(bytes(data))
            return len(data)

        return self._ask(upload)

    def write_text(self, data: str, *_: Any, **__: Any) -> int:
        """Upload text in UTF-8."""
        return self.write_bytes(data.encode())

    def mkdir(self, *_: Any, **__: Any) -> None:
        """Do nothing: a folder exists once it holds an object."""

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the object."""
        try:
            self._ask(lambda files, url: files.remove(url))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def resolve(self, *_: Any, **__: Any) -> Remote:
        """Return itself: a URL is absolute."""
        return self

    absolute = resolve
    expanduser = resolve


def _line(error: Any) -> str:
    return " ".join(str(error.message).split())[:160]


def size_of(path: Path) -> int:
    """Bytes of a file."""
    return path.size() if isinstance(path, Remote) else path.stat().st_size


def remove_tree(folder: Path) -> None:
    """Remove a folder with everything in it, if it exists."""
    if not isinstance(folder, Remote):
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.is_dir():
        folder._ask(lambda files, url: files.rmtree(url))


@contextlib.contextmanager
def replacing(path: Path, name: str = "") -> Iterator[Path]:
    """Yield a temporary name beside a local file; at the end it is renamed to ``path``.

    Whatever fails or interrupts the writing, the temporary file is removed.

    Args:
        path: what is made or replaced.
        name: of the temporary file; "": the file's own with ``.tmp``.
    """
    temporary = path.with_name(name or f"{path.name}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def copy(source: Path, target: Path) -> None:
    """Copy a file; under its final name it is complete or absent."""
    if isinstance(source, Remote) and isinstance(target, Remote):
        source._ask(lambda files, url: files.copy(url, str(target), overwrite=True))
    elif isinstance(target, Remote):
        target._ask(lambda files, url: files.copy(str(source), url, overwrite=True))
    else:
        with replacing(target) as temporary:
            if isinstance(source, Remote):
                source._ask(lambda files, url: files.copy(url, str(temporary), overwrite=True))
            else:
                shutil.copyfile(source, temporary)


@contextlib.contextmanager
def local_copy(path: Path) -> Iterator[Path]:
    """Yield a local file: the path itself, or a temporary copy with the same name.

    Raises:
        UserError: too large to be copied.
    """
    if not isinstance(path, Remote):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="emorec-") as folder:
        if path.is_file():  # else opening the copy fails
            size = path.size()
            if size > LARGEST_COPY_BYTES:
                raise UserError(f"{path}: {size} bytes are too many to download; cut the file")
            copy(path, Path(folder, path.name))
        yield Path(folder, path.name)


@contextlib.contextmanager
def local_draft(path: Path, name: str) -> Iterator[Path]:
    """Yield a local name to write to; at the end the complete file becomes ``path``."""
    if not isinstance(path, Remote):
        with replacing(path, name) as temporary:
            yield temporary
        return
    with tempfile.TemporaryDirectory(prefix="emorec-") as folder:
        yield Path(folder, name)
        copy(Path(folder, name), path)

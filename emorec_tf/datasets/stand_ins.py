"""Files that only stand for a recording: pointers of git-lfs, and links whose target is missing."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from emorec_tf.config.clip import Clip
from emorec_tf.errors import UserError
from emorec_tf.storage.paths import Remote, place

LFS_POINTER = b"version https://git-lfs"
LARGEST_POINTER_BYTES = 1024


def is_pointer(path: Path) -> bool:
    """Whether a file is a text that git-lfs replaces by the file's content."""
    if path.stat().st_size > LARGEST_POINTER_BYTES:
        return False
    with path.open("rb") as file:
        return file.read(len(LFS_POINTER)) == LFS_POINTER


def check(clips: Iterable[Clip]) -> None:
    """Refuse a corpus of which files are not there but stand-ins.

    Raises:
        UserError: naming how many, and the first, with the command that fetches them.
    """
    names = dict.fromkeys(chain.from_iterable((c.video, c.audio) for c in clips))
    local = [path for path in (place(n) for n in names if n) if not isinstance(path, Remote)]
    broken = [path for path in local if path.is_symlink() and not path.exists()]
    pointers = [path for path in local if path.is_file() and is_pointer(path)]
    for found, what, command in (
        (pointers, "git-lfs pointers, not recordings", "run 'git lfs pull' in the corpus"),
        (broken, "links to nothing", "fetch what they point to ('git annex get .' where it is)"),
    ):
        if found:
            raise UserError(
                f"{len(found)} of {len(local)} files are {what}, such as {found[0]}; {command}, or "
                "leave them out by --allow_refused"
            )

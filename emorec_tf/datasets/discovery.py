"""Find media files below a folder and join those of one clip. Nothing is decoded."""

from __future__ import annotations

import errno
import functools
import logging
import os
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from emorec_tf.config.clip import MODALITIES, Clip
from emorec_tf.errors import UserError
from emorec_tf.storage.paths import Remote, place

# What predict, folders and tables take: the usual endings of all that ``media.container`` reads.
# The order is the preference where a clip has several formats: lossless audio first.
# fmt: off
AUDIO_SUFFIXES = (
    ".wav", ".flac", ".opus", ".ogg", ".m4a", ".aac", ".mp3",
    ".aiff", ".aif", ".aifc", ".au", ".snd", ".caf", ".w64",
    ".oga", ".mka", ".weba", ".m4b", ".wma", ".mp2", ".ac3", ".amr",
)
VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".mkv", ".avi", ".m4v", ".webm", ".flv", ".mpg",
    ".mpeg", ".mpe", ".vob", ".ts", ".mts", ".m2ts", ".m2t", ".wmv", ".asf", ".3gp", ".3g2", ".ogv",
    ".qt", ".f4v",
)
IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".heic", ".heif", ".avif",
)
# fmt: on
MEDIA_SUFFIXES = frozenset(AUDIO_SUFFIXES + VIDEO_SUFFIXES)
TABLE_SUFFIXES = (".csv", ".txt")
NOTE_SUFFIXES = (".tsv", ".json", ".md", ".yaml", ".yml")
ARCHIVE_SUFFIXES = frozenset((".zip", ".7z", ".rar", ".tar", ".tgz", ".gz", ".bz2", ".xz"))
OF_MACOS = ("._", ".DS_Store", "__MACOSX")
SHOWN = 6  # endings in a line
_LOG = logging.getLogger(__name__)


def files_below(source: str) -> list[str]:
    """Return the paths (relative, with "/", sorted) of all files below ``source``.

    Links to folders are followed, each folder is read once. Hidden files and folders, and the
    "__MACOSX" copies of unpacked archives, are skipped; what macOS left is counted in a log line.

    Raises:
        UserError: If ``source`` is not a folder, or a folder below it cannot be listed.
    """
    root = place(source)
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        if root.exists() and suffix_of(source) in ARCHIVE_SUFFIXES:
            what = "is an archive that was not unpacked; unpack it"
        raise UserError(f"source {source!r} {what}; give the folder that holds the corpus")
    if isinstance(root, Remote):
        return sorted(_objects_below(root))
    return sorted(_local_files_below(source))


def _local_files_below(source: str) -> Iterator[str]:
    root = os.path.realpath(source)
    seen: set[str] = set()
    folders, links = deque([""]), deque[str]()  # links later: a folder is named by its own path
    again, of_macos = [], []
    while folders or links:
        prefix = (folders or links).popleft()
        folder = Path(source, prefix)
        real = os.path.realpath(folder)
        if real in seen or root.startswith(real.rstrip(os.sep) + os.sep):
            again.append(prefix)
            continue
        seen.add(real)
        for entry in _listed(folder):
            if entry.name[0] == "." or entry.name == "__MACOSX":
                if entry.name.startswith(OF_MACOS):
                    of_macos.append(prefix + entry.name)
                continue
            if not _is_folder(entry):
                yield prefix + entry.name
            else:
                (links if entry.is_symlink() else folders).append(f"{prefix}{entry.name}/")
    if of_macos:
        _note_macos(source, len(of_macos), min(of_macos))
    if again:
        _LOG.warning(
            "left out %d links to folders that are read already, such as %s", len(again), again[0]
        )


@functools.cache  # once, however often a folder is searched
def _note_macos(source: str, count: int, first: str) -> None:
    _LOG.warning("skipped %d leftovers of macOS below %s, such as %s", count, source, first)


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be listed ({error.strerror}); make it readable or move it away"
        ) from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or a link to one; a link to itself is neither."""
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return False
        raise UserError(
            f"{entry.path}: cannot be read ({error.strerror}); make it readable or move it away"
        ) from error


def _objects_below(folder: Remote, prefix: str = "") -> Iterator[str]:
    """Walk object storage, where asking whether a name is a folder costs a request."""
    for entry in folder.iterdir():
        name = entry.name
        if name[0] == "." or name == "__MACOSX":
            continue
        if (
            is_media(name)
            or is_image(name)
            or suffix_of(name) in TABLE_SUFFIXES
            or not entry.is_dir()
        ):
            yield prefix + name
        else:
            yield from _objects_below(entry, f"{prefix}{name}/")


def is_media(path: str) -> bool:
    """Whether the name has the suffix of an audio or a video file."""
    return suffix_of(path) in MEDIA_SUFFIXES


def is_image(path: str) -> bool:
    """Whether the name has the suffix of an image."""
    return suffix_of(path) in IMAGE_SUFFIXES


def suffix_of(path: str) -> str:
    """Suffix of a name in lower case."""
    return PurePosixPath(path).suffix.lower()


def usable(files: Sequence[str]) -> list[str]:
    """Audio and video among the files of a folder; images only if it holds neither.

    Beside audio and video, images are covers and posters.
    """
    return [p for p in files if is_media(p)] or [p for p in files if is_image(p)]


def by_ending(files: Sequence[str]) -> str:
    """Count files by ending, with an example of each: ``3 .pdf (such as a.pdf)``."""
    examples: dict[str, list[str]] = defaultdict(list)
    for path in files:
        examples[suffix_of(path) or "without ending"].append(path)
    most = sorted(examples.items(), key=lambda item: (-len(item[1]), item[0]))
    parts = [f"{len(paths)} {ending} (such as {paths[0]})" for ending, paths in most[:SHOWN]]
    more = sum(len(paths) for _, paths in most[SHOWN:])
    return ", ".join(parts) + (f" and {more} more" if more else "")


def log_left_out(files: Sequence[str], why: str) -> None:
    """Count and name the files of a corpus folder that are not read, but for tables and notes."""
    others = [path for path in files if suffix_of(path) not in TABLE_SUFFIXES + NOTE_SUFFIXES]
    if others:
        _LOG.warning("left out %d files %s: %s", len(others), why, by_ending(others))


def instead(files: Sequence[str]) -> str:
    """Say, for an error, what a folder holds in place of clips, and the way out of archives."""
    return archives(files) or (f"; it holds {by_ending(files)}" if files else "")


def archives(files: Sequence[str]) -> str:
    """Say, for an error, that a folder holds archives; "" where it holds none."""
    packed = [path for path in files if suffix_of(path) in ARCHIVE_SUFFIXES]
    if not packed:
        return ""
    some = f"{len(packed)} archives, such as {packed[0]}" if packed[1:] else packed[0]
    return f"; it holds {some}, not unpacked: unpack it"


def found(names: Sequence[str]) -> list[str]:
    """Files to predict: named files as they are, folders searched for media.

    Images in a folder count only if it holds neither audio nor video.

    Raises:
        UserError: nothing named, or a folder without media.
    """
    if not names:
        raise UserError("name at least one clip or folder")
    paths: list[str] = []
    for name in names:
        if not place(name).is_dir():
            paths.append(name)
            continue
        files = files_below(name)
        inside = usable(files)
        if not inside:
            raise UserError(
                f"no clip in folder {name}; it holds no media file (.mp4, .wav, ...)"
                f"{instead(files)}"
            )
        paths += [str(place(name) / p) for p in sorted(inside)]
    return paths


def _rank(path: str, modality: str, role: str) -> tuple[int, int] | None:
    """Return how well a file serves as "video" or "audio" (lowest is best); None: not at all."""
    if modality == {"video": "audio_only", "audio": "video_only"}[role]:
        return None
    preference = MODALITIES.index(modality) if modality else 0
    seen, heard = VIDEO_SUFFIXES + IMAGE_SUFFIXES, AUDIO_SUFFIXES + VIDEO_SUFFIXES
    suffixes = seen if role == "video" else heard
    suffix = suffix_of(path)
    return (preference, suffixes.index(suffix)) if suffix in suffixes else None


def join(found: Iterable[tuple[Clip, str, str]]) -> list[Clip]:
    """Join files to clips by clip id; return the clips sorted by it.

    Args:
        found: What one file's name or row says, as (clip without files, file, modality), where
            modality is one of ``MODALITIES``, or "" (by suffix).

    Raises:
        UserError: If two files have the same id and format, or if one id has different labels.
    """
    labels: dict[str, tuple[Clip, str]] = {}
    files: dict[str, dict[str, dict[tuple[int, int], str]]] = defaultdict(
        lambda: {"video": {}, "audio": {}}
    )
    for clip, path, modality in found:
        first, first_path = labels.setdefault(clip.clip_id, (clip, path))
        if first != clip:
            raise UserError(
                f"{path} and {first_path} are one clip with different labels; correct one"
            )
        for role, taken in files[clip.clip_id].items():
            rank = _rank(path, modality, role)
            if rank in taken:
                raise UserError(
                    f"clip {clip.clip_id!r} occurs twice: {taken[rank]} and {path}; remove one,"
                    " or give the subfolder that holds one copy"
                )
            if rank is not None:
                taken[rank] = path
    return [_with_files(labels[clip_id][0], **files[clip_id]) for clip_id in sorted(labels)]


def _with_files(
    clip: Clip, video: dict[tuple[int, int], str], audio: dict[tuple[int, int], str]
) -> Clip:
    return replace(
        clip,
        video=video[min(video)] if video else None,
        audio=audio[min(audio)] if audio else None,
    )

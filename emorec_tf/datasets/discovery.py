"""Find media files below a folder and join those of one clip. Nothing is decoded."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from emorec_tf.config.clip import MODALITIES, Clip
from emorec_tf.errors import UserError
from emorec_tf.storage.paths import Remote, place

# The order is the preference where a clip has several formats: lossless audio first.
AUDIO_SUFFIXES = (".wav", ".flac", ".opus", ".ogg", ".m4a", ".aac", ".mp3")
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".m4v", ".webm", ".flv", ".mpg")
MEDIA_SUFFIXES = frozenset(AUDIO_SUFFIXES + VIDEO_SUFFIXES)
TABLE_SUFFIXES = (".csv", ".txt")
IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp"))


def files_below(source: str) -> list[str]:
    """Return the paths (relative, with "/", sorted) of all files below ``source``.

    Hidden files and folders, and the "__MACOSX" copies of unpacked archives, are skipped.

    Raises:
        UserError: If ``source`` is not a folder.
    """
    root = place(source)
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise UserError(f"source {source!r} {what}; give the folder that holds the corpus")
    if isinstance(root, Remote):
        return sorted(_objects_below(root))
    found: list[str] = []
    for folder, folders, names in os.walk(source):
        folders[:] = [name for name in folders if name[0] != "." and name != "__MACOSX"]
        below = os.path.relpath(folder, source).replace(os.sep, "/")
        prefix = "" if below == "." else f"{below}/"
        found += [prefix + name for name in names if name[0] != "."]
    return sorted(found)


def _objects_below(folder: Remote, prefix: str = "") -> Iterator[str]:
    """Walk object storage, where asking whether a name is a folder costs a request."""
    for entry in folder.iterdir():
        name = entry.name
        if name[0] == "." or name == "__MACOSX":
            continue
        if is_media(name) or PurePosixPath(name).suffix in TABLE_SUFFIXES or not entry.is_dir():
            yield prefix + name
        else:
            yield from _objects_below(entry, f"{prefix}{name}/")


def is_media(path: str) -> bool:
    """Whether the name has the suffix of an audio or a video file."""
    return PurePosixPath(path).suffix.lower() in MEDIA_SUFFIXES


def found(names: Sequence[str]) -> list[str]:
    """Files to predict: named files as they are, folders searched for media.

    Images in a folder count only if it holds neither audio nor video: beside those they are covers
    and posters.

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
        inside = [p for p in files if is_media(p)]
        inside = inside or [p for p in files if PurePosixPath(p).suffix.lower() in IMAGE_SUFFIXES]
        if not inside:
            raise UserError(f"no clip in folder {name}; it holds no media file (.mp4, .wav, ...)")
        paths += [str(place(name) / p) for p in sorted(inside)]
    return paths


def _rank(path: str, modality: str, role: str) -> tuple[int, int] | None:
    """Return how well a file serves as "video" or "audio" (lowest is best); None: not at all."""
    if modality == {"video": "audio_only", "audio": "video_only"}[role]:
        return None
    preference = MODALITIES.index(modality) if modality else 0
    suffixes = VIDEO_SUFFIXES if role == "video" else AUDIO_SUFFIXES + VIDEO_SUFFIXES
    suffix = PurePosixPath(path).suffix.lower()
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

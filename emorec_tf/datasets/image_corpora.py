"""Corpora of single images whose people are not identified: folders by class, and FER-2013.

The subsets of the corpus's own split (``PARTS``) stand for the speakers: nothing better is known,
and so no image of one subset is ever used in another. Where a subset is missing, an eighth of the
training images becomes it, chosen by the hash of their names.
"""

from __future__ import annotations

import csv
import hashlib
import logging
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from emorec_tf.config.clip import Clip
from emorec_tf.datasets.corpus import Reading
from emorec_tf.datasets.discovery import files_below, is_image, join, log_left_out
from emorec_tf.datasets.emotion_names import emotion_named
from emorec_tf.datasets.own_labels import label_at, with_classes
from emorec_tf.datasets.speakers import looks_like_split, subset_named
from emorec_tf.errors import UserError
from emorec_tf.storage.cache_dir import cache_folder
from emorec_tf.storage.paths import Remote, place

if TYPE_CHECKING:
    import numpy as np

PARTS = TRAIN, VALIDATION, TEST = "train", "validation", "test"
PART_NAMES = {  # as folders and FER-2013's column Usage are called
    "train": TRAIN, "training": TRAIN,
    "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION, "dev": VALIDATION,
    "publictest": VALIDATION,
    "test": TEST, "testing": TEST, "privatetest": TEST,
}  # fmt: skip
CROPPED: Mapping[str, str] = {"framing": "cropped"}
SHARE = 8  # one in so many training images becomes a missing subset
FER_CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
FER_PIXELS = 48
FER_FORMS = "<train|validation|test>/<emotion>/<image>, or fer2013.csv (emotion,pixels,Usage)"
FORMS = "<emotion>/<image> or <train|validation|test>/<emotion>/<image>"
# what a damaged table raises
_DAMAGE = (ValueError, LookupError, AttributeError, TypeError, OverflowError, csv.Error, OSError)
_LOG = logging.getLogger(__name__)


def read_images(reading: Reading) -> list[Clip]:
    """Read images in folders by class, whose faces are to be detected.

    Raises:
        UserError: no images, or folders of another form.
    """
    return _by_folders(reading.source, {}, reading)


def read_faces(reading: Reading) -> list[Clip]:
    """Read images in folders by class, each of which is a face that is cut out already.

    Raises:
        UserError: no images, or folders of another form.
    """
    return _by_folders(reading.source, CROPPED, reading)


def read_fer2013(reading: Reading) -> list[Clip]:
    """Read FER-2013 by its folders, or by its CSV, whose images are first written to the cache.

    Raises:
        UserError: neither is there, or a damaged row.
    """
    source = reading.source
    root = place(source)
    tables = [root]
    if root.is_dir():
        names = [p for p in files_below(source) if p.lower().endswith(".csv")]
        tables = [root / n for n in names] if len(names) == 1 else []
        if any(is_image(path) for path in files_below(source)):
            tables = []
    if tables and tables[0].is_file():
        if isinstance(tables[0], Remote):
            raise UserError(f"{tables[0]}: give a copy of the CSV on this machine")
        return _by_folders(str(unpacked(tables[0])), CROPPED)
    return _by_folders(source, CROPPED, forms=FER_FORMS)


def _by_folders(
    source: str, traits: Mapping[str, str], own: Reading | None = None, forms: str = FORMS
) -> list[Clip]:
    """Read images in folders by class; where ``own`` says how, any folder is a class."""
    files = files_below(source)
    images = [path for path in files if is_image(path)]
    if not images:
        raise UserError(f"no image below {source}; use {forms}")
    log_left_out(sorted(set(files) - set(images)), "that are no images")
    part_of = _parts(images)
    found = []
    for path in images:
        where, names = str(place(source) / path), path.split("/")
        if len(names) < 2:
            raise UserError(f"{where}: the emotion is not in the path; use {forms}")
        clip = Clip(
            clip_id=PurePosixPath(path).with_suffix("").as_posix(),
            speaker=part_of[path],
            emotion=_label(names[-2], where, own),
            traits=dict(traits),
        )
        found.append((clip, where, ""))
    counts = Counter(part_of.values())
    listed = ", ".join(f"{part} {counts[part]}" for part in PARTS)
    _LOG.warning("people are not identified; in place of speakers there are %s images", listed)
    return join(with_classes(found, own.declared) if own else found)


def _label(folder: str, where: str, own: Reading | None) -> str:
    if own is None:
        return emotion_named(folder, where)
    if looks_like_split(folder):
        raise UserError(f"{where}: {folder} looks like a split, not an emotion; use {FORMS}")
    return label_at(folder, where, own.declared)


def _parts(images: Sequence[str]) -> dict[str, str]:
    """Return {path: subset}, by the folder above that of the class, else by hash."""
    named = {path: _part_named(_folder_above(path)) for path in images}
    without = [path for path, part in named.items() if not part]
    if without and len(without) < len(images):
        raise UserError(
            f"{len(without)} of {len(images)} images are in no folder train, validation or test, "
            f"such as {without[0]}; move them into one"
        )
    found = {path: part or TRAIN for path, part in named.items()}
    missing = [part for part in (VALIDATION, TEST) if part not in found.values()]
    drawn = {
        path: missing[number]
        for path, part in found.items()
        if part == TRAIN and (number := _number(path)) < len(missing)
    }
    for part in missing:
        count = sum(p == part for p in drawn.values())
        _LOG.warning("no folder %s: %d training images become it", part, count)
    return found | drawn


def _folder_above(path: str) -> str:
    names = path.split("/")
    return names[-3] if len(names) > 2 else ""


def _part_named(folder: str) -> str:
    """Subset that a folder is, "" for another folder.

    Raises:
        UserError: it is a subset, but it is not known which one.
    """
    part = PART_NAMES.get(folder.lower()) or subset_named(folder)
    if not part and looks_like_split(folder):
        raise UserError(
            f"{folder} looks like a subset of a split; call it train, validation or test"
        )
    return part


def _number(path: str) -> int:
    """A number from 0 to ``SHARE`` - 1 that depends on the path alone."""
    return int(hashlib.sha256(path.encode()).hexdigest()[:8], 16) % SHARE


def unpacked(table: Path) -> Path:
    """Write the images of FER-2013's CSV as PNG into a folder of the cache, once.

    Args:
        table: with the columns emotion (0 to 6), pixels (2,304 numbers of 0 to 255) and Usage.

    Returns:
        The folder, with ``<train|validation|test>/<emotion>/<row>.png``.

    Raises:
        UserError: another table, or a damaged row.
    """
    import cv2

    with table.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    folder = cache_folder("fer2013", digest[:16])
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpacking-") as draft:
        for number, part, emotion, pixels in _rows(table):
            place_of = Path(draft, "images", part, emotion)
            place_of.mkdir(parents=True, exist_ok=True)
            (place_of / f"{number:05d}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
        try:
            Path(draft, "images").rename(folder)
        except OSError:  # another process was faster; its images are the same
            if not folder.is_dir():
                raise
    return folder


def _rows(table: Path) -> Iterator[tuple[int, str, str, np.ndarray]]:
    """Yield the number, subset, emotion and image uint8 [48, 48] of each row."""
    import numpy as np

    number = 0
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
            if missing := {"emotion", "pixels", "usage"} - set(reader.fieldnames):
                raise ValueError(f"no column {', '.join(sorted(missing))}")
            for number, row in enumerate(reader, start=1):
                values = np.array(row["pixels"].split(), int).reshape(FER_PIXELS, FER_PIXELS)
                if values.min() < 0 or values.max() > 255:
                    raise ValueError("a pixel is not from 0 to 255")
                emotion = dict(enumerate(FER_CLASSES))[int(row["emotion"])]
                part = PART_NAMES[row["usage"].strip().lower()]
                yield number, part, emotion, values.astype(np.uint8)
            if not number:
                raise ValueError("it has no rows")
    except _DAMAGE as error:
        where = f"row {number}: " if number else ""
        raise UserError(
            f"{table}: cannot be read as FER-2013's CSV ({where}"
            f"{' '.join(str(error).split())[:160]}); use {FER_FORMS}"
        ) from error

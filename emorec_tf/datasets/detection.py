"""Which corpus a folder holds, by the names of its files alone."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from emorec_tf.datasets.corpora import DATASETS
from emorec_tf.datasets.corpus import Corpus, matched
from emorec_tf.datasets.discovery import files_below, is_image, usable
from emorec_tf.datasets.own_clips import table_among
from emorec_tf.datasets.speakers import looks_like_split
from emorec_tf.storage.paths import place

OWN, IMAGES = "folder", "image_folder"
_LOG = logging.getLogger(__name__)
SHARE = 0.5  # of the files must be named like a corpus's


@dataclass(frozen=True)
class Kind:
    """What a source is read as.

    Attributes:
        dataset: name of a corpus in ``corpora.DATASETS``.
        why: what shows it, such as "24 of 24 files".
    """

    dataset: str
    why: str


def kind_of(source: str) -> Kind:
    """Find out which corpus a folder, or a table of own clips, holds; nothing is decoded.

    A table ``labels.csv`` or ``clips.csv`` of one's own goes before the names of the files. More
    than half of the audio and video files (or images, where there are no others) must be named like
    those of a corpus.

    Raises:
        UserError: no such folder.
    """
    root = place(source)
    if root.is_file():
        is_fer = root.name.lower() == "fer2013.csv"
        return Kind("fer2013" if is_fer else OWN, f"the table {root.name}")
    files = files_below(source)
    if table := table_among(source, files):
        return Kind(OWN, f"the table {table}")
    inside = usable(files)
    # the folder's own name counts too: SAVEE's speaker is one
    whole = root.resolve().as_posix()
    counts = {
        name: sum(_is_of(corpus, f"{whole}/{path}") for path in inside)
        for name, corpus in DATASETS.items()
    }
    best = max(counts, key=lambda name: counts[name])
    if counts[best] > SHARE * len(inside):
        return Kind(best, f"{counts[best]} of {len(inside)} files")
    if "fer2013.csv" in (path.lower() for path in files):
        return Kind("fer2013", "the table fer2013.csv")
    if inside and all(is_image(path) and not _has_speaker(path) for path in inside):
        return Kind(IMAGES, f"{len(inside)} images")
    return Kind(OWN, f"{len(inside)} files of own names")


def recognised(source: str) -> str:
    """Name of the corpus that a source holds; it is logged.

    Raises:
        UserError: no such folder.
    """
    kind = kind_of(source)
    _LOG.info("%s looks like %s (%s)", source, kind.dataset, kind.why)
    return kind.dataset


def _is_of(corpus: Corpus, path: str) -> bool:
    """Whether a file is named like one of a corpus, with an emotion that the corpus has."""
    stem = PurePosixPath(path).with_suffix("")
    if corpus.own_names:
        return re.fullmatch(corpus.own_names, stem.name) is not None
    groups = matched(corpus, stem.as_posix())
    if groups is None:
        return False
    known = (*corpus.codes, *corpus.unmapped)
    return not corpus.codes or groups.get("emotion") in known


def _has_speaker(path: str) -> bool:
    """Whether a path is <speaker>/<emotion>/<file>."""
    names = path.split("/")
    return len(names) > 2 and not looks_like_split(names[-3])

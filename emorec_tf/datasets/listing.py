"""Clips of one corpus or of several, listed from the folders that hold them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypedDict

from emorec_tf.config.class_names import listed
from emorec_tf.config.clip import MODALITIES, Clip
from emorec_tf.config.fields import nearest
from emorec_tf.datasets import own_labels, stand_ins
from emorec_tf.datasets.corpus import (
    CLIPS,
    NAMED,
    Corpus,
    Reading,
    check_own,
    files_named,
    named_like,
    without_copies,
)
from emorec_tf.datasets.discovery import files_below, instead, join
from emorec_tf.datasets.labels import check_map, common, map_line, mapped, merge_classes
from emorec_tf.datasets.speakers import one_spelling
from emorec_tf.errors import UserError
from emorec_tf.storage.paths import place

_LOG = logging.getLogger(__name__)


class Selection(TypedDict, total=False):
    """Options of ``clips``."""

    classes: str | None
    label_map: str | None
    label: str | None
    modality: str
    channel: str
    allow_missing: bool
    columns: str | None
    speakers: str


def clips(
    corpora: Mapping[str, Corpus],
    dataset: str,
    source: str,
    *,
    classes: str | None = None,
    label_map: str | None = None,
    label: str | None = None,
    modality: str = "auto",
    channel: str = "speech",
    allow_missing: bool = False,
    columns: str | None = None,
    speakers: str = NAMED,
) -> list[Clip]:
    """List the labelled recordings of a corpus below a folder, sorted by their unique clip ids.

    Args:
        corpora: the table of them.
        dataset: a name in ``corpora``, or several joined by "+"; then clip ids, speakers and
            sessions get the prefix "<name>/", and ``classes`` says which emotions are kept.
        source: the folder of the corpus; for several, as many, joined by ",".
        classes: see ``merge_classes``; None: of several corpora the emotions that all have.
        label_map: see ``label_map.parse``; it comes before ``classes``. Of own clips it names
            labels as they are written.
        label: which labels, for a corpus with several kinds (crema-d: intended, perceived).
        modality: which files of a corpus that has several of a clip (ravdess): one of
            ``MODALITIES``, or the corpus's own code; "auto" all of them, joined, those with video
            and audio before the others.
        channel: of a corpus that has several (ravdess): speech, song, or all; where a folder holds
            songs alone, they are read as speech is.
        allow_missing: list clips too whose files a table names but that are not there, or that are
            pointers of git-lfs; ``prepare`` refuses each of them by name.
        columns: names that the columns of a table of own clips have there:
            "emotion=label,speaker=subject".
        speakers: "named", or "clips": each clip counts as its own speaker, so nothing separates
            people, and all scores are LEAKY.

    Speakers whose names differ only in case, blanks, leading zeros or Unicode form become one, with
    a log message; so do own labels, but for zeros.

    Raises:
        UserError: If a name is unknown, the folder is missing or holds no file of the corpus,
            an emotion code is unknown, or two files are the same clip.
    """
    sources = _sources(corpora, dataset, source)
    used = [corpora[name] for name in sources]
    _check_choice("label", label, sources, sum((c.labels for c in used), ()))
    codes = {code: name for c in used for code, name in c.modalities.items()}
    modality = codes.get(modality, modality)
    _check_choice("modality", modality, sources, ("auto", *(MODALITIES if codes else ())))
    channels = dict.fromkeys(name for c in used for name in c.channels)
    _check_choice("channel", channel, sources, (*channels, "all") if channels else ("speech",))
    if speakers == CLIPS and any(c.parts for c in used):
        raise UserError("--speakers clips: people are not identified here anyway; leave it out")
    named = _columns(columns, sources, tuple(dict.fromkeys(n for c in used for n in c.columns)))
    parts = {}
    for name, folder in sources.items():
        reading = Reading(folder, allow_missing, label_map, named, speakers)
        found = _found(corpora, name, reading, modality, channel)
        parts[name] = _finished(name, corpora[name], found, folder, label)
    selected = _selected(parts, label_map, classes)
    if speakers == CLIPS:
        return [replace(clip, speaker=clip.clip_id) for clip in selected]
    return selected


def _selected(
    parts: Mapping[str, list[Clip]], label_map: str | None, classes: str | None
) -> list[Clip]:
    """Map the labels of corpora, join them, and keep the wanted classes."""
    check_map((clip.emotion for part in parts.values() for clip in part), label_map)
    new = {}
    for name, part in parts.items():
        new[name] = mapped(part, label_map)
        if line := map_line(part, label_map):
            _LOG.info("%s: %s", name, line)
    new = own_labels.one_spelling(new)
    joined = common(new, classes) if len(new) > 1 else next(iter(new.values()))
    return merge_classes(joined, classes)


def _sources(corpora: Mapping[str, Corpus], dataset: str, source: str) -> dict[str, str]:
    """Return {corpus: folder}."""
    names = dataset.split("+")
    for name in names:
        if name not in corpora:
            raise UserError(f"unknown dataset {name!r}; {nearest(name, corpora)}")
    folders = source.split(",") if len(names) > 1 else [source]
    if len(folders) != len(names) or len(set(names)) != len(names):
        raise UserError(
            f"dataset {dataset!r} with source {source!r}: give each corpus once and one folder for"
            " each, joined by commas"
        )
    return {
        name: str(place(folder.strip()).expanduser())
        for name, folder in zip(names, folders, strict=True)
    }


def _check_choice(
    option: str, value: str | None, names: Iterable[str], kinds: tuple[str, ...]
) -> None:
    """Refuse a kind of label or of file that none of the corpora has."""
    if value is not None and value not in kinds:
        way_out = (
            nearest(value, kinds) if kinds[1:] else f"{'+'.join(names)} has one kind; leave it out"
        )
        raise UserError(f"unknown {option} {value!r}; {way_out}")


def _columns(text: str | None, names: Iterable[str], known: tuple[str, ...]) -> Mapping[str, str]:
    """Read "emotion=label,speaker=subject" as {column: its name in the table}."""
    if text is None:
        return {}
    if not known:
        raise UserError(f"columns: {'+'.join(names)} is not read from a table of yours; drop it")
    found: dict[str, str] = {}
    for pair in listed(text):
        column, equals, own = (part.strip().lower() for part in pair.partition("="))
        if not equals or not own:
            raise UserError(f"columns: {pair!r} is no pair; write emotion=label,speaker=subject")
        if column not in known or column in found:
            what = f"{column} is named twice" if column in found else nearest(column, known)
            raise UserError(f"columns: {pair!r}: {what}")
        found[column] = own
    return found


def _found(
    corpora: Mapping[str, Corpus], name: str, reading: Reading, modality: str, channel: str
) -> list[Clip]:
    """Clips of the files of a corpus, of the wanted channel."""
    corpus, source = corpora[name], reading.source
    if corpus.read is not None:
        try:
            found = corpus.read(reading)
        except UserError as error:
            raise UserError(f"{error}{named_like(corpora, source)}") from error
        if not corpus.emotions:
            check_own(corpora, found)
    else:
        files = files_named(name, corpus, source, modality)
        found = join(without_copies(files) if corpus.renamed_copies else files)
    if not found:
        raise UserError(
            f"no file of {name} below {source}; its files are named like {corpus.example}"
            + (f" (modality {modality})" if modality != "auto" else "")
            + instead(files_below(source))
        )
    if not reading.allow_missing:
        stand_ins.check(found)
    return _of_channel(name, corpus, found, source, channel)


def _of_channel(
    name: str, corpus: Corpus, found: list[Clip], source: str, channel: str
) -> list[Clip]:
    """Keep one channel; the first is the default, which takes what there is."""
    if not corpus.channels or channel == "all":
        return found
    kept = [clip for clip in found if clip.traits["channel"] == channel]
    if not kept:
        if channel == next(iter(corpus.channels)):
            return found
        raise UserError(f"none of the {len(found)} {name} clips below {source} is {channel}")
    if len(kept) < len(found):
        others = [plural for other, plural in corpus.channels.items() if other != channel]
        left_out = len(found) - len(kept)
        _LOG.warning("left out %d %s of %d clips", left_out, " and ".join(others), len(found))
    return kept


def _finished(
    name: str, corpus: Corpus, found: list[Clip], source: str, label: str | None
) -> list[Clip]:
    """Add what is not in the names, and take spellings of one speaker together."""
    kind = label if label in corpus.labels else "".join(corpus.labels[:1])
    kept = corpus.finish(found, source, str(kind)) if corpus.finish else found
    if not kept:
        raise UserError(
            f"none of the {len(found)} {name} clips below {source} has a label {kind}".strip()
        )
    return one_spelling(kept)

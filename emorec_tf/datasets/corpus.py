"""What a corpus is: the entry of a table, and how its pattern reads clips off file names."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from emorec_tf.config import label_map as label_maps
from emorec_tf.config.class_names import form
from emorec_tf.config.clip import EMOTIONS, Clip
from emorec_tf.datasets.discovery import files_below, is_media, log_left_out, suffix_of, usable
from emorec_tf.errors import UserError
from emorec_tf.storage.paths import place

NAMED, CLIPS = "named", "clips"  # what the speakers of a corpus are: people, or its clips
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """What a corpus is read from, and how.

    Attributes:
        source: its folder, or its table.
        allow_missing: keep clips whose file is not there.
        label_map: see ``label_map.parse``; labels that it names stand for nothing else.
        columns: {column that a table needs: its name there}.
        speakers: "clips": it need not say who speaks; each clip counts as its own speaker.
    """

    source: str
    allow_missing: bool = False
    label_map: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)
    speakers: str = NAMED

    @property
    def declared(self) -> frozenset[str]:
        """Forms of the labels that the label map names."""
        return frozenset(label_maps.rules(self.label_map))


@dataclass(frozen=True)
class Corpus:
    """One corpus. It is read by its file names (``pattern``) or by a function (``read``)."""

    title: str
    homepage: str
    licence: str
    citation: str
    label_meaning: str
    emotions: tuple[str, ...]  # in the order of EMOTIONS; (): any label is a class
    example: str  # a path below the source
    # what its licence lets others do with weights trained on it, one of ``terms.USES``; whoever
    # does not say, says the strictest
    use: str = "research"
    clip_count: int | None = None  # of the complete corpus; None: any
    speaker_count: int | None = None
    labels: tuple[str, ...] = ()  # kinds of label, the default first; (): one kind
    # Matches the end of a path without suffix. Its groups "speaker", "session" and "modality"
    # fill the clip's fields, "emotion" by way of codes; the others are traits, by way of values
    # where it has them. All fill clip_id.
    pattern: str = ""
    clip_id: str = ""
    codes: Mapping[str, str] = field(default_factory=dict, hash=False)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)
    # Codes of the group "modality", which has several files of one clip, by MODALITIES.
    modalities: Mapping[str, str] = field(default_factory=dict, hash=False)
    id_stem: str = "{clip_id}"  # name, without suffix, of a file that has this clip id
    # Values of the trait "channel" and the plural of such clips, the one that is read by default
    # first; of a folder that holds nothing else, the others are read too.
    channels: Mapping[str, str] = field(default_factory=dict, hash=False)
    unmapped: tuple[str, ...] = ()  # codes of emotions that EMOTIONS lacks: left out, counted
    renamed_copies: bool = False  # files of one clip under several names: joined if they are equal
    men: tuple[str, ...] | None = None  # the male speakers; None: not known from the name
    bookkeeping: tuple[str, ...] = ()  # traits that number recordings: no groups of people
    # subsets of its own split, which stand for the speakers of images of people not identified
    parts: tuple[str, ...] = ()
    # (clips, source, label) -> clips: adds what is not in the names, leaves out with a log line
    finish: Callable[[list[Clip], str, str], list[Clip]] | None = None
    read: Callable[[Reading], list[Clip]] | None = None
    own_names: str = ""  # of files that ``read`` reads: a pattern of unmistakable names
    columns: tuple[str, ...] = ()  # of its own table, which may have other names there


def matched(corpus: Corpus, stem: str) -> dict[str, str] | None:
    """Return the groups of the pattern in a path without suffix; None where it does not match."""
    match = re.fullmatch(rf"(?:.*/)?{corpus.pattern}", stem) if corpus.pattern else None
    if match is None:
        return None
    groups = match.groupdict()
    spellings = corpus.values.get("speaker", {})
    return {**groups, "speaker": spellings.get(groups["speaker"], groups["speaker"])}


def take_named(corpus: Corpus, stem: str) -> str | None:
    """Return the clip id of a path without suffix, if it names one of several files of a clip."""
    groups = matched(corpus, stem) if corpus.modalities else None
    if groups is None or (corpus.codes and groups.get("emotion") not in corpus.codes):
        return None
    return corpus.clip_id.format_map(groups)


def clip_named(dataset: str, corpus: Corpus, path: str) -> tuple[Clip, str] | None:
    """Return the clip that a path names, without files, and its modality ("" if not named).

    None if the corpus has no such file, or one of an emotion that is not mapped. Where labels are
    in files, the emotion is empty.

    Raises:
        UserError: If the path has the form of the corpus but an unknown emotion code.
    """
    stem = PurePosixPath(path).with_suffix("").as_posix()
    groups = matched(corpus, stem) if is_media(path) else None
    if groups is None:
        return None
    code = groups.get("emotion")
    if code in corpus.unmapped:
        return None
    if code is not None and corpus.codes and code not in corpus.codes:
        known = ", ".join(f"{c} {name}" for c, name in corpus.codes.items())
        raise UserError(f"{path}: unknown emotion code {code!r} for {dataset}; known: {known}")
    clip = Clip(
        clip_id=corpus.clip_id.format_map(groups),
        speaker=groups["speaker"],
        emotion=corpus.codes.get(code or "", ""),
        session=groups.get("session", ""),
        traits=_traits(corpus, groups),
    )
    return clip, corpus.modalities.get(groups.get("modality", ""), "")


def _traits(corpus: Corpus, groups: Mapping[str, str]) -> dict[str, str]:
    fields = ("speaker", "session", "emotion", "modality")
    others = {key: text for key, text in groups.items() if key not in fields}
    traits = {key: corpus.values.get(key, {}).get(text, text) for key, text in others.items()}
    if corpus.men is not None:
        traits["sex"] = "male" if groups["speaker"] in corpus.men else "female"
    return traits


def files_named(
    name: str, corpus: Corpus, source: str, modality: str
) -> Iterator[tuple[Clip, str, str]]:
    """Yield what the name of each file below a folder says, for ``discovery.join``."""
    # The folder's own name counts too: SAVEE's speaker is one, and may itself be the source.
    root = place(source).resolve().as_posix()
    others, unmapped = [], Counter[str]()
    for path in files_below(source):
        found = clip_named(name, corpus, f"{root}/{path}")
        if found is not None and modality in ("auto", found[1] or "auto"):
            yield found[0], str(place(source) / path), found[1]
        elif found is None and (emotion := _unmapped_emotion(corpus, path)):
            unmapped[emotion] += 1
        elif found is None:
            others.append(path)
    log_left_out(others, f"not named like {name}'s")
    if unmapped:
        counts = ", ".join(f"{count} {emotion}" for emotion, count in sorted(unmapped.items()))
        total = sum(unmapped.values())
        _LOG.warning("left out %d clips of emotions that no class stands for: %s", total, counts)


def _unmapped_emotion(corpus: Corpus, path: str) -> str:
    """Return the emotion that the corpus leaves out, of a path that names one; else ""."""
    stem = PurePosixPath(path).with_suffix("").as_posix()
    emotion = (matched(corpus, stem) or {}).get("emotion", "") if is_media(path) else ""
    return emotion if emotion in corpus.unmapped else ""


def without_copies(found: Iterable[tuple[Clip, str, str]]) -> Iterator[tuple[Clip, str, str]]:
    """Keep the first of files that name the same clip and have the same bytes, with a log line.

    Files of other bytes stay, so that joining them refuses two recordings of one clip.
    """
    first: dict[tuple[str, str, str], str] = {}
    copies = []
    for clip, path, modality in found:
        kept = first.setdefault((clip.clip_id, suffix_of(path), modality), path)
        if kept != path and place(kept).read_bytes() == place(path).read_bytes():
            copies.append((path, kept))
        else:
            yield clip, path, modality
    if copies:
        _LOG.warning(
            "left out %d exact copies of other files, such as %s of %s", len(copies), *copies[0]
        )


def named_like(corpora: Mapping[str, Corpus], source: str) -> str:
    """Say, for an error, of which corpus the files below a folder are; "" if of none."""
    files = usable(files_below(source)) if place(source).is_dir() else []
    for path in files:
        stem = PurePosixPath(path).with_suffix("").as_posix()
        for name, corpus in corpora.items():
            if matched(corpus, stem):
                return f"; {path} is named like a file of {name}: is it --dataset {name}?"
    return ""


def check_own(corpora: Mapping[str, Corpus], clips: Iterable[Clip]) -> None:
    """Refuse files of a published corpus whose folders would be taken for labels.

    Raises:
        UserError: naming the first such file, its folder and the corpus.
    """
    for clip in clips:
        path = PurePosixPath(clip.video or clip.audio or "")
        folder = path.parent.name
        if clip.emotion in EMOTIONS or form(folder) != form(clip.emotion):
            continue
        for name, corpus in corpora.items():
            if matched(corpus, path.with_suffix("").as_posix()):
                raise UserError(
                    f"{path}: is {folder} an emotion? the file is named like one of {name}; is it "
                    f"--dataset {name}? own labels of such files go into a labels.csv"
                )

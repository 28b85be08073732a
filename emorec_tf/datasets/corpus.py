"""What a corpus is: the entry of a table, and how its pattern reads clips off file names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from emorec_tf.config.clip import Clip
from emorec_tf.datasets.discovery import files_below, is_media, log_left_out, usable
from emorec_tf.errors import UserError
from emorec_tf.storage.paths import place


@dataclass(frozen=True)
class Corpus:
    """One corpus. It is read by its file names (``pattern``) or by a function (``read``)."""

    title: str
    homepage: str
    licence: str
    citation: str
    label_meaning: str
    emotions: tuple[str, ...]  # in the order of EMOTIONS
    example: str  # a path below the source
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
    men: tuple[str, ...] | None = None  # the male speakers; None: not known from the name
    bookkeeping: tuple[str, ...] = ()  # traits that number recordings: no groups of people
    # subsets of its own split, which stand for the speakers of images of people not identified
    parts: tuple[str, ...] = ()
    # (clips, source, label) -> clips: adds what is not in the names, leaves out with a log line
    finish: Callable[[list[Clip], str, str], list[Clip]] | None = None
    # (source, whether files may be missing) -> clips
    read: Callable[[str, bool], list[Clip]] | None = None


def matched(corpus: Corpus, stem: str) -> dict[str, str] | None:
    """Return the groups of the pattern in a path without suffix; None where it does not match."""
    match = re.fullmatch(rf"(?:.*/)?{corpus.pattern}", stem) if corpus.pattern else None
    return match.groupdict() if match else None


def take_named(corpus: Corpus, stem: str) -> str | None:
    """Return the clip id of a path without suffix, if it names one of several files of a clip."""
    groups = matched(corpus, stem) if corpus.modalities else None
    if groups is None or (corpus.codes and groups.get("emotion") not in corpus.codes):
        return None
    return corpus.clip_id.format_map(groups)


def clip_named(dataset: str, corpus: Corpus, path: str) -> tuple[Clip, str] | None:
    """Return the clip that a path names, without files, and its modality ("" if not named).

    None if the corpus has no such file. Where labels are in files, the emotion is empty.

    Raises:
        UserError: If the path has the form of the corpus but an unknown emotion code.
    """
    stem = PurePosixPath(path).with_suffix("").as_posix()
    groups = matched(corpus, stem) if is_media(path) else None
    if groups is None:
        return None
    code = groups.get("emotion")
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
    others = []
    for path in files_below(source):
        found = clip_named(name, corpus, f"{root}/{path}")
        if found is None:
            others.append(path)
        elif modality in ("auto", found[1] or "auto"):
            yield found[0], str(place(source) / path), found[1]
    log_left_out(others, f"not named like {name}'s")


def named_like(corpora: Mapping[str, Corpus], source: str) -> str:
    """Say, for an error, of which corpus the files below a folder are; "" if of none."""
    files = usable(files_below(source)) if place(source).is_dir() else []
    for path in files:
        stem = PurePosixPath(path).with_suffix("").as_posix()
        for name, corpus in corpora.items():
            if matched(corpus, stem):
                return f"; {path} is named like a file of {name}: is it --dataset {name}?"
    return ""

"""Several folders of records as one, for training and testing over corpora. Nothing is copied.

Speakers get the prefix "<corpus>/", as ``prepare --dataset a+b`` gives it; clip ids stay as they
are in the shards. Unlike there, emotions that only some of the corpora have are kept.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emorec_tf.config.clip import SEPARATOR
from emorec_tf.datasets import own_labels
from emorec_tf.datasets.corpora import DATASETS
from emorec_tf.errors import UserError
from emorec_tf.records.records_dir import Records, open_records
from emorec_tf.storage.paths import place


def open_all(folders: str | Path, wanted: Mapping[str, Any] | None = None) -> Records:
    """Open a folder of records, or several joined by commas.

    Args:
        folders: as written by ``prepare --records``; of several, all were made alike.
        wanted: feature settings that must match; others are accepted as they are.

    Raises:
        UserError: see ``open_records``; or folders of different features, or with equal clips.
    """
    names = [name.strip() for name in str(folders).split(",") if name.strip()]
    if len(names) < 2 or place(folders).exists():
        return open_records(folders, wanted)
    return joined([open_records(name, wanted) for name in names])


def joined(parts: Sequence[Records]) -> Records:
    """Join opened records.

    Raises:
        UserError: different features, a folder named twice, one clip id in two of them, or two
            folders of one published corpus.
    """
    first = parts[0]
    for part in parts[1:]:
        _check_features(first, part)
    names = _corpora(parts)
    _check_people(parts)
    spelt = own_labels.one_spelling({str(n): part.clips for n, part in enumerate(parts)})
    clips = [
        dataclasses.replace(
            clip,
            speaker=_prefixed(name, clip.speaker),
            session=_prefixed(name, clip.session) if clip.session else "",
        )
        for name, part in zip(names, spelt.values(), strict=True)
        for clip in part
    ]
    counts = Counter(clip.clip_id for clip in clips)
    twice = [clip_id for clip_id, count in counts.items() if count > 1]
    if twice:
        raise UserError(
            f"records {_folders(parts)} have {len(twice)} clip ids in common, such as {twice[0]}; "
            f"prepare the corpora together: --dataset {'+'.join(names)}"
        )
    manifest = {
        **first.manifest,
        "dataset": "+".join(names),
        **{key: _several(parts, key, " + ") for key in ("licence", "label_meaning")},
        "label": _several(parts, "label", "+"),
        "shards": [shard for part in parts for shard in part.manifest["shards"]],
    }
    return Records(Path(_folders(parts)), manifest, clips, tuple(parts))


def _corpora(parts: Sequence[Records]) -> list[str]:
    """Name each part: by its corpus, or by its folder where another one has the same corpus."""
    datasets = [str(part.manifest["dataset"]) for part in parts]
    names = [
        dataset if datasets.count(dataset) == 1 else part.folder.name.replace("+", "-")
        for dataset, part in zip(datasets, parts, strict=True)
    ]
    several = [one for name in names for one in name.split("+")]
    again = sorted({name for name in several if several.count(name) > 1})
    if again:
        raise UserError(
            f"records {_folders(parts)} hold {', '.join(again)} more than once; give each once, "
            "folders of the same dataset under different names"
        )
    return names


def _check_people(parts: Sequence[Records]) -> None:
    """Refuse two folders of one published corpus, which would be named by their folders.

    "speech/1" and "song/1" would be two people, on both sides of a split, and no model would be
    known to have been trained on them. Own folders are joined: "1" of two may be two people.
    """
    for part in parts:
        if part.unnamed:
            raise UserError(
                f"records {part.folder} were prepared with --speakers clips, so nothing joins them "
                "with others; give them alone"
            )
    for one, other in itertools.combinations(parts, 2):
        dataset = str(one.manifest["dataset"])
        corpus = DATASETS.get(dataset)
        if corpus and corpus.speaker_count and other.manifest["dataset"] == dataset:
            all_channels = " (--channel all)" if corpus.channels else ""
            raise UserError(
                f"records {one.folder} and {other.folder} are both {dataset}, whose people would "
                f"count as other people in each; prepare them as one{all_channels}"
            )


def _prefixed(corpus: str, name: str) -> str:
    return name if "+" in corpus else f"{corpus}{SEPARATOR}{name}"


def _check_features(one: Records, other: Records) -> None:
    """Refuse records of different features, and name the first that differs."""
    own, theirs = dataclasses.asdict(one.features), dataclasses.asdict(other.features)
    for name, value in own.items():
        if theirs[name] != value:
            raise UserError(
                f"records {one.folder} have {name}={value}, {other.folder} {name}={theirs[name]}; "
                "only records of equal features are joined: prepare one of them again"
            )


def _several(parts: Sequence[Records], key: str, between: str) -> str:
    found = [str(part.manifest.get(key) or "") for part in parts]
    return between.join(text for text in found if text)


def _folders(parts: Sequence[Records]) -> str:
    return ",".join(str(part.folder) for part in parts)

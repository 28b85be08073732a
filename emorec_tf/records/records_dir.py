"""Folder of records: TFRecord shards, a manifest with checksums, a table of clips.

``records.json`` is written last and lists every shard with its count, bytes and sha256: a folder
without it is unfinished. Every file appears under its final name only when it is complete.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf.config.class_names import ordered
from emorec_tf.config.clip import Clip
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.datasets.corpus import CLIPS
from emorec_tf.errors import UserError
from emorec_tf.storage.files import file_check, read_csv, write_atomically
from emorec_tf.storage.paths import place, size_of

MANIFEST = "records.json"
REPORT = "report.csv"
FORMAT = 2  # raised when the layout or the content of an example changes


@dataclass(frozen=True, repr=False)
class Records:
    """An opened, checked folder of records, or several that were joined (``joining``)."""

    folder: Path
    manifest: Mapping[str, Any]
    clips: Sequence[Clip]  # the clips that are in the shards
    parts: tuple[Records, ...] = ()  # those that were joined

    def __repr__(self) -> str:
        """One line: folder, corpus, what is in it."""
        speakers = len({clip.speaker for clip in self.clips})
        counts = f"{len(self.clips)} clips, {speakers} speakers, {len(self.emotions)} emotions"
        return f"Records({str(self.folder)!r}, {self.manifest['dataset']}: {counts})"

    @property
    def features(self) -> FeaturesConfig:
        """Settings the records were made with."""
        return FeaturesConfig(**self.manifest["features"])

    @property
    def shards(self) -> list[str]:
        """Paths of the shards, in order."""
        if self.parts:
            return [shard for part in self.parts for shard in part.shards]
        return [str(self.folder / s["name"]) for s in self.manifest["shards"]]

    @property
    def emotions(self) -> tuple[str, ...]:
        """Emotions that occur, in the order of class ids."""
        return ordered(c.emotion for c in self.clips)

    @property
    def report(self) -> list[dict[str, str]]:
        """Rows of report.csv: what was found in each clip, or why it was refused."""
        if self.parts:
            return [row for part in self.parts for row in part.report]
        return read_csv(self.folder / REPORT)

    @property
    def refused(self) -> dict[str, str]:
        """Why a clip was left out, by the ids of those that were."""
        rows = self.report
        return {r["clip_id"]: r["reason"] for r in rows if r["status"] == "refused"}

    @property
    def modalities(self) -> dict[str, frozenset[str]]:
        """What each clip has, by its id: "audio", "face" (found in a frame), both or neither."""
        rows = [r for r in self.report if r["status"] == "ok"]
        columns = {"audio": "audio_present", "face": "faces_found"}
        return {
            r["clip_id"]: frozenset(kind for kind, column in columns.items() if int(r[column] or 0))
            for r in rows
        }

    @property
    def unnamed(self) -> bool:
        """Whether each clip counts as its own speaker, because people are not known."""
        return self.manifest.get("speakers") == CLIPS

    @property
    def audio_hashes(self) -> dict[str, str]:
        """{clip_id: hash of the decoded waveform}, of the clips that have audio."""
        rows = self.report
        return {r["clip_id"]: r["audio_sha256"] for r in rows if r["audio_sha256"]}


def serialise(example: Mapping[str, np.ndarray], labels: Mapping[str, str | float]) -> bytes:
    """Serialise one example and its labels as tf.train.Example; arrays become raw bytes."""
    import tensorflow as tf

    def raw(data: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[data]))

    feature = {name: raw(np.ascontiguousarray(a).tobytes()) for name, a in example.items()}
    for name, value in labels.items():
        if isinstance(value, str):
            feature[name] = raw(value.encode())
        else:
            feature[name] = tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
    message = tf.train.Example(features=tf.train.Features(feature=feature))
    return message.SerializeToString(deterministic=True)


def framed(example: bytes) -> bytes:
    """Frame a serialised example as TFRecord does: its length, the bytes, a checksum of each.

    TensorFlow's own writer does it in memory, so that shards can be joined without TensorFlow.
    """
    import tensorflow as tf

    path = "ram://example.tfrecord"
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(example)
    with tf.io.gfile.GFile(path, "rb") as file:
        whole = bytes(file.read())
    tf.io.gfile.remove(path)  # or the next one would be appended
    return whole


def write_shard(path: Path, examples: Sequence[bytes]) -> dict[str, Any]:
    """Write one shard of framed examples; return its manifest row."""
    try:
        write_atomically(path, b"".join(examples))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; free some space") from error
    return {"name": path.name, "count": len(examples), **file_check(path)}


def open_records(folder: str | Path, wanted: Mapping[str, Any] | None = None) -> Records:
    """Open and check a folder of records.

    Args:
        folder: as written by ``prepare --records``.
        wanted: feature settings that must match; others are accepted as they are.

    Raises:
        UserError: unfinished or damaged records, or records of other feature settings.
    """
    folder = place(folder)
    path = folder / MANIFEST
    if not path.exists():
        state = "are unfinished" if folder.exists() else "do not exist"
        raise UserError(f"records {folder} {state}; run python -m emorec_tf.prepare on them")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        features = FeaturesConfig(**manifest["features"])
        shards = manifest["shards"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged or of another version; prepare the records again"
        ) from error
    if manifest.get("format") != FORMAT or features.fingerprint() != manifest["stamp"]:
        raise UserError(f"records {folder} are stale (made by another version); prepare them again")
    for name, value in (wanted or {}).items():
        if getattr(features, name) != value:
            raise UserError(
                f"records {folder} were made with {name}={getattr(features, name)}, not {value}; "
                f"prepare again with --{name} {value} into another folder, or drop the setting"
            )
    for shard in shards:
        file = folder / shard["name"]
        if not file.exists() or size_of(file) != shard["bytes"]:
            raise UserError(f"shard {file} is missing or damaged; run prepare again to repair it")
    if not (folder / REPORT).exists():
        raise UserError(f"{folder / REPORT} is missing; run prepare again to repair it")
    clips = reported_clips(folder, manifest)
    if clips is None:
        raise UserError(f"{folder / REPORT} is damaged; run prepare again to repair it")
    return Records(folder, manifest, clips)


def reported_clips(folder: Path, manifest: Mapping[str, Any]) -> list[Clip] | None:
    """Clips that the report says are in the shards; None where it is damaged, or cut short."""
    try:
        rows = [r for r in read_csv(folder / REPORT) if r["status"] == "ok"]
        clips = [clip_of_row(r) for r in rows]
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return clips if len(clips) == sum(shard["count"] for shard in manifest["shards"]) else None


def damaged_shard(folder: Path, manifest: Mapping[str, Any]) -> str | None:
    """Name the first shard that is not what the manifest says, by its sha256; None: all are."""
    for shard in manifest["shards"]:
        wanted = {"bytes": shard["bytes"], "sha256": shard["sha256"]}
        file = folder / shard["name"]
        if not file.exists() or file_check(file) != wanted:
            return str(shard["name"])
    return None


@contextlib.contextmanager
def naming_damage(records: Records) -> Iterator[None]:
    """Name the shard where TensorFlow finds that one of the records read here is damaged.

    Raises:
        UserError: instead of TensorFlow's error, which names no file.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.DataLossError as error:
        for part in records.parts or (records,):
            name = damaged_shard(part.folder, part.manifest)
            if name is not None:
                raise UserError(
                    f"shard {part.folder / name} is damaged; run prepare again to repair it"
                ) from error
        raise


def clip_of_row(row: Mapping[str, str]) -> Clip:
    """Return the clip that a row of the report describes."""
    return Clip(
        clip_id=row["clip_id"],
        speaker=row["speaker"],
        emotion=row["emotion"],
        video=row["video"] or None,
        audio=row["audio"] or None,
        session=row["session"],
        activation=float(row["activation"]) if row["activation"] else None,
        valence=float(row["valence"]) if row["valence"] else None,
        traits=json.loads(row["traits"]),
    )

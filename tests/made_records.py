"""Records of random arrays, in which single clips lack audio or a face; nothing is decoded."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from emorec_tf.config.clip import Clip, corpus_of
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.config.schema import schema
from emorec_tf.features.examples import Seen
from emorec_tf.records import records_dir
from emorec_tf.records.worker_pool import row_of
from emorec_tf.storage.files import rows_to_csv, write_atomically

SPEAKERS = ("1", "2", "3", "4")
EMOTIONS = ("neutral", "happy", "sad")
TAKES = 2


def make(
    folder: Path,
    features: FeaturesConfig,
    lacks: Callable[[Clip], tuple[str, ...]],
    speakers: Sequence[str] | Mapping[str, Sequence[str]] = SPEAKERS,
    prefix: str = "",
    emotions: Sequence[str] = EMOTIONS,
    takes: int = TAKES,
    seed: int = 0,
) -> Path:
    """Write records of 4 speakers, 3 emotions and 2 takes.

    Args:
        folder: to be made.
        features: of the arrays.
        lacks: "audio", "face", both or neither, that a clip does not have.
        prefix: of clip ids.
        speakers: names, or names with the emotions of each; "a/1" is speaker 1 of corpus a.
        emotions: of each speaker; arrays depend on the place in ``EMOTIONS``, others come after.
        takes: of each emotion.
        seed: of the arrays.
    """
    folder.mkdir(parents=True)
    shown = speakers if isinstance(speakers, Mapping) else dict.fromkeys(speakers, emotions)
    stems = [
        (f"{prefix}{speaker}-{emotion}-{take}", speaker, emotion)
        for speaker, own in shown.items()
        for emotion in own
        for take in range(takes)
    ]
    clips = [Clip(stem, speaker, emotion, f"{stem}.mp4") for stem, speaker, emotion in stems]
    order = [*EMOTIONS, *sorted({e for own in shown.values() for e in own} - set(EMOTIONS))]
    random = np.random.default_rng(seed)
    data, rows = [], []
    for clip in clips:
        example = _example(features, order.index(clip.emotion), lacks(clip), random)
        labels = {"clip_id": clip.clip_id, "speaker": clip.speaker, "emotion": clip.emotion}
        data.append(
            records_dir.framed(
                records_dir.serialise(example, {**labels, "activation": 3.0, "valence": 3.0})
            )
        )
        has_audio, faces = bool(example["audio_mask"].any()), int(example["face_mask"].sum())
        seen = Seen(has_audio, faces, features.face_frames, 0.5, _hash(example) * has_audio, ())
        rows.append({**row_of(clip, "", seen), "shard": 0})
    shard = records_dir.write_shard(folder / "shard-00000.tfrecord", data)
    write_atomically(folder / records_dir.REPORT, rows_to_csv(rows))
    manifest = {
        "format": records_dir.FORMAT,
        "dataset": "+".join(dict.fromkeys(corpus_of(s) or "folder" for s in speakers)),
        "stamp": features.fingerprint(),
        "features": dataclasses.asdict(features),
        "plan": "made",
        "licence": "none",
        "label_meaning": "drawn",
        "label": "",
        "shards": [shard],
    }
    write_atomically(folder / records_dir.MANIFEST, json.dumps(manifest))
    return folder


def _example(
    features: FeaturesConfig, label: int, lacking: tuple[str, ...], random: np.random.Generator
) -> dict[str, np.ndarray]:
    example = {}
    for name, spec in schema(features).items():
        kind = "audio" if name.startswith("audio") else "face"
        if kind in lacking:
            example[name] = np.zeros(spec.shape, spec.dtype)
        elif name.endswith("_mask"):
            example[name] = np.ones(spec.shape, spec.dtype)
        elif spec.dtype == "uint8":
            example[name] = random.integers(60 * label, 60 * label + 60, spec.shape, np.uint8)
        else:
            example[name] = random.normal(label, 1, spec.shape).astype(spec.dtype)
    return example


def _hash(example: dict[str, np.ndarray]) -> str:
    return hashlib.sha256(example["audio"].tobytes()).hexdigest()

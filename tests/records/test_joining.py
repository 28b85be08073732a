"""Folders of records joined to one: every clip read from its own shards, mistakes refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import made_records
import numpy as np
import pytest
import two_corpora

from emorec_tf.config.clip import corpus_of
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.errors import UserError
from emorec_tf.records import input_pipeline, joining, records_dir


@pytest.fixture(scope="module")
def folders(features: FeaturesConfig, tmp_path_factory: pytest.TempPathFactory) -> str:
    return two_corpora.make(tmp_path_factory.mktemp("joined"), features)


def arrays(records: records_dir.Records) -> dict[bytes, np.ndarray]:
    found: dict[bytes, np.ndarray] = {}
    for inputs, ids in input_pipeline.evaluation(records, records.clips):
        found |= dict(zip(ids.numpy(), inputs["audio"].numpy(), strict=True))
    return found


def test_joined_records_hold_the_clips_of_both(folders: str):
    parts = [records_dir.open_records(folder) for folder in folders.split(",")]
    records = joining.open_all(folders)
    assert records.manifest["dataset"] == "english+german"
    assert len(records.clips) == 48 + 24
    assert {c.speaker for c in records.clips} == {
        *(f"english/{n}" for n in "1234"),
        *(f"german/{n}" for n in "12"),
    }
    assert records.emotions == ("neutral", "happy", "sad", "angry")
    read = arrays(records)
    for part in parts:
        for clip_id, audio in arrays(part).items():
            np.testing.assert_array_equal(read[clip_id], audio)
    for name in ("modalities", "audio_hashes"):
        both = getattr(parts[0], name) | getattr(parts[1], name)
        assert getattr(records, name) == both
    assert len(both) == 72


def test_one_folder_is_opened_as_it_is(folders: str):
    first = folders.split(",")[0]
    assert joining.open_all(first) == records_dir.open_records(first)


def test_corpus_of_a_speaker():
    assert corpus_of("german/2", "english+german") == "german"
    assert corpus_of("a/2", "folder") == "folder"
    assert corpus_of("a/2") == "a"
    assert corpus_of("2") == ""


def test_a_corpus_is_named_by_its_dataset_where_that_is_unique(folders: str):
    first, second = (records_dir.open_records(folder) for folder in folders.split(","))
    other = dataclasses.replace(second, manifest={**second.manifest, "dataset": "emodb+tess"})
    joined = joining.joined([first, other])
    assert joined.manifest["dataset"] == "folder+emodb+tess"
    names = {clip.speaker for clip in joined.clips}
    assert names == {*(f"folder/{n}" for n in "1234"), "1", "2"}, "prefixes there are kept"


def test_mistakes_are_refused(folders: str, features: FeaturesConfig, tmp_path: Path):
    first = folders.split(",")[0]
    with pytest.raises(UserError, match="hold english more than once"):
        joining.open_all(f"{first},{first}")
    copy = made_records.make(tmp_path / "copy", records_dir.open_records(first).features,
                             lambda clip: (), prefix="e")  # fmt: skip
    with pytest.raises(UserError, match=r"clip ids in common, such as e1-neutral-0; prepare"):
        joining.open_all(f"{first},{copy}")
    other = made_records.make(tmp_path / "other", features, lambda clip: (), prefix="x")
    with pytest.raises(UserError, match=r"have face_frames=0.*face_frames=3; only records"):
        joining.open_all(f"{first},{other}")
    with pytest.raises(UserError, match="do not exist"):
        joining.open_all(f"{first},{tmp_path / 'none'}")


def test_a_published_corpus_is_not_joined_with_itself(folders: str):
    """RAVDESS's speech and song, for instance: "speech/1" and "song/1" are one person."""
    parts = [records_dir.open_records(folder) for folder in folders.split(",")]
    named = [dataclasses.replace(p, manifest={**p.manifest, "dataset": "ravdess"}) for p in parts]
    with pytest.raises(
        UserError, match=r"are both ravdess, .* prepare them as one \(--channel all"
    ):
        joining.joined(named)
    joined = joining.joined(parts)
    assert len({clip.speaker for clip in joined.clips}) == 6, "own folders name speakers freely"


def test_damage_is_named(folders: str, tmp_path: Path):
    import shutil

    import tensorflow as tf

    first, second = folders.split(",")
    copy = shutil.copytree(second, tmp_path / "german")
    shard = copy / "shard-00000.tfrecord"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(bytes(data))
    records = joining.open_all(f"{first},{copy}")
    with pytest.raises(UserError, match=str(shard)), records_dir.naming_damage(records):
        raise tf.errors.DataLossError(None, None, "corrupted record")

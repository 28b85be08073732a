"""Features of frozen branches are computed once for all folds, and are those of each fold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import TRAIN_FLAGS

from emorec_tf.config.clip import Clip
from emorec_tf.config.config import Config, build
from emorec_tf.crossval import main as crossval_main
from emorec_tf.storage.files import read_csv
from emorec_tf.training import kept_rows

COMMON = [f for f in TRAIN_FLAGS if "learning_rate" not in f]
HEAD = "classifier: 'lda(shrinkage=0.4, pca=4)'\nrefit: true\ninner_folds: 2\nbatch_size: 4\n"
AUDIO = "audio: functionals(coefficients=8)\nfusion: audio_only\naugmented_copies: 1\n" + HEAD
FACE = "face: face_statistics(mesh=False)\nfusion: face_only\n" + HEAD


def crossvalidated(folder: Path, records: Path, name: str) -> Path:
    """Two folds of an ensemble of frozen branches."""
    (folder / "voice.yaml").write_text(AUDIO)
    (folder / "face.yaml").write_text(FACE)
    (folder / "both.yaml").write_text(f"ensemble: {folder}/voice.yaml, {folder}/face.yaml\n")
    where = ["--records", str(records), "--run", str(folder / name)]
    flags = ["--config", str(folder / "both.yaml"), "--protocol", "group_kfold:2", "--refit"]
    assert crossval_main([*flags, *where, *COMMON]) == 0
    return folder / name


def test_later_folds_compute_only_what_is_new_and_give_the_same(
    demo_records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[str, int]] = []
    plain = kept_rows.rows_of

    def counted(key: str, clips: list[Clip], compute: kept_rows.Read) -> tuple:
        def noted(some: list[Clip]) -> tuple[np.ndarray, list[Clip]]:
            read.extend((key, clip.clip_id) for clip in some)
            return compute(some)

        return plain(key, clips, noted)

    kept_rows.clear()
    monkeypatch.setattr(kept_rows, "rows_of", counted)
    kept = crossvalidated(tmp_path, demo_records, "kept")
    assert read
    assert len(read) == len(set(read))  # no clip twice for the same purpose
    # Features, a copy and embeddings of audio in each fold, whose standardisation differs; of the
    # face features and embeddings, the same in both folds.
    assert len({key for key, _ in read}) == 2 * 3 + 2
    monkeypatch.setattr(kept_rows, "is_possible", lambda settings: False)
    fresh = crossvalidated(tmp_path, demo_records, "fresh")
    for name in ("predictions.csv", "temperatures.csv"):
        rows, others = read_csv(kept / name), read_csv(fresh / name)
        assert [row["clip_id"] for row in rows if "clip_id" in row] == [
            row["clip_id"] for row in others if "clip_id" in row
        ]
        for row, other in zip(rows, others, strict=True):
            for column, value in row.items():
                try:
                    assert float(value) == pytest.approx(float(other[column]), abs=2e-5)
                except ValueError:
                    assert value == other[column]


def test_only_frozen_branches_that_are_not_adapted_are_kept() -> None:
    fixed = build({"audio": "functionals", "fusion": "audio_only"}, Config())
    assert kept_rows.is_possible(fixed)
    assert not kept_rows.is_possible(build({"adapt": 3}, fixed))
    assert not kept_rows.is_possible(build({"audio": "conv1d"}, fixed))


def test_what_was_used_longest_ago_is_forgotten_first(
    people: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_rows.clear()
    asked: list[str] = []

    def compute(clips: list[Clip]) -> tuple[np.ndarray, list[Clip]]:
        asked.extend(clip.clip_id for clip in clips)
        return np.ones((len(clips), 4)), list(clips)

    monkeypatch.setattr(kept_rows, "LIMIT_BYTES", 2 * 32 * 3)
    for key in "a", "b", "a", "c", "a", "b":
        rows, clips = kept_rows.rows_of(key, people[:3], compute)
        assert rows.shape == (3, 4)
        assert [c.clip_id for c in clips] == sorted(c.clip_id for c in people[:3])
    assert len(asked) == 3 * 4  # a, b, c, and b again
    kept_rows.clear()

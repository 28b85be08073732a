"""Features of frozen branches are computed once for all folds, and are those of each fold."""

from __future__ import annotations

from collections.abc import Sequence
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
    flags += ["--no_robustness"]
    assert crossval_main([*flags, *where, *COMMON]) == 0
    return folder / name


def test_later_folds_compute_only_what_is_new_and_give_the_same(
    demo_records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[str, str]] = []
    plain = kept_rows.rows_of

    def counted(key: str, clips: Sequence[Clip], compute: kept_rows.Read) -> tuple:
        def noted(some: Sequence[Clip]) -> tuple[np.ndarray, list[Clip]]:
            read.extend((key, clip.clip_id) for clip in some)
            return compute(some)

        return plain(key, clips, noted)

    kept_rows.clear()
    monkeypatch.setattr(kept_rows, "rows_of", counted)
    kept = crossvalidated(tmp_path, demo_records, "kept")
    assert read
    assert len(read) == len(set(read))  # no clip twice for the same purpose
    # A fold has its own audio features, as their standardisation differs, and copies of them; the
    # face features are the same in both. Embeddings are the same as features.
    assert len({key for key, _ in read}) == 2 * 2 + 1
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
    assert not kept_rows.is_possible(build({"adapt": "self"}, fixed))
    assert kept_rows.is_possible(build({"adapt": 3, "adapt_audio": False}, fixed))
    assert not kept_rows.is_possible(build({"audio": "conv1d"}, fixed))


def test_what_memory_forgets_is_on_disk_and_damage_only_costs_time(
    people: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMOREC_CACHE", str(tmp_path))
    kept_rows.clear()
    asked: list[str] = []

    def compute(clips: Sequence[Clip]) -> tuple[np.ndarray, list[Clip]]:
        asked.extend(clip.clip_id for clip in clips)
        return np.ones((len(clips), 4)), list(clips)

    file_bytes = 1000
    monkeypatch.setattr(kept_rows, "LIMIT_BYTES", file_bytes)
    for key in "a", "b", "a", "c", "a", "b":
        rows, clips = kept_rows.rows_of(key, people[:3], compute)
        assert rows.shape == (3, 4)
        assert [c.clip_id for c in clips] == sorted(c.clip_id for c in people[:3])
    assert len(asked) == 3 * 3
    kept_rows.clear()
    (file,) = (tmp_path / "features").glob("c.npz")  # the others were above the limit
    kept_rows.rows_of("c", people[:4], compute)
    assert len(asked) == 3 * 3 + 1  # the one that is new
    file.write_bytes(b"damaged")
    kept_rows.clear()
    kept_rows.rows_of("c", people[:3], compute)
    assert len(asked) == 3 * 4 + 1
    kept_rows.clear()


def test_a_cache_folder_that_cannot_be_written_is_done_without(
    people: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EMOREC_CACHE", str(tmp_path / "file"))
    kept_rows.clear()
    rows, _ = kept_rows.rows_of("x", people[:2], lambda clips: (np.ones((2, 3)), list(clips)))
    assert rows.shape == (2, 3)
    kept_rows.clear()

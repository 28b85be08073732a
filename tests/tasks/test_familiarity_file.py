"""The file of familiarity: the same scores after reading, and nothing damaged is believed."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emorec_tf.errors import UserError
from emorec_tf.tasks import familiarity, familiarity_file
from emorec_tf.tasks.familiarity import Familiarity


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(120, 60))


@pytest.fixture(scope="module")
def found(rows: np.ndarray) -> Familiarity:
    made, _ = familiarity.across_folds(rows, [40, 20], np.repeat(["a", "b", "c", "d"], 30))
    assert made is not None
    return made


def test_scores_are_the_same_after_reading(found: Familiarity, rows: np.ndarray) -> None:
    again = familiarity_file.from_bytes(familiarity_file.to_bytes(found))
    for one, other in zip(found.of(rows), again.of(rows), strict=True):
        np.testing.assert_array_equal(one, other)
    assert again.threshold == found.threshold == familiarity.UNFAMILIAR_BELOW


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 1.5},
        {"width": 0},
        {"width": 30},
        {"held_out": np.full((2, 5), np.nan, np.float32)},
        {"held_out": np.zeros((3, 5), np.float32)},
        {"held_out": np.zeros((2, 0), np.float32)},
        {"columns": 60},
        {"columns": -1},
        {"scale": 0.0},
        {"mean": np.inf},
        {"spread": 0.0},
        {"spread": np.inf},
        {"centre": np.nan},
        {"references": np.nan},
    ],
)
def test_values_out_of_bounds_are_refused(found: Familiarity, change: dict[str, Any]) -> None:
    (name, value), part = next(iter(change.items())), found.parts[0]
    if hasattr(part, name):
        kept = getattr(part, name)
        wrong = np.full_like(kept, value) if isinstance(kept, np.ndarray) else value
        changed: dict[str, Any] = {name: wrong}
        parts = (dataclasses.replace(part, **changed), *found.parts[1:])
        damaged = dataclasses.replace(found, parts=parts)
    else:
        damaged = dataclasses.replace(found, **change)
    with pytest.raises(ValueError, match="out of bounds"):
        familiarity_file.from_bytes(familiarity_file.to_bytes(damaged))


@pytest.mark.parametrize("name", ["width", "parts", "place0"])
def test_infinite_counts_are_refused(found: Familiarity, name: str) -> None:
    arrays = dict(np.load(io.BytesIO(familiarity_file.to_bytes(found))))
    arrays[name] = np.full(arrays[name].shape, np.inf)
    damaged = io.BytesIO()
    np.savez(damaged, **arrays)
    with pytest.raises(ValueError, match="cannot be read"):
        familiarity_file.from_bytes(damaged.getvalue())


def test_nothing_else_is_believed(found: Familiarity, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = familiarity_file.to_bytes(found)
    for data in (b"", b"nonsense", whole[: len(whole) // 2]):
        with pytest.raises(ValueError, match="cannot be read"):
            familiarity_file.from_bytes(data)
    pickled = io.BytesIO()
    np.savez(pickled, parts=np.array([{"code": 1}], dtype=object))
    with pytest.raises(ValueError, match=r"Object arrays"):
        familiarity_file.from_bytes(pickled.getvalue())
    monkeypatch.setattr(familiarity_file, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="too large"):
        familiarity_file.from_bytes(whole)


@pytest.mark.parametrize(
    ("text", "slope"),
    [
        ('{"temperature": 2, "unfamiliar_slope": 0.4}', 0.4),
        ('{"temperature": 2}', 0.0),
        ('{"unfamiliar_slope": -1}', 0.0),
        ('{"unfamiliar_slope": NaN}', 0.0),
        ('{"unfamiliar_slope": 1e9}', 0.0),
        ("[]", 0.0),
        ("{", 0.0),
    ],
)
def test_only_a_slope_in_bounds_is_taken(tmp_path: Path, text: str, slope: float) -> None:
    (tmp_path / "temperature.json").write_text(text)
    assert familiarity_file.slope_in(tmp_path / "temperature.json") == slope


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    assert familiarity_file.of_file(tmp_path / "familiarity.npz") is None
    (tmp_path / "familiarity.npz").write_text("nonsense")
    with pytest.raises(UserError, match=r"familiarity\.npz is damaged: .*; delete it"):
        familiarity_file.of_file(tmp_path / "familiarity.npz")

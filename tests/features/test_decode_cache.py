"""decode_cache: atomic entries, a size bound, concurrent processes."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from cache_work import quarrel

from emorec_tf.errors import UserError
from emorec_tf.features import decode_cache
from emorec_tf.features.decode_cache import Cache

ARRAYS: dict[str, np.ndarray] = {
    "wave": np.linspace(-1, 1, 1001, dtype=np.float32),
    "none": np.zeros((0, 5)),
    "bytes": np.arange(256, dtype=np.uint8).reshape(2, 128),
}
FACTS: dict[str, object] = {"seconds": 0.1 + 0.2, "notes": ["ä", "b"]}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "decoded", 10**9)


def test_entries_round_trip_bit_for_bit(cache: Cache) -> None:
    assert decode_cache.read(cache, "a") is None
    decode_cache.write(cache, "a", (FACTS, ARRAYS))
    facts, arrays = decode_cache.read(cache, "a")
    assert facts == FACTS
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)
    assert [path.name for path in cache.folder.iterdir()] == ["a.decoded"]


def test_without_cache_or_key_nothing_is_kept(cache: Cache) -> None:
    decode_cache.write(None, "a", (FACTS, ARRAYS))
    decode_cache.write(cache, "", (FACTS, ARRAYS))
    assert decode_cache.read(None, "a") is decode_cache.read(cache, "") is None
    assert not cache.folder.exists()


def test_a_damaged_entry_is_a_miss(cache: Cache) -> None:
    whole = decode_cache.pack((FACTS, ARRAYS))
    cache.folder.mkdir()
    path = cache.folder / "a.decoded"
    random = np.random.default_rng(0)
    for at in [*range(20), *random.integers(0, len(whole), 200)]:
        flipped = bytearray(whole)
        flipped[at] ^= 1 << int(random.integers(8))
        for data in (bytes(flipped), whole[:at]):
            path.write_bytes(data)
            assert decode_cache.read(cache, "a") is None, at
    path.write_bytes(whole)
    assert decode_cache.read(cache, "a") is not None


def test_keys_differ_for_different_requests() -> None:
    asked = [("a", 1, None), ("a", 1.5, None), ("a", 1, 2.0), ("a1", None), ("a", "1", None)]
    assert len({decode_cache.key_of(*parts) for parts in asked}) == len(asked)
    assert decode_cache.key_of("a", 1) == decode_cache.key_of("a", 1)


def test_the_least_recently_used_are_removed_first(cache: Cache) -> None:
    for number in range(10):
        decode_cache.write(cache, str(number), ({}, {"a": np.zeros(1000, np.uint8)}))
        os.utime(cache.folder / f"{number}.decoded", (number, number))
    size = (cache.folder / "0.decoded").stat().st_size
    cache.limit_bytes = 10 * size
    decode_cache.cull(cache)
    assert len(list(cache.folder.iterdir())) == 10
    assert decode_cache.read(cache, "0") is not None  # now the latest
    cache.limit_bytes = 5 * size
    decode_cache.cull(cache)
    assert {path.stem for path in cache.folder.iterdir()} == {"0", "7", "8", "9"}
    assert decode_cache.clear(cache.folder) == (4, 4 * size)
    assert list(cache.folder.iterdir()) == []


def test_writing_culls_occasionally(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 50_000)
    for number in range(2 * decode_cache.WRITES_TO_CULL):
        decode_cache.write(cache, str(number), ({}, {"a": np.zeros(1000, np.uint8)}))
    assert sum(size for _, size, _ in decode_cache.files(tmp_path)) <= 50_000


def test_processes_can_share_a_folder(tmp_path: Path) -> None:
    with ProcessPoolExecutor(3, get_context("spawn")) as pool:
        assert list(pool.map(quarrel, [str(tmp_path)] * 3, range(3))) == [0, 0, 0]
    assert all(path.name.count(".") == 1 for path in tmp_path.iterdir())  # nothing unfinished


def test_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EMOREC_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="--cache_gib 0"):
        decode_cache.bounded(1.0)
    assert decode_cache.bounded(0.0) is None
    cache = Cache(tmp_path / "file" / "decoded", 1)  # deleted while in use: costs time only
    decode_cache.write(cache, "a", (FACTS, ARRAYS))
    assert decode_cache.read(cache, "a") is None

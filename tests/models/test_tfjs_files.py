"""Weights of TensorFlow.js models, valid and damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tfjs_files import save, write

from emorec_tf.errors import UserError
from emorec_tf.models.pretrained import tfjs_files


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "a/kernel": random.normal(size=(3, 3, 2, 4)).astype(np.float32),
        "a/axes": np.array([1, 2], np.int32),
        "a/halves": random.normal(size=(5,)).astype(np.float16),
        "a/one": np.float32(6.0).reshape(()),
    }


@pytest.mark.parametrize("parts", [1, 3])
def test_weights_are_read(tmp_path: Path, arrays: dict[str, np.ndarray], parts: int) -> None:
    write(tmp_path / "model.json", arrays, parts)
    found = tfjs_files.weights(tmp_path / "model.json")
    assert list(found) == list(arrays)
    for name, values in arrays.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == (np.int32 if name == "a/axes" else np.float32)


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_whole_numbers_stand_for_scaled_ones(tmp_path: Path, kind: str) -> None:
    stored = np.arange(6, dtype=kind).reshape(2, 3)
    scaled = {"dtype": kind, "scale": 0.5, "min": -1.0}
    entry = {"name": "w", "shape": [2, 3], "dtype": "float32", "quantization": scaled}
    save(tmp_path / "m.json", [entry], stored.tobytes())
    found = tfjs_files.weights(tmp_path / "m.json")["w"]
    np.testing.assert_array_equal(found, [[-1.0, -0.5, 0.0], [0.5, 1.0, 1.5]])


def refused(path: Path, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        tfjs_files.weights(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": [1000, 1000]}, "reaches beyond the"),
        ({"shape": [-1, 4]}, "impossible shape"),
        ({"shape": [2.5]}, "impossible shape"),
        ({"shape": [1]}, "bytes are there, .* are named"),
        ({"dtype": "string"}, "'string'"),
        ({"quantization": {"dtype": "float8"}}, "'float8'"),
        ({"quantization": {"dtype": "uint8", "scale": 1.0}}, "reaches|named|'min'"),
    ],
)
def test_impossible_entries(tmp_path: Path, arrays, change, message: str) -> None:
    path = tmp_path / "m.json"
    entries = write(path, {"w": arrays["a/kernel"]})
    save(path, [{**entries[0], **change}], arrays["a/kernel"].tobytes())
    refused(path, message)


def test_other_files(tmp_path: Path, arrays) -> None:
    path = tmp_path / "m.json"
    refused(path, "No such file")
    for text in ("", "[]", "{}", "\x00", json.dumps({"weightsManifest": 3})):
        path.write_text(text)
        refused(path, "cannot be read as a TensorFlow.js model")
    write(path, arrays)
    outside = path.read_text().replace('"m-0.bin"', '"../m-0.bin"')
    path.write_text(outside)
    refused(path, "'../m-0.bin', which is no file beside it")
    write(path, arrays)
    (tmp_path / "m-0.bin").write_bytes(b"1234")
    refused(path, "reaches beyond the 4 bytes")
    (tmp_path / "m-0.bin").unlink()
    refused(path, "m-0.bin")

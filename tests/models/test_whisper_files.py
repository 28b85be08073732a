"""Weights of Whisper in three formats; damaged and other files are refused in one line."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import whisper_made

from emorec_tf.errors import UserError
from emorec_tf.models.pretrained import whisper_files
from emorec_tf.models.pretrained.whisper_files import encoder_arrays


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("kind", whisper_made.WRITERS)
def test_each_format_gives_the_same_arrays(kind, dtype, tmp_path):
    arrays = {name: array.astype(dtype) for name, array in whisper_made.encoder().items()}
    path = whisper_made.WRITERS[kind](arrays, tmp_path / "weights")
    found = encoder_arrays(path)
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array.astype(found[name].dtype))


def refused(data: bytes, folder: Path, message: str = "cannot be read as") -> None:
    path = folder / "some.bin"
    path.write_bytes(data)
    with pytest.raises(UserError, match=message) as error:
        encoder_arrays(path)
    assert "\n" not in str(error.value)
    assert "some.bin" in str(error.value)


@pytest.mark.parametrize("kind", whisper_made.WRITERS)
def test_truncated_files_are_refused(kind, tmp_path):
    path = whisper_made.WRITERS[kind](whisper_made.encoder(), tmp_path / "weights")
    whole = path.read_bytes()
    # CTranslate2's aliases stand at the end, and nothing here needs them; the first tensors of the
    # encoder of a safetensors file stand before that of the decoder
    needed = len(whole) - {"openai": 1, "hugging_face": 13, "ctranslate2": 80}[kind]
    for length in [*range(0, 200, 7), *range(200, needed, 4001), needed]:
        refused(whole[:length], tmp_path)


@pytest.mark.parametrize("kind", whisper_made.WRITERS)
def test_damaged_files_never_raise_other_errors(kind, tmp_path):
    path = whisper_made.WRITERS[kind](whisper_made.encoder(bands=2), tmp_path / "weights")
    whole = path.read_bytes()
    random, refusals = np.random.default_rng(0), []
    heads = min(len(whole), 4000)
    for _ in range(200):
        data = bytearray(whole)
        for place in random.integers(0, heads, 3):
            data[place] = random.integers(0, 256)
        path.write_bytes(data)
        try:
            encoder_arrays(path)
        except UserError as error:
            refusals.append(str(error))
    assert len(refusals) > 20
    assert not any("\n" in message for message in refusals)


def with_header(**entry: object) -> bytes:
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **entry}
    text = json.dumps({"model.encoder.conv1.bias": entry}).encode()
    return struct.pack("<Q", len(text)) + text + bytes(8)


def test_a_tensor_written_by_hand(tmp_path):
    (tmp_path / "some").write_bytes(with_header()[:-8] + np.array([1, 2], "<f4").tobytes())
    np.testing.assert_array_equal(encoder_arrays(tmp_path / "some")["conv1.bias"], [1, 2])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "begins as none of the three formats"),
        (b"<html>Not found</html>", "give OpenAI's .pt, Hugging Face's model.safetensors or"),
        (with_header(shape=[3]), "conv1.bias has 8 bytes, which is not its shape"),
        (with_header(shape=[-2]), "impossible shape"),
        (with_header(shape=[2.0]), "impossible shape"),
        (with_header(data_offsets=[4, 12]), "beyond the end of the file"),
        (with_header(data_offsets=[-4, 4]), "beyond the end of the file"),
        (with_header(dtype="BF16"), "BF16, known are F16, F32 and F64"),
        (struct.pack("<Q", 2**60) + b"{" + bytes(9), "header reaches beyond its end"),
        (struct.pack("<Q", 2) + b"{]" + bytes(9), "cannot be read as weights of Whisper"),
    ],
)
def test_other_files(data, message, tmp_path):
    refused(data, tmp_path, message)


def test_other_models_and_quantised_ones_are_refused(tmp_path):
    arrays = whisper_made.encoder()
    path = whisper_made.ctranslate2(arrays, tmp_path / "model.bin", model="Wav2Vec2Spec")
    refused(path.read_bytes(), tmp_path, "it holds a Wav2Vec2Spec, not a WhisperSpec")
    arrays["conv1.weight"] = arrays["conv1.weight"].astype(np.int8)
    path = whisper_made.ctranslate2(arrays, tmp_path / "model.bin")
    refused(path.read_bytes(), tmp_path, "encoder/conv1/weight is quantised; convert the model")


def test_no_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        encoder_arrays(tmp_path / "none")


def test_published_checksums_are_whole_and_part_of_the_address():
    for size, sha256 in whisper_files.SHA256.items():
        name, address, found = whisper_files.download_of(size)
        assert len(bytes.fromhex(found)) == 32
        assert address.split("/")[-2:] == [sha256, f"{size}.pt"]
        assert size in name

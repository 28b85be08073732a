"""Weights of Whisper's encoder from the files in which they are published, as plain arrays.

Three formats are read: OpenAI's own ``.pt``, Hugging Face's ``model.safetensors`` and CTranslate2's
``model.bin``. Only the encoder's numbers are read, never beyond the file, and nothing in a file can
run. Whatever the format, an array has Hugging Face's name below ``model.encoder``, and PyTorch's
order of axes.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from emorec_tf.errors import UserError
from emorec_tf.models.pretrained.torch_files import ARCHIVE_START, state_dict

ORIGIN = "https://openaipublic.azureedge.net/main/whisper/models"
# The publisher's checksums, which are part of its addresses (openai/whisper, whisper/__init__.py).
SHA256 = {
    "tiny.en": "d3dd57d32accea0b295c96e26691aa14d8822fac7d9d27d5dc00b4ca2826dd03",
    "tiny": "65147644a518d12f04e32d6f3b26facc3f8dd46e5390956a9424a650c0ce22b9",
    "base.en": "25a8566e1d0c1e2231d1c762132cd20e0f96a85d16145c3a00adf5d1ac670ead",
    "base": "ed3a0b6b1c0edf879ad9b11b1af5a0e6ab5db9205f891f668f8b0e6c6326e34e",
    "small.en": "f953ad0fd29cacd07d5a9eda5624af0f6bcf2258be67c92b79389873d91e0872",
    "small": "9ecf779972d90ba49c06d968637d720dd632c55bbf19d441fb42bf17a411e794",
}
SAFETENSORS_DTYPES = {"F32": "<f4", "F16": "<f2", "F64": "<f8"}
MOST_HEADER_BYTES = 100_000_000  # the limit of the format
CT2_VERSION, CT2_NAME = 6, "WhisperSpec"
CT2_BYTES = (4, 1, 2, 4, 2, 2)  # of a number of each type
CT2_DTYPES = {0: "<f4", 4: "<f2"}
MOST_AXES = 8
# A block's parts by Hugging Face's names, and by OpenAI's.
OPENAI = {
    "self_attn_layer_norm": "attn_ln",
    "self_attn.q_proj": "attn.query",
    "self_attn.k_proj": "attn.key",
    "self_attn.v_proj": "attn.value",
    "self_attn.out_proj": "attn.out",
    "final_layer_norm": "mlp_ln",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
}
# The same by CTranslate2's, which keeps query, key and value in one.
CT2 = {
    "self_attn_layer_norm": "self_attention/layer_norm",
    "self_attn.qkv": "self_attention/linear_0",
    "self_attn.out_proj": "self_attention/linear_1",
    "final_layer_norm": "ffn/layer_norm",
    "fc1": "ffn/linear_0",
    "fc2": "ffn/linear_1",
}
CT2_PLACES = {"position_encodings": "embed_positions"}
CT2_ENDS = {"gamma": "weight", "beta": "bias", "encodings": "weight"}
DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError, struct.error, MemoryError)


def download_of(size: str) -> tuple[str, str, str]:
    """File name, address and sha256 of the published weights of a size."""
    return f"whisper-{size}.pt", f"{ORIGIN}/{SHA256[size]}/{size}.pt", SHA256[size]


def encoder_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read the encoder's arrays, float16 or float32 as stored.

    Raises:
        UserError: no such file, a damaged one, or one of another kind.
    """
    try:
        with Path(path).open("rb") as file:
            start = file.read(9)
            file.seek(0)
            if start.startswith(ARCHIVE_START):
                return from_openai(state_dict(path, "model_state_dict"))
            if start[8:9] == b"{":
                return from_hugging_face(dict(safetensors(file)))
            if start[:4] == struct.pack("<I", CT2_VERSION):
                return from_ctranslate2(dict(ctranslate2(file)))
        raise ValueError("it begins as none of the three formats")
    except DAMAGED as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise UserError(
            f"{path}: cannot be read as weights of Whisper ({reason}); give OpenAI's .pt, Hugging "
            f"Face's model.safetensors or CTranslate2's model.bin in float16 or float32"
        ) from error


def from_openai(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rename OpenAI's tensors."""
    names = {old: new for new, old in OPENAI.items()}
    found = {}
    for name, array in tensors.items():
        if not name.startswith("encoder."):
            continue
        name = name.removeprefix("encoder.").replace("ln_post.", "layer_norm.")
        if name.startswith("blocks."):
            _, number, rest = name.split(".", 2)
            part, _, end = rest.rpartition(".")
            name = f"layers.{number}.{names.get(part, part)}.{end}"
        found[name.replace("positional_embedding", "embed_positions.weight")] = array
    return found


def from_hugging_face(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Drop the prefix of the names."""
    return {name.removeprefix("model.").removeprefix("encoder."): a for name, a in tensors.items()}


def from_ctranslate2(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rename CTranslate2's variables; split query, key and value, whose key has a bias of zero."""
    names = {old: new for new, old in CT2.items()}
    found = {}
    for name, array in tensors.items():
        place, _, end = name.removeprefix("encoder/").rpartition("/")
        if place.startswith("layer_") and place != "layer_norm":
            number, _, part = place.removeprefix("layer_").partition("/")
            place = f"layers.{number}.{names.get(part, part)}"
        if place.endswith(".qkv"):
            for letter, third in zip("qkv", np.split(array, 3), strict=True):
                found[f"{place[:-3]}{letter}_proj.{end}"] = third
        else:
            found[f"{CT2_PLACES.get(place, place)}.{CT2_ENDS.get(end, end)}"] = array
    return {name: array for name, array in found.items() if not name.endswith("k_proj.bias")}


def safetensors(file: BinaryIO) -> Iterator[tuple[str, np.ndarray]]:
    """Read the encoder's tensors of a safetensors file, by name.

    Source:
        The format's page: the length of a JSON header in 8 bytes, the header, the numbers.
    """
    whole = file.seek(0, 2)
    file.seek(0)
    (length,) = struct.unpack("<Q", exactly(file, 8))
    if length > min(whole - 8, MOST_HEADER_BYTES):
        raise ValueError("its header reaches beyond its end")
    header = json.loads(exactly(file, length))
    for name, entry in header.items():
        if not name.startswith(("model.encoder.", "encoder.")):
            continue
        dtype = SAFETENSORS_DTYPES.get(entry["dtype"])
        if dtype is None:
            raise ValueError(f"{name} is {entry['dtype']}, known are F16, F32 and F64")
        begin, end = entry["data_offsets"]
        if not 0 <= begin <= end <= whole - 8 - length:
            raise ValueError(f"{name} reaches beyond the end of the file")
        file.seek(8 + length + begin)
        yield name, array_of(name, exactly(file, end - begin), dtype, tuple(entry["shape"]))


def ctranslate2(file: BinaryIO) -> Iterator[tuple[str, np.ndarray]]:
    """Read the encoder's variables of a CTranslate2 model, by name; scalars are left out.

    Source:
        CTranslate2's model specification, binary version 6: version, name and revision of the
        model, then each variable's name, shape, type, size in bytes and numbers.
    """

    def number(code: str) -> int:
        return int(struct.unpack(f"<{code}", exactly(file, struct.calcsize(f"<{code}")))[0])

    def text() -> str:
        return exactly(file, number("H")).rstrip(b"\0").decode()

    number("I")
    model, _, count = text(), number("I"), number("I")
    if model != CT2_NAME:
        raise ValueError(f"it holds a {model[:40]}, not a {CT2_NAME}")
    for _ in range(count):
        name, axes = text(), number("B")
        if axes > MOST_AXES:
            raise ValueError(f"{name[:80]} has {axes} axes")
        shape = tuple(number("I") for _ in range(axes))
        kind, size = number("B"), number("I")
        if kind >= len(CT2_BYTES) or size != math.prod(shape) * CT2_BYTES[kind]:
            raise ValueError(f"{name[:80]} has an impossible size")
        if not name.startswith("encoder/") or not axes:
            exactly(file, size)
        elif kind not in CT2_DTYPES:
            raise ValueError(f"{name} is quantised; convert the model to float16 or float32")
        else:
            yield name, array_of(name, exactly(file, size), CT2_DTYPES[kind], shape)


def exactly(file: BinaryIO, count: int) -> bytes:
    """Read this many bytes."""
    data = file.read(count)
    if len(data) != count:
        raise ValueError("it ends too early")
    return data


def array_of(name: str, data: bytes, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Make an array of bytes, if they are exactly its numbers."""
    if any(type(n) is not int or n < 0 for n in shape):
        raise ValueError(f"{name} has an impossible shape")
    if len(data) != math.prod(shape) * np.dtype(dtype).itemsize:
        raise ValueError(f"{name} has {len(data)} bytes, which is not its shape")
    return np.frombuffer(data, dtype).reshape(shape)

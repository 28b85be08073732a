"""Small weights of Whisper's encoder, in each of the file formats in which others publish them."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np

from emorec_tf.models.audio.whisper_layers import positions

WIDTH, BLOCKS, BANDS, TOKENS = 8, 2, 80, 1500  # size "test"
Arrays = dict[str, np.ndarray]


def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Random numbers that half precision holds exactly, always the same for a name."""
    random = np.random.default_rng(list(name.encode()))
    values = random.uniform(-1, 1, shape) / np.sqrt(np.prod(shape[1:]))
    around = 1.0 if name.endswith("norm.weight") else 0.0
    return (around + values).astype(np.float16).astype(np.float32)


def encoder(bands: int = BANDS) -> Arrays:
    """The arrays by Hugging Face's names, in PyTorch's order of axes."""
    shapes: dict[str, tuple[int, ...]] = {
        "conv1.weight": (WIDTH, bands, 3),
        "conv1.bias": (WIDTH,),
        "conv2.weight": (WIDTH, WIDTH, 3),
        "conv2.bias": (WIDTH,),
        "layer_norm.weight": (WIDTH,),
        "layer_norm.bias": (WIDTH,),
    }
    sizes = {"fc1": (4 * WIDTH, WIDTH), "fc2": (WIDTH, 4 * WIDTH)}
    sizes |= {f"self_attn.{n}_proj": (WIDTH, WIDTH) for n in ("q", "k", "v", "out")}
    for block in range(BLOCKS):
        for name, shape in sizes.items():
            shapes[f"layers.{block}.{name}.weight"] = shape
            if "k_proj" not in name:
                shapes[f"layers.{block}.{name}.bias"] = shape[:1]
        for name in ("self_attn_layer_norm", "final_layer_norm"):
            shapes[f"layers.{block}.{name}.weight"] = (WIDTH,)
            shapes[f"layers.{block}.{name}.bias"] = (WIDTH,)
    made = {name: drawn(name, shape) for name, shape in shapes.items()}
    return {**made, "embed_positions.weight": positions(TOKENS, WIDTH)}


def safetensors(arrays: Arrays, path: Path) -> Path:
    """Write Hugging Face's file, with something of the decoder."""
    tensors = {f"model.encoder.{name}": array for name, array in arrays.items()}
    tensors["model.decoder.layer_norm.bias"] = np.zeros(3, np.float32)
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, array in tensors.items():
        kind = {"float32": "F32", "float16": "F16"}[array.dtype.name]
        place = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": place}
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


CT2_PARTS = {
    "self_attn_layer_norm": "self_attention/layer_norm",
    "self_attn.out_proj": "self_attention/linear_1",
    "final_layer_norm": "ffn/layer_norm",
    "fc1": "ffn/linear_0",
    "fc2": "ffn/linear_1",
}


def ctranslate2_names(arrays: Arrays) -> Arrays:
    """The same arrays as CTranslate2 names and joins them."""
    made: Arrays = {"num_heads": np.array(2, np.int16)}
    for name, array in arrays.items():
        part, _, end = name.rpartition(".")
        if "layer_norm" in part:
            end = {"weight": "gamma", "bias": "beta"}[end]
        if part.startswith("layers."):
            _, block, part = part.split(".", 2)
            if part not in CT2_PARTS:
                continue
            part = f"layer_{block}/{CT2_PARTS[part]}"
        if part == "embed_positions":
            part, end = "position_encodings", "encodings"
        made[f"{part}/{end}"] = array
    for number in range(BLOCKS):
        own = [f"layers.{number}.self_attn.{letter}_proj" for letter in "qkv"]
        made[f"layer_{number}/self_attention/linear_0/weight"] = np.concatenate(
            [arrays[f"{name}.weight"] for name in own]
        )
        biases = [arrays.get(f"{name}.bias", np.zeros(WIDTH, np.float32)) for name in own]
        made[f"layer_{number}/self_attention/linear_0/bias"] = np.concatenate(biases)
    return {f"encoder/{name}": np.asarray(array) for name, array in made.items()}


def ctranslate2(arrays: Arrays, path: Path, model: str = "WhisperSpec") -> Path:
    """Write CTranslate2's file, with something of the decoder before it."""
    kinds = ("float32", "int8", "int16", "int32", "float16", "bfloat16")

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    variables = {"decoder/layer_norm/beta": np.zeros(3, np.int8), **ctranslate2_names(arrays)}
    data = struct.pack("<I", 6) + text(model) + struct.pack("<II", 3, len(variables))
    for name, array in variables.items():
        data += text(name) + struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        data += struct.pack("<BI", kinds.index(array.dtype.name), array.nbytes) + array.tobytes()
    aliases = text("decoder/projection/weight") + text("decoder/embeddings/weight")
    path.write_bytes(data + struct.pack("<I", 1) + aliases)
    return path


OPENAI_PARTS = {
    "self_attn_layer_norm": "attn_ln",
    "self_attn.q_proj": "attn.query",
    "self_attn.k_proj": "attn.key",
    "self_attn.v_proj": "attn.value",
    "self_attn.out_proj": "attn.out",
    "final_layer_norm": "mlp_ln",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
}


def openai_name(name: str) -> str:
    """OpenAI's name of an array."""
    if name == "embed_positions.weight":
        return "encoder.positional_embedding"
    if not name.startswith("layers."):
        return f"encoder.{name}".replace("layer_norm", "ln_post")
    _, block, rest = name.split(".", 2)
    part, _, end = rest.rpartition(".")
    return f"encoder.blocks.{block}.{OPENAI_PARTS[part]}.{end}"


def openai(arrays: Arrays, path: Path) -> Path:
    """Write OpenAI's file as torch.save does: dimensions, and the state dict in half precision."""

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"J" + struct.pack("<i", v) for v in values) + b"t"

    file, items = io.BytesIO(), b""
    with zipfile.ZipFile(file, "w") as archive:
        for key, (name, array) in enumerate(arrays.items()):
            half = array.astype("<f2")
            archive.writestr(f"archive/data/{key}", half.tobytes())
            kind = b"ctorch\nHalfStorage\n"
            storage = b"(" + text("storage") + kind + text(str(key)) + text("cuda:0")
            storage += b"J" + struct.pack("<i", half.size) + b"tQ"
            strides = tuple(n // 2 for n in half.strides)
            hooks = b"\x89ccollections\nOrderedDict\n)R"
            view = b"(" + storage + b"K\0" + numbers(half.shape) + numbers(strides) + hooks + b"tR"
            items += text(openai_name(name)) + b"ctorch._utils\n_rebuild_tensor_v2\n" + view
        dims = b"}(" + text("n_mels") + b"KP" + text("n_audio_layer") + b"K\2u"
        state = b"}(" + items + b"u"
        whole = b"}(" + text("dims") + dims + text("model_state_dict") + state + b"u"
        archive.writestr("archive/data.pkl", b"\x80\x02" + whole + b".")
    path.write_bytes(file.getvalue())
    return path


WRITERS = {"openai": openai, "hugging_face": safetensors, "ctranslate2": ctranslate2}

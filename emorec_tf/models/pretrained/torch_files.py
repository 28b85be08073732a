"""Tensors of a PyTorch state dict (.pth), without torch and without running its pickle.

A pickle is a program. It is read here as a list of instructions, and only those that a dict of
tensors needs are followed; the few functions that it may name are known here and only describe
views of numbers. Both forms of ``torch.save`` are read: the archive (since torch 1.6) and the older
file of consecutive pickles.
"""

from __future__ import annotations

import io
import math
import pickletools
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf.errors import UserError

ARCHIVE_START = b"PK\x03\x04"
MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of the older form
PROTOCOL = 1001
STORAGES = {
    "torch FloatStorage": "<f4",
    "torch HalfStorage": "<f2",
    "torch DoubleStorage": "<f8",
    "torch LongStorage": "<i8",
}
DAMAGED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
)


@dataclass(frozen=True)
class Global:
    """A function or class that the file names; never imported."""

    name: str


@dataclass(frozen=True)
class Storage:
    """``count`` numbers in a row, kept in the file under ``key``."""

    key: str
    dtype: np.dtype
    count: int


@dataclass(frozen=True)
class View:
    """A tensor: where it begins in a storage, and its shape and strides in numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def state_dict(path: str | Path, key: str | None = None) -> dict[str, np.ndarray]:
    """Read the tensors of a ``torch.save``-d state dict, by name and in its order; read-only.

    Args:
        path: of the file.
        key: where the file holds a dict of several things: that of the state dict among them.

    Raises:
        UserError: no such file, a damaged one, or one that holds anything but tensors.
    """
    try:
        data = Path(path).read_bytes()
        read = from_archive if data.startswith(ARCHIVE_START) else from_pickles
        views, storages = read(data)
        if key is not None:
            views = views[key]
        if not isinstance(views, dict):
            raise ValueError(f"it holds {described(views)}, not a dict of tensors")
        return {name: array_of(name, view, storages) for name, view in views.items()}
    except DAMAGED as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise UserError(
            f"{path}: cannot be read as a PyTorch state dict ({reason}); download it again, or "
            f"save it with torch.save(model.state_dict(), FILE)"
        ) from error


def from_archive(data: bytes) -> tuple[Any, dict[Storage, np.ndarray]]:
    """The newer form: a zip of ``data.pkl`` and one stored file per storage."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sizes = {i.filename: i.file_size for i in archive.infolist()}
        if any(i.compress_type != zipfile.ZIP_STORED for i in archive.infolist()):
            raise ValueError("its parts are compressed, which torch.save does not do")
        if sum(sizes.values()) > len(data):
            raise ValueError("its parts are larger than itself")
        pickles = [name for name in sizes if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError("it has no data.pkl, or several")
        root = pickles[0].removesuffix("data.pkl")
        order = f"{root}byteorder"
        if order in sizes and archive.read(order) != b"little":
            raise ValueError("its numbers are not little-endian")
        views, named = unpickled(io.BytesIO(archive.read(pickles[0])))
        files = {s: archive.read(f"{root}data/{s.key}") for s in named.values()}
    return views, {s: np.frombuffer(raw, s.dtype, s.count) for s, raw in files.items()}


def from_pickles(data: bytes) -> tuple[Any, dict[Storage, np.ndarray]]:
    """The older form: five pickles, then each storage as its length and its numbers."""
    file = io.BytesIO(data)
    if unpickled(file)[0] != MAGIC or unpickled(file)[0] != PROTOCOL:
        raise ValueError("it does not begin as one")
    if unpickled(file)[0].get("little_endian") is not True:
        raise ValueError("its numbers are not little-endian")
    views, named = unpickled(file)
    storages = {}
    for key in unpickled(file)[0]:
        storage = named[key]
        (count,) = struct.unpack("<q", file.read(8))
        if count != storage.count:
            raise ValueError(f"storage {key} has {count} numbers where {storage.count} are named")
        storages[storage] = np.frombuffer(data, storage.dtype, count, file.tell())
        file.seek(storages[storage].nbytes, io.SEEK_CUR)
    return views, storages


def array_of(name: str, view: Any, storages: Mapping[Storage, np.ndarray]) -> np.ndarray:
    """Slice a tensor out of its storage, never beyond it."""
    if not isinstance(view, View):
        raise ValueError(f"{name} is {described(view)}, not a tensor")
    numbers = [view.offset, *view.shape, *view.strides]
    if any(type(n) is not int or n < 0 for n in numbers) or len(view.shape) != len(view.strides):
        raise ValueError(f"{name} has an impossible shape")
    count = math.prod(view.shape)
    last = view.offset + sum((n - 1) * s for n, s in zip(view.shape, view.strides, strict=True))
    if count > view.storage.count or (count and last >= view.storage.count):
        raise ValueError(f"{name} reaches beyond its {view.storage.count} numbers")
    if not count:
        return np.zeros(view.shape, view.storage.dtype)
    values = storages[view.storage][view.offset :]
    strides = [s * values.itemsize for s in view.strides]
    return np.lib.stride_tricks.as_strided(values, view.shape, strides, writeable=False)


MARK = Global("(mark)")
PLAIN = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"}
MADE: dict[str, Callable[[], Any]] = {
    "MARK": lambda: MARK,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def unpickled(file: io.BytesIO) -> tuple[Any, dict[str, Storage]]:
    """Read one pickle up to its end: its value, and the storages it names by key.

    Raises:
        ValueError: an instruction or a name that no state dict needs.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    storages: dict[str, Storage] = {}
    argument: Any
    for opcode, argument, _ in pickletools.genops(file):
        name = opcode.name
        if name in PLAIN:
            stack.append(argument)
        elif name in MADE:
            stack.append(MADE[name]())
        elif name == "GLOBAL":
            stack.append(Global(argument))
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name in TUPLES:
            stack[-TUPLES[name] :] = [tuple(stack[-TUPLES[name] :])]
        elif name == "TUPLE":
            stack.append(tuple(since_mark(stack)))
        elif name == "BINPERSID":
            storage = storage_of(stack.pop())
            if storages.setdefault(storage.key, storage) != storage:
                raise ValueError(f"storage {storage.key} is named in two ways")
            stack.append(storage)
        elif name == "REDUCE":
            arguments = stack.pop()
            stack.append(called(stack.pop(), arguments))
        elif name in FILLED:
            FILLED[name](stack)
        elif name not in ("PROTO", "STOP"):
            raise ValueError(f"its pickle asks for {name}, which no state dict needs")
    return stack.pop(), storages


def since_mark(stack: list[Any]) -> list[Any]:
    """Pop everything after the last mark, and the mark."""
    place = max(i for i, value in enumerate(stack) if value is MARK)
    values = stack[place + 1 :]
    del stack[place:]
    return values


def set_items(stack: list[Any], pairs: list[Any]) -> None:
    """Put keys and values, in turn, into the dict on top."""
    if not (isinstance(stack[-1], dict) and all(isinstance(key, str) for key in pairs[::2])):
        raise ValueError("a dict has keys that are no names")
    stack[-1].update(zip(pairs[::2], pairs[1::2], strict=True))


def extend(stack: list[Any], values: list[Any]) -> None:
    """Put values at the end of the list on top."""
    if not isinstance(stack[-1], list):
        raise ValueError(f"it appends to {described(stack[-1])}")
    stack[-1].extend(values)


def build(stack: list[Any]) -> None:
    """Drop the attributes of a dict, such as the ``_metadata`` of torch's modules."""
    stack.pop()
    if not isinstance(stack[-1], dict):
        raise ValueError(f"it gives attributes to {described(stack[-1])}")


FILLED: dict[str, Callable[[list[Any]], None]] = {
    "SETITEM": lambda stack: set_items(stack, [stack.pop(-2), stack.pop()]),
    "SETITEMS": lambda stack: set_items(stack, since_mark(stack)),
    "APPEND": lambda stack: extend(stack, [stack.pop()]),
    "APPENDS": lambda stack: extend(stack, since_mark(stack)),
    "BUILD": build,
}


def storage_of(identity: Any) -> Storage:
    """Read ``("storage", class, key, device, count[, None])``."""
    kind, storage_class, key, _, count = identity[:5]
    if kind != "storage" or any(part is not None for part in identity[5:]):
        raise ValueError("it names a storage in a way of very old versions")
    dtype = STORAGES.get(described(storage_class))
    if dtype is None:
        known = ", ".join(STORAGES)
        raise ValueError(f"its numbers are {described(storage_class)}, known are {known}")
    if type(count) is not int or count < 0 or not isinstance(key, str):
        raise ValueError("a storage has an impossible size or name")
    return Storage(key, np.dtype(dtype), count)


def called(function: Any, arguments: tuple[Any, ...]) -> Any:
    """Return what one of the three known functions would."""
    name = described(function)
    if name == "collections OrderedDict" and not arguments:
        return {}
    if name == "torch._utils _rebuild_parameter":
        return arguments[0]
    if name == "torch._utils _rebuild_tensor_v2" and isinstance(arguments[0], Storage):
        return View(*arguments[:4])
    raise ValueError(f"it asks for {name}, which no state dict needs")


def described(value: Any) -> str:
    """Name a value of the file for a message."""
    return value.name if isinstance(value, Global) else type(value).__name__

"""State dicts written by torch, read without it; damaged and hostile files are refused.

The two files under data/ hold the same dict, made by torch 2.2.2::

    net = Sequential(OrderedDict(conv=Conv2d(2, 3, (2, 3)), norm=BatchNorm2d(3),
                                 dense=Linear(5, 2, bias=False).half()))
    tensors = net.state_dict()
    for i, value in enumerate(tensors.values()):
        value.copy_(torch.arange(value.numel()).reshape(value.shape) / 8 + i)
    base = torch.arange(24, dtype=torch.float64).reshape(4, 6)
    tensors |= {"turned": base.t(), "part": base[1:3, 2:5], "empty": torch.zeros(0, 3),
                "number": torch.tensor(7), "parameter": Parameter(torch.ones(2))}
    torch.save(tensors, "torch_archive.pth")
    torch.save(tensors, "torch_pickles.pth", _use_new_zipfile_serialization=False)
"""

from __future__ import annotations

import io
import pickle
import re
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from places import ROOT

from emorec_tf.errors import UserError
from emorec_tf.models.pretrained.torch_files import state_dict

DATA = ROOT / "tests" / "data"
FILES = ["torch_archive.pth", "torch_pickles.pth"]
MODULE = {  # shape and type of what state_dict() named, in its order
    "conv.weight": ((3, 2, 2, 3), np.float32),
    "conv.bias": ((3,), np.float32),
    "norm.weight": ((3,), np.float32),
    "norm.bias": ((3,), np.float32),
    "norm.running_mean": ((3,), np.float32),
    "norm.running_var": ((3,), np.float32),
    "norm.num_batches_tracked": ((), np.int64),
    "dense.weight": ((2, 5), np.float16),
}


@pytest.mark.parametrize("file", FILES)
def test_state_dicts_written_by_torch_are_read(file):
    found = state_dict(DATA / file)
    assert list(found) == [*MODULE, "turned", "part", "empty", "number", "parameter"]
    for number, (name, (shape, dtype)) in enumerate(MODULE.items()):
        assert found[name].dtype == dtype
        wanted = np.arange(np.prod(shape)).reshape(shape) / 8 + number
        np.testing.assert_array_equal(found[name], wanted.astype(dtype))
    base = np.arange(24.0).reshape(4, 6)
    np.testing.assert_array_equal(found["turned"], base.T)
    np.testing.assert_array_equal(found["part"], base[1:3, 2:5])
    assert found["empty"].shape == (0, 3)
    assert found["number"] == 7
    np.testing.assert_array_equal(found["parameter"], [1, 1])


@pytest.mark.parametrize("archive", [True, False])
def test_files_of_the_installed_torch_are_read(archive, tmp_path):
    torch = pytest.importorskip("torch")
    made = {"a": torch.randn(4, 3, 2).permute(2, 0, 1), "b": torch.randn(5).half()}
    torch.save(made, tmp_path / "a.pth", _use_new_zipfile_serialization=archive)
    found = state_dict(tmp_path / "a.pth")
    assert list(found) == ["a", "b"]
    for name in made:
        np.testing.assert_array_equal(found[name], made[name].numpy())


def read(data: bytes, folder: Path) -> dict[str, np.ndarray]:
    (folder / "some.pth").write_bytes(data)
    return state_dict(folder / "some.pth")


def refused(data: bytes, folder: Path, message: str = "state dict") -> None:
    with pytest.raises(UserError, match=message) as error:
        read(data, folder)
    assert "\n" not in str(error.value)
    assert "some.pth" in str(error.value)


@pytest.mark.parametrize("file", FILES)
def test_every_truncation_is_refused(file, tmp_path):
    whole = (DATA / file).read_bytes()
    for length in range(0, len(whole), 13):
        refused(whole[:length], tmp_path)


@pytest.mark.parametrize("file", FILES)
def test_damaged_files_never_raise_other_errors(file, tmp_path):
    whole = (DATA / file).read_bytes()
    random = np.random.default_rng(0)
    refusals = []
    for _ in range(400):
        data = bytearray(whole)
        for place in random.integers(0, len(data), 3):
            data[place] = random.integers(0, 256)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # zipfile's on names that occur twice
                read(bytes(data), tmp_path)
        except UserError as error:
            refusals.append(str(error))
    assert len(refusals) > 100
    assert not any("\n" in message for message in refusals)


def archive(content: bytes, numbers: bytes = bytes(16), how: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as made:
        made.writestr("a/data.pkl", content)
        made.writestr("a/data/0", numbers)
    return file.getvalue()


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def number(value: int) -> bytes:
    return b"J" + value.to_bytes(4, "little", signed=True)


def numbers(*values: int) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(offset=0, shape=(4,), strides=(1,), count=4, kind="torch\nFloatStorage") -> bytes:
    """The pickle of {"w": tensor}, as torch writes it."""
    storage = text("storage") + b"c" + kind.encode() + b"\n" + text("0") + text("cpu")
    storage = b"((" + storage + number(count) + b"tQ"
    view = number(offset) + numbers(*shape) + numbers(*strides) + b"\x89" + b"}"
    call = b"ctorch._utils\n_rebuild_tensor_v2\n" + storage + view + b"tR"
    return b"\x80\x02}" + text("w") + call + b"s."


def test_a_tensor_written_by_hand(tmp_path):
    values = np.array([1, 2, 3, 4], "<f4")
    found = read(archive(tensor(shape=(2, 2), strides=(1, 2)), values.tobytes()), tmp_path)
    np.testing.assert_array_equal(found["w"], [[1, 3], [2, 4]])


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ({"offset": 1}, "w reaches beyond its 4 numbers"),
        ({"offset": -1}, "w has an impossible shape"),
        ({"strides": (2,)}, "w reaches beyond"),
        ({"strides": (-1,)}, "w has an impossible shape"),
        ({"strides": (1, 1)}, "w has an impossible shape"),
        ({"shape": (2**31 - 1,) * 4, "strides": (0,) * 4}, "w reaches beyond"),
        ({"count": 5}, "buffer"),
        ({"count": 2**31 - 1}, "buffer"),
        ({"kind": "torch\nBFloat16Storage"}, "torch BFloat16Storage, known are torch FloatSt"),
        ({"kind": "os\nsystem"}, "numbers are os system"),
    ],
)
def test_impossible_tensors(view, message, tmp_path):
    refused(archive(tensor(**view)), tmp_path, message)


class Bomb:
    """Unpickled, it would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", range(6))
def test_no_code_in_a_pickle_is_run(protocol, tmp_path):
    for value in ({"w": Bomb(tmp_path / "made")}, Bomb(tmp_path / "made")):
        content = pickle.dumps(value, protocol)
        refused(content, tmp_path)
        refused(archive(content), tmp_path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "state dict"),
        (b"<html>Not found</html>", "download it again, or save it with torch.save"),
        (archive(pickle.dumps([1], 2)), "it holds list, not a dict of tensors"),
        (archive(pickle.dumps({"epoch": 3}, 2)), "epoch is int, not a tensor"),
        (archive(pickle.dumps({3: 3}, 2)), "keys that are no names"),
        (archive(b"\x80\x02cos\nsystem\n(X\x02\x00\x00\x00lstR."), "os system"),
        (archive(b"\x80\x02]]\x94s."), "MEMOIZE, which no state dict needs"),
        (archive(b"(" * 9 + b"." * 9), "not a dict"),
        (archive(tensor(), how=zipfile.ZIP_DEFLATED), "compressed"),
        (archive(tensor()).replace(b"a/data.pkl", b"a/date.pkl"), "no data.pkl"),
    ],
)
def test_other_files(data, message, tmp_path):
    refused(data, tmp_path, message)


def test_a_missing_file_is_refused(tmp_path):
    path = tmp_path / "none.pth"
    with pytest.raises(UserError, match=re.escape(str(path))):
        state_dict(path)

"""Our AlexNet with torchvision's weights gives the outputs of torch.

The numbers in data/alexnet_torch.txt come from torch 2.2.2: the published table of layers as
nn.Sequential (features 0 to 12, AdaptiveAvgPool2d(6), classifier 0 to 5), in eval mode, with the
weights of ``drawn`` and the image of ``image``, scaled by ImageNet's mean and deviation.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
from places import ROOT

from emorec_tf.config import choices
from emorec_tf.errors import UserError
from emorec_tf.models.pretrained import alexnet
from emorec_tf.models.pretrained.alexnet import CONVOLUTIONS, DENSE
from emorec_tf.storage import downloads

GOLDEN = ROOT / "tests" / "data" / "alexnet_torch.txt"
NET = "width=1.0, pixels=224, dense=4096, dense_layers=2, dropout=0.5, norm='none'"
SHAPES: list[tuple[int, ...]] = [
    *[(64, 3, 11, 11), (192, 64, 5, 5), (384, 192, 3, 3), (256, 384, 3, 3), (256, 256, 3, 3)],
    *[(4096, 9216), (4096, 4096)],
]


def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
    random = np.random.default_rng(list(name.encode()))
    size = np.sqrt(6 / np.prod(shape[1:]) if len(shape) > 1 else 0.01)
    return (random.uniform(-1, 1, shape) * size).astype(np.float32)


def image() -> np.ndarray:
    y, x, c = np.mgrid[:224, :224, :3]
    return ((x * (c + 1) + y * y // 7 + 13 * c) % 256).astype(np.uint8)


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    made = {}
    for name, shape in zip((*CONVOLUTIONS, *DENSE), SHAPES, strict=True):
        made[f"{name}.weight"] = drawn(f"{name}.weight", shape)
        made[f"{name}.bias"] = drawn(f"{name}.bias", shape[:1])
    return made


def built(given: str, channels: int = 3) -> keras.Model:
    inputs = {
        "faces": keras.Input((1, 224, 224, channels), name="faces", dtype="uint8"),
        "face_mask": keras.Input((1,), name="face_mask"),
    }
    return keras.Model(inputs, choices.resolve("face", f"alexnet({NET}, {given})")(inputs).values)


def answered(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    inputs = {"faces": pixels[None, None], "face_mask": np.ones((1, 1), np.float32)}
    return np.asarray(model(inputs))[0, 0]


def agree(found: np.ndarray, norm: float, first: np.ndarray) -> None:
    np.testing.assert_allclose(found[: len(first)], first, rtol=0, atol=1e-5 * first.max())
    assert np.linalg.norm(found) == pytest.approx(norm, rel=1e-5)


def test_pretrained_alexnet_equals_torch_and_freezes_as_asked(tensors, tmp_path, monkeypatch):
    path = tmp_path / "weights.pth"
    path.touch()
    monkeypatch.setattr(alexnet, "state_dict", lambda _: tensors)
    model = built(f"scaling='imagenet', weights='{path}', frozen='first_dense'")
    norm, *first = np.loadtxt(GOLDEN)
    agree(answered(model, image()), norm, np.array(first))
    shapes = [tuple(v.shape) for v in model.trainable_variables]
    assert shapes == [(4096,), (4096, 4096), (4096,)]  # the first layer's bias, the second


def test_alexnet_equals_installed_torch(tmp_path):
    torch = pytest.importorskip("torch")
    nn, relu, pool = torch.nn, torch.nn.ReLU(), torch.nn.MaxPool2d(3, 2)
    convolutions = [
        nn.Conv2d(s[1], s[0], s[2], 4 if i == 0 else 1, 2 if i < 2 else 1)
        for i, s in enumerate(SHAPES[:5])
    ]
    a, b, c, d, e = convolutions
    net = nn.Sequential()
    net.features = nn.Sequential(a, relu, pool, b, relu, pool, c, relu, d, relu, e, relu, pool)
    drop = nn.Dropout()
    first, second = nn.Linear(9216, 4096), nn.Linear(4096, 4096)
    net.classifier = nn.Sequential(drop, first, relu, drop, second, relu)
    net.eval()
    torch.save(net.state_dict(), tmp_path / "live.pth")
    scaled = (image() / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    with torch.no_grad():
        x = torch.from_numpy(scaled.astype(np.float32)).permute(2, 0, 1)[None]
        wanted = net.classifier(net.features(x).flatten(1))[0].numpy()
    model = built(f"scaling='imagenet', weights='{tmp_path / 'live.pth'}'")
    agree(answered(model, image()), float(np.linalg.norm(wanted)), wanted)


def test_grey_is_repeated():
    from emorec_tf.models.face.face_branches import as_imagenet

    pixels = image()[None]
    wanted = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(as_imagenet(pixels), wanted, atol=1e-5)
    grey = pixels[..., :1]
    np.testing.assert_allclose(
        as_imagenet(grey), as_imagenet(np.repeat(grey, 3, axis=-1)), atol=1e-6
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("weights='none.pth', width=0.5", "width is 0.5; it must be 1.0 for these weights"),
        ("weights='none.pth', norm='batch'", "norm is 'batch'; it must be 'none' for these"),
        ("weights='none.pth', dense_layers=1", "dense_layers is 1; it must be 2"),
        ("weights='none.pth', scaling='imagenet', pixels=112", "pixels is 112; it must be 224"),
        ("weights='none.pth'", "scaling is 'picture'; it must be 'imagenet' for these weights"),
    ],
)
def test_other_nets_are_refused(arguments, message):
    kept = dict(part.split("=") for part in f"{NET}, {arguments}".split(", "))
    choice = f"alexnet({', '.join(f'{k}={v}' for k, v in kept.items())})"
    inputs = {
        "faces": keras.Input((1, 224, 224, 1), name="faces", dtype="uint8"),
        "face_mask": keras.Input((1,), name="face_mask"),
    }
    with keras.StatelessScope(), pytest.raises(UserError, match=message):
        choices.resolve("face", choice)(inputs)


def layers() -> tuple[list[keras.layers.Layer], list[keras.layers.Layer]]:
    """A net of two maps and a 2 x 2 image, for the error messages of loading."""
    x = keras.Input((2, 2, 3))
    convolution, dense = keras.layers.Conv2D(2, 1), keras.layers.Dense(5)
    dense(keras.layers.Flatten()(convolution(x)))
    return [convolution], [dense]


def test_files_of_other_nets(tmp_path, monkeypatch):
    path = tmp_path / "weights.pth"
    path.touch()
    monkeypatch.setattr(alexnet, "CONVOLUTIONS", CONVOLUTIONS[:1])
    monkeypatch.setattr(alexnet, "DENSE", DENSE[:1])
    shapes = {"features.0": (2, 3, 1, 1), "classifier.1": (5, 8)}
    good = {f"{n}.weight": drawn(n, s) for n, s in shapes.items()}
    good |= {f"{n}.bias": drawn(n, s[:1]) for n, s in shapes.items()}
    for change, message in (
        ({"classifier.1.weight": drawn("a", (5, 9))}, r"classifier.1 is \(5, 9\), which is not"),
        ({"features.0.weight": drawn("a", (2, 3, 3, 3))}, "features.0 is"),
        ({"features.0.bias": drawn("a", (3,))}, "features.0 is"),
        ({"classifier.1.bias": None}, "has no classifier.1"),
    ):
        monkeypatch.setattr(alexnet, "state_dict", lambda _, c=change: good | c)
        with pytest.raises(UserError, match=message):
            alexnet.load(str(path), *layers())
    monkeypatch.setattr(alexnet, "state_dict", lambda _: good)
    alexnet.load(str(path), *layers())


def test_missing_pretrained_weights_are_refused_with_advice(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"none.pth: no such file; alexnet\(weights=...\) needs"):
        alexnet.load(str(tmp_path / "none.pth"), [], [])
    name, address, start = alexnet.IMAGENET
    assert start in address
    assert address.endswith(name)
    missing = (name, (tmp_path / "none").as_uri(), start)
    monkeypatch.setattr(alexnet, "IMAGENET", missing)
    monkeypatch.setenv("EMOREC_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UserError, match=r"downloaded .* pass alexnet\(weights=...\) FILE"):
        alexnet.load("imagenet", [], [])


def test_a_checksum_prefix_is_verified(tmp_path):
    (tmp_path / "a").write_bytes(b"model")  # sha256 9372c470...
    downloads.fetch((tmp_path / "a").as_uri(), "9372c470", tmp_path / "b")
    with pytest.raises(UserError, match="expected 7be5be79"):
        downloads.fetch((tmp_path / "a").as_uri(), "7be5be79", tmp_path / "c")

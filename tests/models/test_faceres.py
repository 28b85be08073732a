"""The face recognition MobileNet against the same graph written in TensorFlow's own operations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from face_nets import branch
from tfjs_files import write

from emorec_tf.errors import UserError
from emorec_tf.models.face.faceres import BLOCKS

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    """Weights of every layer in half precision, by the names of the published file."""
    random = np.random.default_rng(0)

    def drawn(*shape: int) -> np.ndarray:
        fan_in = np.prod(shape[:-1]) if len(shape) > 1 and shape[-1] > 1 else 9
        return (random.normal(size=shape) * np.sqrt(2 / fan_in)).astype(np.float16)

    found = {
        "conv1/convolution/merged_input": drawn(3, 3, 3, 32),
        "conv1_bn/batchnorm_1/sub": 0.1 * drawn(32),
    }
    before = 32
    for number, (filters, _) in enumerate(BLOCKS, start=1):
        found |= {
            f"conv_dw_{number}/depthwise_kernel": drawn(3, 3, before, 1),
            f"conv_dw_{number}_bn/batchnorm_1/mul": 1 + 0.1 * drawn(before),
            f"conv_dw_{number}_bn/batchnorm_1/sub": 0.1 * drawn(before),
            f"conv_pw_{number}/convolution/merged_input": drawn(1, 1, before, filters),
            f"conv_pw_{number}_bn/batchnorm_1/sub": 0.1 * drawn(filters),
        }
        before = filters
    return found


@pytest.fixture(scope="module")
def file(arrays: Arrays, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faceres") / "faceres.json"
    write(path, arrays)
    return path


def by_operations(arrays: Arrays, images: np.ndarray) -> np.ndarray:
    """The nodes of the published graph, one after the other."""
    w = {name: tf.constant(a.astype(np.float32)) for name, a in arrays.items()}

    def six(x: tf.Tensor) -> tf.Tensor:
        return tf.maximum(tf.minimum(tf.nn.relu(x), 6.0), 0.0)

    x = tf.constant(images, tf.float32)
    x = tf.nn.conv2d(x, w["conv1/convolution/merged_input"], (1, 2, 2, 1), "SAME")
    x = six(x + w["conv1_bn/batchnorm_1/sub"])
    for number, stride in enumerate((1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1), start=1):
        dw, pw = f"conv_dw_{number}", f"conv_pw_{number}"
        steps = (1, stride, stride, 1)
        x = tf.nn.depthwise_conv2d(x, w[f"{dw}/depthwise_kernel"], steps, "SAME")
        x = six(x * w[f"{dw}_bn/batchnorm_1/mul"] + w[f"{dw}_bn/batchnorm_1/sub"])
        x = tf.nn.conv2d(x, w[f"{pw}/convolution/merged_input"], (1, 1, 1, 1), "SAME")
        x = six(x + w[f"{pw}_bn/batchnorm_1/sub"])
    return tf.reduce_mean(x, (1, 2)).numpy()


def test_features_equal_the_graph(arrays: Arrays, file: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (3, 96, 96, 3), np.uint8)
    model = branch(f"faceres(weights='{file}', pixels=0)", pixels=96, channels=3)
    inputs = {"faces": images[None], "face_mask": np.ones((1, 3), np.float32)}
    found, wanted = np.asarray(model(inputs)[0][0]), by_operations(arrays, images)
    assert wanted.std() > 0.01
    assert model.count_params() == 3_196_032
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())
    fixed = branch(f"faceres(weights='{file}', pixels=0, frozen=True)", pixels=96, channels=3)
    assert fixed.trainable_variables == []
    rounded = np.asarray(fixed(inputs)[0][0])
    np.testing.assert_allclose(rounded, wanted, atol=5e-3 * np.abs(wanted).max())


def test_grey_is_repeated_and_resized(arrays: Arrays, file: Path) -> None:
    grey = np.random.default_rng(1).integers(0, 256, (1, 2, 48, 48, 1), np.uint8)
    mask = np.ones((1, 2), np.float32)
    values = branch(f"faceres(weights='{file}', pixels=64)", pixels=48)
    found = np.asarray(values({"faces": grey, "face_mask": mask})[0][0])
    large = tf.image.resize(grey[0].astype(np.float32), (64, 64)).numpy().repeat(3, axis=-1)
    wanted = by_operations(arrays, large)
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


def test_wrong_arguments(arrays: Arrays, file: Path, tmp_path: Path) -> None:
    for choice, message in (
        ("faceres(frozen=True)", "frozen is True; it must be False where weights is 'none'"),
        (f"faceres(weights='{file}', width=0.5)", "width is 0.5; it must be 1.0 for these"),
        (f"faceres(weights='{tmp_path / 'no.json'}')", "cannot be read as a TensorFlow.js model"),
    ):
        with pytest.raises(UserError, match=message):
            branch(choice)
    write(tmp_path / "other.json", {**arrays, "conv1_bn/batchnorm_1/sub": np.zeros(3, "f2")})
    with pytest.raises(UserError, match=r"other.json: conv1/convolution.* are not there with"):
        branch(f"faceres(weights='{tmp_path / 'other.json'}')")

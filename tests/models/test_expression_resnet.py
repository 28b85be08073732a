"""The expression net: weights as Keras saves them, trained elsewhere; fixed ones in a run."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from face_nets import branch

from emorec_tf.errors import UserError
from emorec_tf.models.face.expression_resnet import residual_net

BLOCKS = (16, 24)


def block(x: keras.KerasTensor, filters: int, stride: int) -> keras.KerasTensor:
    """As in He et al. 2016 and Hu et al. 2018, written with layers alone."""
    layers = keras.layers
    shortcut = x
    y = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)(x)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.Conv2D(filters, 3, padding="same", use_bias=False)(y)
    y = layers.BatchNormalization()(y)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
    gate = layers.Conv2D(filters // 8, 1, activation="relu")(gate)
    y = layers.Multiply()([y, layers.Conv2D(filters, 1, activation="sigmoid")(gate)])
    if stride > 1:
        shortcut = layers.AveragePooling2D(stride)(shortcut)
        shortcut = layers.Conv2D(filters, 1, use_bias=False)(shortcut)
        shortcut = layers.BatchNormalization()(shortcut)
    return layers.ReLU()(layers.Add()([shortcut, y]))


def classifier() -> keras.Model:
    """The whole net with an input of pixels, whose weights are all random."""
    layers = keras.layers
    keras.utils.set_random_seed(3)
    image = keras.Input((48, 48, 1))
    x = layers.Rescaling(1 / 127.5, -1)(image)
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    for filters in BLOCKS:
        x = block(block(x, filters, 2), filters, 1)
    x = layers.Dropout(0.4)(layers.GlobalAveragePooling2D(name="pooled")(x))
    model = keras.Model(image, layers.Dense(7, name="dense")(x))
    random = np.random.default_rng(0)
    model.set_weights([w + abs(random.normal(0, 0.1, w.shape)) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def theirs() -> keras.Model:
    keras.utils.clear_session()
    return classifier()


@pytest.fixture(scope="module", params=[".keras", ".h5"])
def file(theirs: keras.Model, tmp_path_factory: pytest.TempPathFactory, request) -> Path:
    path = tmp_path_factory.mktemp("expression") / f"net{request.param}"
    theirs.save(path)
    return path


@pytest.fixture
def inputs() -> dict[str, np.ndarray]:
    faces = np.random.default_rng(0).integers(0, 256, (2, 3, 48, 48, 1), np.uint8)
    return {"faces": faces, "face_mask": np.array([[1, 1, 1], [1, 0, 0]], np.float32)}


def choice(file: Path, more: str = "") -> str:
    return f"expression_net(blocks={BLOCKS}, weights='{file}'{more})"


def test_weights_of_a_file(theirs: keras.Model, file: Path, inputs) -> None:
    found = np.asarray(branch(choice(file), pixels=48)(inputs)[0])[0]
    both = keras.Model(theirs.input, [theirs.get_layer("pooled").output, theirs.output])
    wanted = np.concatenate([np.asarray(v) for v in both(inputs["faces"][0])], axis=-1)
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


def test_fixed_weights_stay_as_they_are_rounded(file: Path, inputs, reloaded) -> None:
    free, fixed = branch(choice(file), pixels=48), branch(choice(file, ", frozen=True"), pixels=48)
    assert fixed.trainable_variables == []
    assert free.trainable_variables
    before, found = (np.asarray(model(inputs)[0]) for model in (free, fixed))
    assert 0 < np.abs(found - before).max() < 5e-3 * np.abs(before).max()
    again = reloaded(fixed).predict_on_batch(inputs)
    np.testing.assert_allclose(again[0], found, atol=1e-5 * np.abs(found).max())


def test_one_token_for_a_clip(file: Path, inputs) -> None:
    frames = np.asarray(branch(choice(file), pixels=48)(inputs)[0])
    values, mask = branch(choice(file, ", pool='statistics'"), pixels=48)(inputs)
    parts = np.split(np.asarray(values)[:, 0], 3, axis=-1)
    for row, real in ((0, 3), (1, 1)):
        shown = frames[row, :real]
        for found, wanted in zip(parts, (shown.mean(0), shown.std(0), shown.max(0)), strict=True):
            np.testing.assert_allclose(found[row], wanted, atol=5e-3 + 1e-5 * np.abs(wanted).max())
    np.testing.assert_array_equal(mask, [[1], [1]])


def test_size() -> None:
    image = keras.Input((48, 48, 1))
    net = residual_net(image)
    assert keras.Model(image, net.values).count_params() == 2_807_703


def test_wrong_arguments(file: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.keras").write_bytes(b"PK\x03\x04 nothing")
    for wrong, message in (
        ("expression_net(frozen=True)", "frozen is True; it must be False where weights is"),
        ("expression_net(blocks=(12,))", "it must be multiples of 8"),
        ("expression_net(blocks=())", "it must be multiples of 8"),
        (f"expression_net(weights='{file}')", "holds .* layers with weights, .* are needed"),
        (f"expression_net(blocks=(16, 32), weights='{file}')", "a conv2d has weights"),
        (f"expression_net(weights='{tmp_path / 'broken.keras'}')", "cannot be read as a Keras"),
        ("expression_net(pool='mean')", "pool is 'mean'; it must be none or statistics"),
    ):
        with pytest.raises(UserError, match=message) as error:
            branch(wrong)
        assert "\n" not in str(error.value)

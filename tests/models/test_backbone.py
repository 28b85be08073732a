"""Networks of keras.applications as face branches."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from face_nets import branch

from emorec_tf.config import choices
from emorec_tf.errors import UserError
from emorec_tf.models.face.backbone import NETWORKS

NAMES = sorted(name for name in dir(keras.applications) if name[0].isupper())


def test_every_network_of_keras_is_known_and_documented() -> None:
    assert sorted(NETWORKS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_images_are_scaled_as_the_network_expects(name: str) -> None:
    images = np.random.default_rng(0).uniform(0, 255, (2, 3, 3, 3)).astype(np.float32)
    module = sys.modules[getattr(keras.applications, name).__module__]
    wanted = module.preprocess_input(images.copy())
    np.testing.assert_allclose(NETWORKS[name](images), wanted, atol=2e-5)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keras.utils.set_random_seed(7)
    path = tmp_path_factory.mktemp("backbone") / "mobilenet.weights.h5"
    whole().save_weights(path)
    return path


def whole() -> keras.Model:
    return keras.applications.MobileNetV2(
        weights=None, include_top=False, pooling="avg", input_shape=(32, 32, 3)
    )


@pytest.mark.parametrize("fixed", [False, True])
def test_weights_of_a_file(file: Path, fixed: bool) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32, 1), np.uint8)
    inputs = {"faces": grey, "face_mask": np.ones((1, 3), np.float32)}
    choice = f"backbone(name='MobileNetV2', weights='{file}', pixels=0, trainable={not fixed})"
    model = branch(choice, pixels=32)
    theirs = whole()
    theirs.load_weights(file)
    wanted = np.asarray(theirs(grey[0].repeat(3, axis=-1) / 127.5 - 1.0))
    atol = (1e-2 if fixed else 1e-5) * np.abs(wanted).max()
    np.testing.assert_allclose(np.asarray(model(inputs)[0][0]), wanted, atol=atol)
    assert (model.trainable_variables == []) == fixed
    assert choices.needs_training("face", choice) != fixed


def test_one_token_for_a_clip() -> None:
    model = branch("backbone(pool='statistics', pixels=32)", pixels=32)
    grey = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32, 1), np.uint8)
    mask = np.array([[1, 1, 0], [0, 0, 0]], np.float32)
    values, real = (np.asarray(v) for v in model({"faces": grey, "face_mask": mask}))
    assert values.shape == (2, 1, 3 * 576)
    np.testing.assert_array_equal(real, [[1], [0]])
    np.testing.assert_array_equal(values[1], 0)


def test_wrong_arguments(file: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.weights.h5").write_bytes(b"nothing")
    (tmp_path / "weights.pth").write_bytes(b"nothing")
    for choice, message in (
        ("backbone(name='MobileNetV4')", "unknown name 'MobileNetV4'; did you mean 'MobileNetV2'"),
        ("backbone(trainable=False)", "trainable is False; it must be True where weights is"),
        ("backbone(weights='gone.h5')", "gone.h5: no such file"),
        (f"backbone(weights='{tmp_path / 'weights.pth'}')", "must be a file .keras, .weights.h5"),
        (f"backbone(weights='{tmp_path / 'broken.weights.h5'}')", "cannot be made: "),
        (f"backbone(weights='{file}')", "MobileNetV3Small of 96 pixels .* cannot be made: "),
        ("backbone(name='InceptionV3', pixels=32)", "of 32 pixels .* cannot be made: "),
    ):
        with pytest.raises(UserError, match=message) as error:
            branch(choice)
        assert "\n" not in str(error.value)

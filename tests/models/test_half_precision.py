"""Fixed weights in half precision: rounded once, stored without further loss."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from emorec_tf.models.pretrained import half_precision
from emorec_tf.training import run_dir


def network(fixed: bool) -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input((12, 12, 8))
    found = [layers.Conv2D(32, 3), layers.BatchNormalization(), layers.Dense(40)]
    x = layers.GlobalAveragePooling2D()(found[1](found[0](image)))
    model = keras.Model(image, layers.Dense(64, name="trained")(found[2](x)))
    model.get_layer("trained").set_weights([np.full((40, 64), 0.1, "f4"), np.zeros(64, "f4")])
    if fixed:
        half_precision.freeze(found)
    return model


def arrays_in(path: Path) -> list[tuple[tuple[int, ...], np.dtype]]:
    """Shape and type of every array in a .keras file."""
    found: list[tuple[tuple[int, ...], np.dtype]] = []

    def add(_: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found.append((item.shape, item.dtype))

    with zipfile.ZipFile(path) as archive:
        data = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(data) as file:
        file.visititems(add)
    return found


def test_large_arrays_are_rounded() -> None:
    values = np.random.default_rng(0).normal(size=2000).astype(np.float32)
    np.testing.assert_array_equal(half_precision.rounded(values), values.astype("f2"))
    for kept in (values[:100], values * 1e6):
        np.testing.assert_array_equal(half_precision.rounded(kept), kept)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_saved_model_keeps_its_answers(tmp_path: Path, policy: str) -> None:
    keras.mixed_precision.set_global_policy(policy)
    try:
        model = network(fixed=True)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert len(model.trainable_weights) == 2
    run_dir.save_model(model, tmp_path / "small.keras")
    stored = arrays_in(tmp_path / "small.keras")
    halves = {shape for shape, dtype in stored if dtype == np.float16}
    assert halves == {(3, 3, 8, 32), (32, 40)}  # the others are small, or not exact in 16 bits
    again = run_dir.load_model(tmp_path / "small.keras")
    for kept, found in zip(model.weights, again.weights, strict=True):
        assert found.dtype == kept.dtype
        np.testing.assert_array_equal(found, kept)
    assert len(again.trainable_weights) == 2


def test_the_optimiser_goes_on(tmp_path: Path) -> None:
    model = network(fixed=True)
    model.compile("adam", "mse")
    images = np.random.default_rng(0).normal(size=(8, 12, 12, 8)).astype(np.float32)
    wanted = np.zeros((8, 64), np.float32)
    model.fit(images, wanted, epochs=2, verbose=0)
    run_dir.save_model(model, tmp_path / "best.keras")
    again = run_dir.load_model(tmp_path / "best.keras", for_training=True)
    for kept, found in zip(model.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(found, kept)
    for one in (model, again):
        one.fit(images, wanted, epochs=1, verbose=0, shuffle=False)
    np.testing.assert_allclose(again.predict(images, verbose=0), model.predict(images, verbose=0))


def test_models_without_fixed_weights_are_saved_as_keras_does() -> None:
    assert not half_precision.is_useful(network(fixed=False))
    assert half_precision.is_useful(network(fixed=True))

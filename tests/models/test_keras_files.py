"""HDF5 files written by Keras, valid and damaged."""

from __future__ import annotations

import re

import h5py
import keras
import numpy as np
import pytest

from emorec_tf.errors import UserError
from emorec_tf.models.pretrained import keras_files


def network(seed: int = 0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(2)], name="inner")
    image = keras.Input((6, 6, 1))
    x = layers.SeparableConv2D(4, 3, name="zeta")(image)
    x = layers.BatchNormalization(name="alpha")(x)
    x = inner(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, layers.Dense(5, name="middle")(x))


@pytest.fixture
def whole(tmp_path):
    network().save(tmp_path / "whole.h5")
    return tmp_path / "whole.h5"


def weights_only(whole, path, old: bool = False, parts: bool = False):
    """The older layout of weights alone: the same groups, one level up."""
    with h5py.File(whole) as source, h5py.File(path, "w") as target:
        for name in source["model_weights"]:
            source.copy(f"model_weights/{name}", target)
        names = list(source["model_weights"].attrs["layer_names"])
        names = [n.encode() for n in names] if old else names  # Keras 1 and 2 wrote bytes
        if parts:  # as Keras writes lists too long for one attribute
            target.attrs["layer_names0"], target.attrs["layer_names1"] = names[:2], names[2:]
        else:
            target.attrs["layer_names"] = names
    return path


@pytest.mark.parametrize("kind", [None, {}, {"old": True}, {"parts": True}])
def test_weights_written_by_keras_are_read(whole, tmp_path, kind):
    path = whole if kind is None else weights_only(whole, tmp_path / "alone.h5", **kind)
    found = keras_files.layer_weights(path)
    assert list(found) == ["zeta", "alpha", "inner", "middle"]  # not in alphabetical order
    for name, weights in found.items():
        wanted = network().get_layer(name).get_weights()
        assert len(weights) == len(wanted)
        for got, value in zip(weights.values(), wanted, strict=True):
            np.testing.assert_array_equal(got, value)


def test_load_layers(whole):
    other = network(seed=1)
    kept = other.get_layer("middle").get_weights()[0]
    layers = [other.get_layer(name) for name in ("zeta", "alpha", "inner")]
    keras_files.load_layers(layers, whole)
    image = np.random.default_rng(0).normal(size=(2, 6, 6, 1)).astype(np.float32)
    np.testing.assert_array_equal(other.get_layer("middle").get_weights()[0], kept)
    other.get_layer("middle").set_weights(network().get_layer("middle").get_weights())
    np.testing.assert_array_equal(other(image), network()(image))


def test_other_nets_are_refused(whole):
    layers = network().layers
    with pytest.raises(UserError, match=r"layer alpha has weights .* give the file of B"):
        keras_files.load_layers([layers[1], layers[-1]], whole, "B")
    with pytest.raises(UserError, match="holds 4 layers with weights, 9 are needed"):
        keras_files.load_layers([layers[1]] * 9, whole, "B")


def refused(path, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        keras_files.layer_weights(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_damaged_files(whole, tmp_path):
    refused(tmp_path / "none.h5", "cannot be read as a Keras HDF5 file")
    data = whole.read_bytes()
    for length in (0, 100, len(data) // 2, len(data) - 1):
        (tmp_path / "cut.h5").write_bytes(data[:length])
        refused(tmp_path / "cut.h5", "download it again")


def test_files_of_another_layout(tmp_path):
    network().save_weights(tmp_path / "new.weights.h5")
    refused(tmp_path / "new.weights.h5", re.escape("no layer_names in /"))


def spoilt(whole, change) -> None:
    with h5py.File(whole, "r+") as file:
        layer = file["model_weights/middle"]
        name = layer.attrs["weight_names"][0]
        del layer[name]
        change(layer, name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda layer, name: None, "download it again"),
        (lambda layer, name: layer.create_dataset(name, data="text"), "holds no plain numbers"),
        (lambda layer, name: layer.create_dataset(name, (10**6, 10**6), "f4"), "not wholly in"),
        (
            lambda layer, name: layer.create_dataset(
                name, data=np.zeros(10**6, "f4"), compression="gzip"
            ),
            "not wholly in",
        ),
        (
            lambda layer, name: layer.create_dataset(
                name, (4,), "f4", external=[("elsewhere", 0, 16)]
            ),
            "holds no plain numbers",
        ),
        (
            lambda layer, name: layer.__setitem__(name, h5py.ExternalLink("other.h5", "/values")),
            "not wholly in",
        ),
    ],
)
def test_invalid_arrays_are_refused(whole, tmp_path, change, message):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["values"] = np.zeros(4, "f4")
    spoilt(whole, change)
    refused(whole, message)

"""A network of one face branch, and a weights file in the layout of DeepFace."""

from __future__ import annotations

from pathlib import Path

import h5py
import keras

from emorec_tf.config import choices


def branch(choice: str, pixels: int = 64, channels: int = 1) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = {
        "faces": keras.Input((None, pixels, pixels, channels), name="faces", dtype="uint8"),
        "face_mask": keras.Input((None,), name="face_mask"),
    }
    return keras.Model(inputs, list(choices.resolve("face", choice)(inputs)))


def deepface_file(path: Path, seed: int = 3) -> Path:
    """Write a file as the package does: seven layers and the classifier, weights only."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    image = keras.Input((48, 48, 1))
    x = layers.Conv2D(64, 5, activation="relu")(image)
    x = layers.MaxPooling2D(5, 2)(x)
    for filters in (64, 128):
        x = layers.Conv2D(filters, 3, activation="relu")(x)
        x = layers.Conv2D(filters, 3, activation="relu")(x)
        x = layers.AveragePooling2D(3, 2)(x)
    x = layers.Dropout(0.2)(layers.Dense(1024, activation="relu")(layers.Flatten()(x)))
    x = layers.Dropout(0.2)(layers.Dense(1024, activation="relu", name="second")(x))
    model = keras.Model(image, layers.Dense(7, activation="softmax")(x))
    model.save(path.with_name("whole.h5"))
    with h5py.File(path.with_name("whole.h5")) as source, h5py.File(path, "w") as target:
        for name in source["model_weights"]:
            source.copy(f"model_weights/{name}", target)
        target.attrs["layer_names"] = [
            n.encode() for n in source["model_weights"].attrs["layer_names"]
        ]
    return path

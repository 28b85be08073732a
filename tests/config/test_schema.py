"""The arrays of an example follow the settings."""

from __future__ import annotations

import dataclasses

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.config.schema import MESH_POINTS, Spec, schema


def test_defaults():
    assert schema(FeaturesConfig()) == {
        "audio": Spec((398, 64), "float32"),
        "audio_mask": Spec((398,), "uint8"),
        "faces": Spec((8, 48, 48, 1), "uint8"),
        "face_mask": Spec((8,), "uint8"),
    }


def test_every_array_has_a_mask_of_its_length(features: FeaturesConfig):
    full = dataclasses.replace(features, face_mesh=True, face_channels=3)
    specs = schema(full)
    assert specs["mesh"] == Spec((3, MESH_POINTS, 3), "float32")
    assert specs["faces"].shape == (3, 24, 24, 3)
    for name, mask in (("audio", "audio"), ("faces", "face"), ("mesh", "mesh")):
        assert specs[f"{mask}_mask"] == Spec(specs[name].shape[:1], "uint8")

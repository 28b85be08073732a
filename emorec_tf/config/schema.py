"""Example: the dict of fixed-shape arrays a clip becomes, described once."""

from __future__ import annotations

from dataclasses import dataclass

from emorec_tf.config.config import FeaturesConfig

MESH_POINTS = 478
FRAME_ARRAYS = ("faces", "face_mask", "mesh", "mesh_mask")  # their first axis is video frames (F)


@dataclass(frozen=True)
class Spec:
    """Shape and type of one array of an example."""

    shape: tuple[int, ...]
    dtype: str


def schema(features: FeaturesConfig) -> dict[str, Spec]:
    """Name, shape and type of every array; writer, reader and model inputs all follow it."""
    frames, pixels = features.face_frames, features.face_pixels
    specs = {
        "audio": Spec((features.audio_frames, features.audio_width), "float32"),
        "audio_mask": Spec((features.audio_frames,), "uint8"),
        "faces": Spec((frames, pixels, pixels, features.face_channels), "uint8"),
        "face_mask": Spec((frames,), "uint8"),
    }
    if features.face_mesh:
        specs["mesh"] = Spec((frames, MESH_POINTS, 3), "float32")
        specs["mesh_mask"] = Spec((frames,), "uint8")
    return specs

"""Metadata of exported files: everything that a caller must know."""

from __future__ import annotations

from typing import Any

from emorec_tf import __version__
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.evaluation.model_card import LIMITS
from emorec_tf.exporting.export_graph import Serving
from emorec_tf.features import face_detection

MEANING = {
    "waveform": "mono audio at sample_rate_hz, -1 to 1, padded with zeros",
    "samples": "number of real samples in the waveform; 0: no audio",
    "faces": "face crops, evenly spaced in time unless sampling says otherwise",
    "face_mask": "1 where the frame has a face, else 0",
    "landmarks": "x, y and z of MediaPipe's face mesh in pixels of the whole frame",
    "mesh_mask": "1 where the frame has a mesh, else 0",
    "answerable": "1 where there is something that the network looks at, by the masks and samples; "
    "where it is 0 there is no answer, and the other outputs mean nothing",
    "probabilities": "softmax of the logits divided by the temperature; mean nothing where "
    "answerable is 0",
    "logits": "output of the network, before the temperature",
    "value": "the estimated rating; means nothing where answerable is 0",
    "embedding": "mean over time of each branch's features, audio first, of an ensemble member by "
    "member; zero where absent",
    "familiarity": "share of familiar clips, held out of training, that are less like the training "
    "clips, 0 to 1",
}


def facts(served: Serving) -> dict[str, Any]:
    """Metadata of an export."""
    run, features = served.run, served.run.config.features
    data = run.config.data
    outputs = served.function.get_concrete_function().structured_outputs
    return {
        "emorec_tf": __version__,
        "target": data.target,
        "target_scale": data.target_scale,
        "classes": list(run.classes),
        "dataset": run.source["dataset"],
        "label_meaning": run.source["label_meaning"],
        "licence": run.source["licence"],
        "speakers": "speaker-adapted by the clip itself" if data.adapt else "speaker-independent",
        "leaky": run.split.leaky,
        "temperature": run.temperature,
        "arithmetic": "float32",
        "inputs": {
            name: {"shape": [None, *spec.shape], "dtype": spec.dtype, "meaning": MEANING[name]}
            for name, spec in served.inputs.items()
        },
        "outputs": {
            name: {"shape": list(spec.shape), "dtype": "float32", "meaning": MEANING[name]}
            for name, spec in sorted(outputs.items())
        },
        "sound": {
            "sample_rate_hz": features.sample_rate_hz,
            "samples": features.clip_samples,
            "seconds": features.clip_seconds,
            "trim_db": features.trim_db,
        },
        "pictures": frames(features),
        "limits": list(LIMITS),
    }


def frames(features: FeaturesConfig) -> dict[str, Any]:
    """Which frames of a video the network gets, and how faces are cropped."""
    return {
        "frames": features.face_frames,
        "sampling": features.face_sampling,
        "rate_hz": features.face_rate_hz if features.face_sampling == "rate" else None,
        "pixels": features.face_pixels,
        "channels": features.face_channels,
        "margin": features.face_margin,
        "align": features.face_align,
        "detector": features.face_detector,
        "crop": crop_rule(features),
    }


def crop_rule(features: FeaturesConfig) -> str:
    """Describe how a face is cropped."""
    cut = (
        f"a square around the centre of the face's box, its side the box's longer side times "
        f"{1 + 2 * features.face_margin:g}, with replicated borders, scaled to "
        f"{features.face_pixels} pixels by area interpolation"
    )
    if not features.face_align:
        return cut
    (left, y), (right, _) = face_detection.eye_places(features.face_pixels, features.face_margin)
    eyes = "the centres of the eyes"
    if features.face_align == "mesh":
        eyes += " (means of the mesh's points 33, 133 and 263, 362)"
    return (
        f"rotated, scaled and shifted so that {eyes} are at x {left:.2f} and {right:.2f}, "
        f"y {y:.2f}, with replicated borders; where no eyes are found, {cut}"
    )

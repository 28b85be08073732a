"""What whoever uses an exported file must know; it stands in each of them."""

from __future__ import annotations

from typing import Any

from emorec_tf import __version__
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.evaluation.model_card import LIMITS
from emorec_tf.exporting.export_graph import Serving
from emorec_tf.features import face_detection

MEANING = {
    "waveform": "mono sound at sample_rate_hz, -1 to 1, zeros after its end",
    "samples": "how many samples of the waveform are real; 0: no voice",
    "faces": "face crops, evenly spaced in time unless sampling says otherwise",
    "face_mask": "1 where a picture holds a face, else 0",
    "landmarks": "x, y and z of MediaPipe's face mesh in pixels of the whole picture",
    "mesh_mask": "1 where a picture's mesh was found, else 0",
    "probabilities": "softmax of the logits divided by the temperature",
    "logits": "what the network gives, before the temperature",
    "value": "the rating itself",
    "embedding": "mean over time of each branch's features, voice first, of a product member by "
    "member; zero where absent",
}


def facts(served: Serving) -> dict[str, Any]:
    """Everything a caller must know, as it goes into each exported file."""
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
        "speakers": "each voice is normalised by its own clip" if data.enrol else "unseen",
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
        "pictures": pictures(features),
        "limits": list(LIMITS),
    }


def pictures(features: FeaturesConfig) -> dict[str, Any]:
    """Which pictures of a film are shown, and what of them."""
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
    """Say how a face is cut out of a picture."""
    cut = (
        f"a square around the middle of the face's box, its side the box's longer one times "
        f"{1 + 2 * features.face_margin:g}, the picture's edge repeated, scaled to "
        f"{features.face_pixels} pixels by means over areas"
    )
    if not features.face_align:
        return cut
    (left, y), (right, _) = face_detection.eye_places(features.face_pixels, features.face_margin)
    eyes = "the middles of the eyes"
    if features.face_align == "mesh":
        eyes += " (means of the mesh's points 33, 133 and 263, 362)"
    return (
        f"turned, scaled and shifted so that {eyes} come to x {left:.2f} and "
        f"{right:.2f}, y {y:.2f}, the picture's edge repeated; where no eyes are found, {cut}"
    )

"""A run as one function of raw arrays: features, network and temperature in a single graph.

What an exported file holds. The caller decodes the clip, finds and crops the faces, and pads the
sound with zeros; everything after that happens in here, by the same layers as in ``predict``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from emorec_tf import __version__, audio_features, enrolment
from emorec_tf.clip import UserError
from emorec_tf.config import FeaturesConfig
from emorec_tf.head_layers import joined
from emorec_tf.layers import Tokens
from emorec_tf.model_card import LIMITS
from emorec_tf.runs import Run
from emorec_tf.schema import Spec, schema

Tensors = dict[str, tf.Tensor]

BRANCHES = ("audio_branch", "face_branch")

SERVED_AS = {"mesh": "landmarks"}  # arrays of an example that callers know by another name
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
    "embedding": "mean over time of each branch's features, voice first; zero where absent",
}


@dataclass(frozen=True)
class Serving:
    """A run, ready to be written in any format."""

    run: Run
    model: keras.Model
    inputs: Mapping[str, Spec]  # shapes without the batch
    function: Any  # tf.function: {input: [B, ...]} -> {output: [B, ...]}


def serving(run: Run, model: keras.Model) -> Serving:
    """Put preprocessing before a run's network and its temperature behind it.

    Args:
        run: tells features, classes, temperature and how speakers are known.
        model: its network, ``{array name: [B, ...]} -> logits [B, K]``.

    Returns:
        The function takes a dict of the inputs that ``input_specs`` lists and gives
        ``probabilities`` [B, K] (or ``value`` [B, 1] of a continuous target), ``logits`` [B, K]
        and ``embedding`` [B, E]. Where a mask is 0, or beyond ``samples``, nothing is looked at.

    Raises:
        UserError: a run whose answer needs other clips of the speaker.
    """
    check_alone(run)
    network = with_branches(model)
    inputs = input_specs(run.config.features, {layer.name for layer in model.layers})
    prepared = preprocessing(run, model)
    temperature = run.temperature or 1.0
    signature = {
        name: tf.TensorSpec((None, *spec.shape), spec.dtype, name) for name, spec in inputs.items()
    }

    @tf.function(input_signature=[signature])
    def serve(arrays: Tensors) -> Tensors:
        found = network(prepared(arrays), training=False)
        embedding = joined([Tokens(*found[name]) for name in BRANCHES if name in found])
        if run.task.rating:
            return {"value": found["logits"], "embedding": embedding}
        shares = tf.nn.softmax(found["logits"] / temperature)
        return {"probabilities": shares, "logits": found["logits"], "embedding": embedding}

    return Serving(run, model, inputs, serve)


def check_alone(run: Run) -> None:
    """Refuse runs that need more than the one clip to answer it."""
    if isinstance(run.config.data.enrol, int):
        raise UserError(
            f"run {run.folder} knows speakers by {run.config.data.enrol} of their clips, an "
            f"exported file meets one clip at a time; train with --enrol self, or without --enrol"
        )


def input_specs(features: FeaturesConfig, layer_names: set[str]) -> dict[str, Spec]:
    """Name, shape without the batch and type of every array the function asks for.

    Args:
        features: fix the shapes.
        layer_names: of the network; a branch that is not in it needs no input.
    """
    specs = {}
    if "audio_branch" in layer_names:
        specs["waveform"] = Spec((features.clip_samples,), "float32")
        specs["samples"] = Spec((), "int32")
    if "face_branch" in layer_names:
        for name, spec in schema(features).items():
            if not name.startswith("audio"):
                dtype = "float32" if name.endswith("_mask") else spec.dtype
                specs[SERVED_AS.get(name, name)] = Spec(spec.shape, dtype)
    return specs


def with_branches(model: keras.Model) -> keras.Model:
    """Let the same network also give what stands below its fusion.

    Returns:
        A model ``-> {"logits": [B, K], "audio_branch": Tokens, "face_branch": Tokens}``, each
        branch only if the network has it.
    """
    outputs: dict[str, Any] = {}

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        found = layer(*args, **kwargs)
        if layer.name in BRANCHES:
            outputs[layer.name] = found
        return found

    same = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
    # No operation is added to the graph: its name could be one that a loaded operation has.
    return keras.Model(same.input, {"logits": same.output, **outputs})


def preprocessing(run: Run, model: keras.Model) -> Callable[[Tensors], Tensors]:
    """Make what turns raw arrays into the network's inputs."""
    features = run.config.features
    specs = schema(features)
    front = audio_features.layer_of(features)
    standard = enrolment.standard_of(model)

    def hear(arrays: Tensors) -> Tensors:
        there = tf.range(features.clip_samples)[None] < arrays["samples"][:, None]
        mask = frame_mask(arrays["samples"], features)
        sound = front(tf.where(there, arrays["waveform"], 0.0)) * mask[..., None]
        heard = {"audio": sound, "audio_mask": mask}
        if run.config.data.enrol == "self" and standard is not None:
            return enrolment.moved(heard, *enrolment.of_each(heard), standard)
        return heard

    def see(arrays: Tensors) -> Tensors:
        seen = {}
        for name in set(specs) - {"audio", "audio_mask"}:
            array = arrays[SERVED_AS.get(name, name)]
            seen[name] = array
            if not name.endswith("_mask"):
                mask = arrays["mesh_mask" if name == "mesh" else "face_mask"]
                there = tf.reshape(mask > 0, (-1, specs[name].shape[0], *[1] * (array.ndim - 2)))
                seen[name] = tf.where(there, array, tf.zeros((), array.dtype))
        return seen

    def prepared(arrays: Tensors) -> Tensors:
        count = tf.shape(next(iter(arrays.values())))[0]
        heard = hear(arrays) if "waveform" in arrays else {}
        seen = see(arrays) if "faces" in arrays else {}
        unused = {
            name: tf.zeros((count, *spec.shape), "float32" if "mask" in name else spec.dtype)
            for name, spec in specs.items()
            if name not in heard and name not in seen
        }
        return {**heard, **seen, **unused}

    return prepared


def frame_mask(samples: tf.Tensor, features: FeaturesConfig) -> tf.Tensor:
    """Which frames of the sound are real, by the rule of ``audio_features.fit_length``.

    Shapes:
        int32 [B] -> float32 [B, T]
    """
    samples = tf.clip_by_value(samples, 0, features.clip_samples)
    reach = 0 if features.centred else features.window_samples
    whole = tf.maximum(1 + (samples - reach) // features.hop_samples, 1)
    frames = tf.where(samples > 0, whole, 0)
    return tf.cast(tf.range(features.audio_frames)[None] < frames[:, None], "float32")


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
        "pictures": {
            "frames": features.face_frames,
            "sampling": features.face_sampling,
            "rate_hz": features.face_rate_hz if features.face_sampling == "rate" else None,
            "pixels": features.face_pixels,
            "channels": features.face_channels,
            "margin": features.face_margin,
            "align": features.face_align,
            "detector": features.face_detector,
        },
        "limits": list(LIMITS),
    }

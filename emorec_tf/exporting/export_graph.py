"""A run as one function of raw arrays: features, network and temperature in a single graph.

This is what an exported file holds. The caller decodes the clip, detects and crops the faces, and
pads the audio with zeros; everything after that happens here, by the same layers as in ``predict``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.config.schema import Spec, schema
from emorec_tf.errors import UserError
from emorec_tf.exporting import familiarity_graph
from emorec_tf.features import audio_features
from emorec_tf.models.audio.embedding import encoders_of
from emorec_tf.models.branch_outputs import BRANCHES, EXPERT, inputs_of, with_branches
from emorec_tf.models.classical.head_layers import joined
from emorec_tf.models.layers import Tokens
from emorec_tf.tasks.joint_familiarity import JointFamiliarity
from emorec_tf.training import band_scale
from emorec_tf.training.run_dir import Run

Tensors = dict[str, tf.Tensor]

MASK_OF = {"faces": "face_mask", "mesh": "mesh_mask"}
SERVED_AS = {"mesh": "landmarks"}  # arrays of an example that exports name differently


@dataclass(frozen=True, eq=False)
class Serving:
    """A run, ready to be written in any format."""

    run: Run
    model: keras.Model  # in float32
    inputs: Mapping[str, Spec]  # shapes without the batch
    function: Any  # tf.function: {input: [B, ...]} -> {output: [B, ...]}


def serving(run: Run, model: keras.Model) -> Serving:
    """Put preprocessing before a run's network and its temperature behind it.

    Args:
        run: gives features, classes, temperature and speaker adaptation.
        model: its network, ``{array name: [B, ...]} -> logits [B, K]``; computed in float32.

    Returns:
        The function takes a dict of the inputs that ``input_specs`` lists and returns
        ``probabilities`` [B, K] (or ``value`` [B, 1] of a continuous target), ``logits`` [B, K]
        and ``embedding`` [B, E], with ``answerable`` [B, 1]: 0 where there is nothing that the
        network looks at, and the others mean nothing; of a run that can tell, also ``familiarity``
        [B, 1]. Where a mask is 0, and beyond ``samples``, inputs are ignored.

    Raises:
        UserError: a run that needs other clips of the speaker, or an encoder that does not run in
            TensorFlow.
    """
    check_alone(run)
    check_portable(run, model)
    model = in_float32(model)
    network = with_branches(model)
    inputs = input_specs(run.config.features, arrays_used(model))
    prepared = preprocessing(run, model)
    temperature = run.temperature or 1.0
    compared, slope = run.familiarity, run.unfamiliar_slope
    signature = {
        name: tf.TensorSpec((None, *spec.shape), spec.dtype, name) for name, spec in inputs.items()
    }

    @tf.function(input_signature=[signature])
    def serve(arrays: Tensors) -> Tensors:
        found = network(prepared(arrays), training=False)
        embedding = joined([Tokens(*one) for one in found["tokens"]])
        outputs = {"embedding": embedding, "answerable": answerable(found["tokens"])}
        divisor, logits = temperature, found["logits"]
        if isinstance(compared, JointFamiliarity):
            logits = familiarity_graph.tempered(compared, logits, found["experts"], embedding)
        if compared is not None:
            far, outputs["familiarity"] = familiarity_graph.scores(compared, embedding)
            divisor = temperature * familiarity_graph.growth(slope, far) if slope else temperature
        if run.task.rating:
            return {"value": logits, **outputs}
        shares = tf.nn.softmax(logits / divisor)
        return {"probabilities": shares, "logits": logits, **outputs}

    return Serving(run, model, inputs, serve)


def answerable(branches: Sequence[Sequence[tf.Tensor]]) -> tf.Tensor:
    """Whether any branch has something to go by: tokens [B, S, E], masks [B, S] -> [B, 1]."""
    present = [tf.reduce_max(tf.cast(mask, "float32"), 1, keepdims=True) for _, mask in branches]
    some = present[0]
    for other in present[1:]:
        some = tf.maximum(some, other)
    return tf.cast(some > 0, "float32")


def check_alone(run: Run) -> None:
    """Refuse runs that need more than the clip itself for a prediction."""
    if isinstance(run.config.data.adapt, int):
        raise UserError(
            f"run {run.folder} needs {run.config.data.adapt} enrolment clips of each speaker, but "
            f"an exported file gets one clip at a time; train with --adapt self, or without --adapt"
        )


def check_portable(run: Run, model: keras.Model) -> None:
    """Refuse networks of which a part does not run in TensorFlow."""
    if encoders_of(model):
        raise UserError(
            f"run {run.folder} cannot be exported, because its audio branch embedding(...) runs in "
            f"ONNX Runtime; use predict, serve or emorec_tf.load, or train with another --audio"
        )


def in_float32(model: keras.Model) -> keras.Model:
    """Return a network of 16-bit precision in float32, with the same weights; others unchanged.

    Neither LiteRT nor ONNX runtimes fully support bfloat16, and all exports must agree.
    """
    text = model.to_json()
    wide = re.sub(r'"(mixed_)?b?float16"', '"float32"', text)
    if wide == text:
        return model
    same = keras.models.model_from_json(wide)
    same.set_weights(model.get_weights())
    return same


def arrays_used(model: keras.Model) -> set[str]:
    """Names of the arrays of an example that a network's branches use."""
    used = set()
    for layer in model.layers:
        if layer.name.startswith(EXPERT):
            used |= arrays_used(layer)
        elif layer.name in BRANCHES:
            for name in inputs_of(layer, layer.outputs):
                used |= {name, MASK_OF.get(name, name)}
    return used


def input_specs(features: FeaturesConfig, used: set[str]) -> dict[str, Spec]:
    """Name, shape without the batch and type of every input of the function.

    Args:
        features: determine the shapes.
        used: arrays of an example that the network uses.
    """
    specs = {}
    if used & {"audio", "audio_mask"}:
        specs["waveform"] = Spec((features.clip_samples,), "float32")
        specs["samples"] = Spec((), "int32")
    for name, spec in schema(features).items():
        if name in used - {"audio", "audio_mask"}:
            dtype = "float32" if name.endswith("_mask") else spec.dtype
            specs[SERVED_AS.get(name, name)] = Spec(spec.shape, dtype)
    return specs


def preprocessing(run: Run, model: keras.Model) -> Callable[[Tensors], Tensors]:
    """Return the function that turns raw arrays into the network's inputs."""
    features = run.config.features
    specs = schema(features)
    front = audio_features.layer_of(features)
    standard = band_scale.standard_of(model)

    def hear(arrays: Tensors) -> Tensors:
        present = sample_mask(arrays["samples"], features.clip_samples)
        mask = frame_mask(arrays["samples"], features)
        audio = front(tf.where(present, arrays["waveform"], 0.0)) * mask[..., None]
        heard = {"audio": audio, "audio_mask": mask}
        if run.config.data.adapt == "self" and standard is not None:
            return band_scale.moved(heard, *band_scale.of_each(heard), standard)
        return heard

    def see(arrays: Tensors) -> Tensors:
        seen = {n: arrays[SERVED_AS.get(n, n)] for n in specs if SERVED_AS.get(n, n) in arrays}
        for name in MASK_OF.keys() & seen.keys():
            frames, *shape = specs[name].shape
            # LiteRT's where() needs numbers of at least 32 bits and at most 4 axes.
            wide = tf.cast(seen[name], "int32" if specs[name].dtype == "uint8" else "float32")
            flat = tf.reshape(wide, (-1, frames, math.prod(shape)))
            flat = tf.where(seen[MASK_OF[name]][..., None] > 0, flat, tf.zeros((), flat.dtype))
            seen[name] = tf.cast(tf.reshape(flat, (-1, frames, *shape)), specs[name].dtype)
        return seen

    def prepared(arrays: Tensors) -> Tensors:
        count = tf.shape(next(iter(arrays.values())))[0]
        given = {**(hear(arrays) if "waveform" in arrays else {}), **see(arrays)}
        unused = {
            name: tf.zeros((count, *spec.shape), "float32" if "mask" in name else spec.dtype)
            for name, spec in specs.items()
            if name not in given
        }
        return {**given, **unused}

    return prepared


def sample_mask(samples: tf.Tensor, count: int) -> tf.Tensor:
    """Which samples of a waveform are real.

    Counted in rows: one range over all would be stored in the file, as large as a waveform.

    Shapes:
        int32 [B] -> bool [B, count]
    """
    width = math.isqrt(count - 1) + 1
    left = samples[:, None] - width * tf.range(width)  # samples left in each row, [B, width]
    return tf.reshape(tf.range(width) < left[..., None], (-1, width * width))[:, :count]


def frame_mask(samples: tf.Tensor, features: FeaturesConfig) -> tf.Tensor:
    """Which audio frames are real, by the rule of ``audio_features.fit_length``.

    Shapes:
        int32 [B] -> float32 [B, T]
    """
    samples = tf.clip_by_value(samples, 0, features.clip_samples)
    whole = tf.maximum(1 + (samples - features.reach_samples) // features.hop_samples, 1)
    frames = tf.where(samples > 0, whole, 0)
    return tf.cast(tf.range(features.audio_frames)[None] < frames[:, None], "float32")

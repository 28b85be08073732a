"""Config to Keras model: inputs, two branches, one fusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from emorec_tf.config import choices
from emorec_tf.config.config import Config, FeaturesConfig, TrainConfig
from emorec_tf.config.fields import check
from emorec_tf.config.schema import FRAME_ARRAYS, schema
from emorec_tf.features.audio_features import AUDIO_FEATURES
from emorec_tf.models.classical.head_layers import joined
from emorec_tf.models.layers import ModalityDropout, Still, Tensor, Tokens
from emorec_tf.tasks import tasks

AUDIO_INPUTS = ("audio", "audio_mask")

STANDARDISE = "standardise"  # name of the layer


def input_tensors(features: FeaturesConfig, any_frames: bool = False) -> dict[str, Tensor]:
    """One Keras input per array of the schema; masks are float32, the rest as stored.

    ``any_frames``: any number of frames, as training then takes some and scoring all.
    """
    inputs = {}
    for name, spec in schema(features).items():
        free = any_frames and name in FRAME_ARRAYS
        shape = (None, *spec.shape[1:]) if free else spec.shape
        inputs[name] = keras.Input(
            shape, name=name, dtype="float32" if "mask" in name else spec.dtype
        )
    return inputs


def build_model(
    config: Config,
    classes: Sequence[str],
    mean: np.ndarray,
    deviation: np.ndarray,
    audio_frames: int | None = None,
    unused: Sequence[str] = (),
    branches: Mapping[str, keras.Model] | None = None,
) -> keras.Model:
    """Build the network that ``config.model`` names.

    Args:
        config: ``features`` fixes the input shapes, ``model`` the layers.
        classes: names of the K classes, in the order of the outputs; () for a rating.
        mean: of each log-mel band over the training clips, [M].
        deviation: of each log-mel band, [M].
        audio_frames: how many of the first audio frames the audio branch gets; None: all.
        unused: "audio" or "face", which no training clip has: the model ignores it, as if every
            clip lacked it.
        branches: "audio" or "face" to a branch of another model, which is taken with its weights.

    Returns:
        A functional model ``{array name: [B, ...]} -> logits [B, K]``, or a rating [B, 1]. Its
        branches are sub-models called ``audio_branch`` and ``face_branch``. With a classifier,
        the branches' joined features [B, E], to which ``head_layers`` adds the fitted head.

    Raises:
        UserError: an unknown choice or argument, a fusion that needs frames without any, or a face
            branch that needs mesh points without any.
    """
    choices.check_mesh(config.model.face, config.features.face_mesh)
    inputs = input_tensors(config.features, any_frames=config.train.train_frames > 0)
    given, inputs = inputs, switched_off(inputs, unused)
    masks = inputs["audio_mask"], inputs["face_mask"]
    fusion_name, _ = choices.check("fusion", config.model.fusion)
    uses = [u for u in choices.facts("fusion", config.model.fusion).uses if u not in unused]
    for kind in uses:
        choices.check_features(kind, getattr(config.model, kind), config.features)
    if not config.features.face_frames:
        check_without_frames(fusion_name)
    if config.model.modality_dropout and len(uses) > 1:
        dropout = ModalityDropout(
            config.model.modality_dropout, seed=config.train.seed, dtype="float32"
        )
        masks = dropout(*masks)
    standard = standardising(mean, deviation, config.model.standardise == "scalar")
    audio = standard(inputs["audio"]) * masks[0][..., None]  # padding becomes the mean, zero
    if not choices.facts("audio", config.model.audio).standardised:
        audio = undone(standard)(audio)
    audio_inputs = {
        **inputs,
        "audio": audio[:, :audio_frames],
        "audio_mask": masks[0][:, :audio_frames],
    }
    face_inputs = {**inputs, "face_mask": masks[1]}
    how: dict[str, Any] = {"frozen": config.train.freeze_branches, "given": branches or {}}
    gain = gain_of(config.features, standard)
    audio_tokens = branch("audio", config.model.audio, audio_inputs, AUDIO_INPUTS, gain, **how)
    face_names = [n for n in inputs if n not in AUDIO_INPUTS]
    face_tokens = branch("face", config.model.face, face_inputs, face_names, **how)
    name = f"emorec_{fusion_name}"
    if choices.check("classifier", config.model.classifier)[0] != "none":
        tokens = {"audio": audio_tokens, "face": face_tokens}
        features = joined([tokens[kind] for kind in uses])
        features = keras.layers.Identity(name="features", dtype="float32")(features)
        return keras.Model(given, features, name=name)
    fuse = choices.resolve("fusion", config.model.fusion)
    task = tasks.of(config.data, classes)
    outputs = task.head(fuse(audio_tokens, face_tokens, task.outputs))
    return keras.Model(given, outputs, name=name)


def switched_off(inputs: dict[str, Tensor], unused: Sequence[str]) -> dict[str, Tensor]:
    """Set the masks of these modalities to zero, whatever a clip has."""
    found = dict(inputs)
    for name in [n for n in inputs if n.endswith("_mask")]:
        kind = "audio" if name in AUDIO_INPUTS else "face"
        if kind in unused:
            off = keras.layers.Rescaling(0.0, dtype="float32", name=f"{name}_off")
            found[name] = off(inputs[name])
    return found


def check_without_frames(fusion: str) -> None:
    """Refuse a fusion that uses the face, for records without frames."""
    fusions = choices.entries("fusion").values()
    audio_alone = [entry.name for entry in fusions if "face" not in entry.facts.uses]
    check(
        fusion in audio_alone,
        "fusion",
        fusion,
        f"{' or '.join(audio_alone)}, because the records hold no frames (face_frames 0)",
    )


def standardising(mean: np.ndarray, deviation: np.ndarray, scalar: bool) -> keras.layers.Layer:
    """Make the layer that gives audio mean 0 and deviation 1, by band or over all bands."""
    variance = np.square(deviation)
    if scalar:
        mean, variance = np.full_like(mean, mean.mean()), variance + np.square(mean - mean.mean())
        variance = np.full_like(mean, variance.mean())
    return keras.layers.Normalization(
        mean=mean, variance=variance, dtype="float32", name=STANDARDISE
    )


def undone(standard: keras.layers.Normalization) -> keras.layers.Layer:
    """Make the layer that gives standardised audio its mean and deviation back.

    For branches that take audio as recorded: every model holds the scale of its training clips, so
    it is undone rather than left out.
    """
    mean, variance = (np.ravel(np.asarray(v)) for v in (standard.mean, standard.variance))
    return keras.layers.Normalization(
        mean=mean, variance=variance, invert=True, dtype="float32", name="as_recorded"
    )


def gain_of(
    features: FeaturesConfig, standard: keras.layers.Normalization
) -> dict[str, np.ndarray]:
    """What a recording that is louder by one neper of power adds to the standardised audio.

    Returns:
        ``audio_gain`` [M]; {} where the audio features do not say how they become power.
    """
    entry = AUDIO_FEATURES[features.audio_features]
    if entry.powers is None:
        return {}
    to_power, from_power = entry.powers(features, np)
    loud = to_power(np.zeros(features.audio_width))
    added = from_power(loud * np.e) - from_power(loud)
    return {"audio_gain": added / np.sqrt(np.ravel(np.asarray(standard.variance)))}


def branch(
    kind: str,
    choice: str,
    tensors: dict[str, keras.KerasTensor],
    names: Sequence[str],
    constants: Mapping[str, np.ndarray] | None = None,
    *,
    frozen: bool = False,
    given: Mapping[str, keras.Model] | None = None,
) -> Tokens:
    """Build one branch as a named sub-model and apply it; frozen, in inference mode.

    ``constants``: arrays that the branch finds among its inputs; they become part of the graph.
    ``given``: sub-models that are taken instead, by kind.
    """
    if given and kind in given:
        inputs, outputs = given[kind].input, given[kind].output
    else:
        inputs = {
            n: keras.Input(tensors[n].shape[1:], name=n, dtype=tensors[n].dtype) for n in names
        }
        values, mask = choices.resolve(kind, choice)({**inputs, **(constants or {})})
        # The sub-model owns its mask output even where the branch passes its input through.
        outputs = [values, ops.cast(mask, "float32")]
    inner = (Still if frozen else keras.Model)(inputs, outputs, name=f"{kind}_branch")
    values, mask = inner({n: tensors[n] for n in names})
    # Named, so that a model can be split here.
    return Tokens(
        keras.layers.Identity(name=f"{kind}_tokens", dtype=values.dtype)(values),
        keras.layers.Identity(name=f"{kind}_tokens_mask", dtype=mask.dtype)(mask),
    )


def above_branches(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Split a model in two that share its layers: inputs to tokens by name, tokens to logits."""
    names = [f"{kind}_tokens{mask}" for kind in ("audio", "face") for mask in ("", "_mask")]
    tokens = {n.name: n.output for n in model.layers if n.name in names}
    above = keras.Model(list(tokens.values()), model.output)
    inputs = {n: keras.Input(t.shape[1:], name=n, dtype=t.dtype) for n, t in tokens.items()}
    return keras.Model(model.input, tokens), keras.Model(inputs, above(list(inputs.values())))


def undistributed(model: keras.Model) -> keras.Model:
    """The same layers and weights outside any strategy, for inference.

    Under one, ``predict_on_batch`` would give each replica the whole batch.
    """
    return keras.Model(model.input, model.output)


def compile_model(
    model: keras.Model,
    train: TrainConfig,
    steps: int,
    task: tasks.Task | None = None,
    optimizer: keras.optimizers.Optimizer | None = None,
) -> None:
    """Set loss, optimiser and schedule: AdamW, linear warm-up over a tenth, cosine to zero.

    A given ``optimizer`` is used with its own schedule.
    """
    task = task or tasks.Classification()
    warm = max(1, steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=train.learning_rate / 25,
        warmup_target=train.learning_rate,
        warmup_steps=warm,
        decay_steps=max(1, steps - warm),
    )
    model.compile(
        optimizer=optimizer
        or keras.optimizers.AdamW(schedule, weight_decay=train.weight_decay, clipnorm=5.0),
        loss=task.loss(train),
        weighted_metrics=[task.metric()],
        jit_compile=use_jit(train.jit) and all(n.supports_jit for n in model._flatten_layers()),
    )


def use_jit(jit: str) -> bool:
    """XLA halves the speed on a CPU, so ``auto`` means on a GPU only."""
    if jit != "auto":
        return jit == "on"
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    return True

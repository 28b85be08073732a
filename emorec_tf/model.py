"""Config to Keras model: inputs, two branches, one fusion; the strategy it is built under."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from emorec_tf import catalog
from emorec_tf.config import Config, FeaturesConfig, TrainConfig, check
from emorec_tf.fusions import UNIMODAL
from emorec_tf.layers import ModalityDropout, Tensor, Tokens
from emorec_tf.schema import PICTURE_ARRAYS, schema

AUDIO_INPUTS = ("audio", "audio_mask")


@functools.cache
def strategy():
    """Return the one MirroredStrategy of this process: a second one breaks two-replica training."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy()


def input_tensors(features: FeaturesConfig, any_frames: bool = False) -> dict[str, Tensor]:
    """One Keras input per array of the schema; masks are float32, the rest as stored.

    ``any_frames``: any number of pictures, as training then takes some and scoring all.
    """
    inputs = {}
    for name, spec in schema(features).items():
        free = any_frames and name in PICTURE_ARRAYS
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
) -> keras.Model:
    """Build the network that ``config.model`` names.

    Args:
        config: ``features`` fixes the input shapes, ``model`` the layers.
        classes: names of the K classes, in the order of the outputs.
        mean: of each log-mel band over the training clips, [M].
        deviation: of each log-mel band, [M].
        audio_frames: given to the audio branch, the first so many; None: all.

    Returns:
        A functional model ``{array name: [B, ...]} -> logits [B, K]``. Its branches are
        sub-models called ``audio_branch`` and ``face_branch``.

    Raises:
        UserError: an unknown choice or knob, or a fusion that needs pictures where there are none.
    """
    inputs = input_tensors(config.features, any_frames=config.train.train_frames > 0)
    masks = inputs["audio_mask"], inputs["face_mask"]
    fusion_name, _ = catalog.check("fusion", config.model.fusion)
    check(
        config.features.face_frames > 0 or fusion_name == "audio_only",
        "fusion",
        fusion_name,
        "audio_only, because the records hold no pictures (face_frames 0)",
    )
    if config.model.modality_dropout and fusion_name not in UNIMODAL:
        dropout = ModalityDropout(
            config.model.modality_dropout, seed=config.train.seed, dtype="float32"
        )
        masks = dropout(*masks)
    variance = np.square(deviation)
    if config.model.standardise == "scalar":
        mean, variance = np.full_like(mean, mean.mean()), variance + np.square(mean - mean.mean())
        variance = np.full_like(mean, variance.mean())
    standard = keras.layers.Normalization(
        mean=mean, variance=variance, dtype="float32", name="standardise"
    )
    audio = standard(inputs["audio"]) * masks[0][..., None]  # padding becomes the mean, zero
    heard = {**inputs, "audio": audio[:, :audio_frames], "audio_mask": masks[0][:, :audio_frames]}
    seen = {**inputs, "face_mask": masks[1]}
    audio_tokens = branch("audio", config.model.audio, heard, [*AUDIO_INPUTS])
    face_inputs = [n for n in inputs if n not in AUDIO_INPUTS]
    face_tokens = branch("face", config.model.face, seen, face_inputs)
    fuse = catalog.resolve("fusion", config.model.fusion)
    logits = fuse(audio_tokens, face_tokens, len(classes))
    return keras.Model(inputs, logits, name=f"emorec_{fusion_name}")


def branch(
    kind: str, choice: str, tensors: dict[str, keras.KerasTensor], names: Sequence[str]
) -> Tokens:
    """Build one branch as a named sub-model and apply it."""
    inputs = {n: keras.Input(tensors[n].shape[1:], name=n, dtype=tensors[n].dtype) for n in names}
    values, mask = catalog.resolve(kind, choice)(inputs)
    # The sub-model owns its mask output even where the branch passes its input through.
    inner = keras.Model(inputs, [values, ops.cast(mask, "float32")], name=f"{kind}_branch")
    return Tokens(*inner({n: tensors[n] for n in names}))


def compile_model(model: keras.Model, train: TrainConfig, steps: int) -> None:
    """Set loss, optimiser and schedule: AdamW, linear warm-up over a tenth, cosine to zero."""
    warm = max(1, steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=train.learning_rate / 25,
        warmup_target=train.learning_rate,
        warmup_steps=warm,
        decay_steps=max(1, steps - warm),
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule, weight_decay=train.weight_decay, clipnorm=5.0),
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=train.label_smoothing
        ),
        weighted_metrics=[keras.metrics.CategoricalAccuracy(name="war")],
        jit_compile=use_jit(train.jit),
    )


def use_jit(jit: str) -> bool:
    """XLA halves the speed on a CPU, so ``auto`` means on a GPU only."""
    if jit != "auto":
        return jit == "on"
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    return True

"""From settings to a network: standardising, masks, saving, outputs."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest

from emorec_tf.config import choices as catalog
from emorec_tf.config.config import Config, FeaturesConfig, ModelConfig, TrainConfig
from emorec_tf.errors import UserError
from emorec_tf.models import model

CLASSES = ("neutral", "happy", "sad")
TINY = ModelConfig(
    audio="conv1d(filters=4, blocks=2)", face="alexnet(width=0.05, dense=4)", fusion="concat"
)


def built(features: FeaturesConfig, mean=None, deviation=None, **choices) -> keras.Model:
    keras.utils.set_random_seed(0)
    config = Config(features=features, model=dataclasses.replace(TINY, **choices))
    bands = features.mel_bands
    mean = np.zeros(bands, np.float32) if mean is None else mean
    deviation = np.ones(bands, np.float32) if deviation is None else deviation
    return model.build_model(config, CLASSES, mean, deviation)


@pytest.mark.parametrize("fusion", catalog.entries("fusion"))
def test_every_fusion_builds_answers_and_reloads(features, inputs, reloaded, fusion):
    net, batch = built(features, fusion=fusion), inputs(features)
    logits = net.predict_on_batch(batch)
    assert logits.shape == (4, 3)
    assert logits.dtype == np.float32
    assert net.name == f"emorec_{fusion}"
    np.testing.assert_array_equal(reloaded(net).predict_on_batch(batch), logits)
    for absent in ("audio_mask", "face_mask"):
        lacking = {**batch, absent: np.zeros_like(batch[absent])}
        assert np.isfinite(net.predict_on_batch(lacking)).all()


@pytest.mark.parametrize("audio", ["conv1d(filters=4, blocks=2)", "lstm(units=3)"])
def test_padding_does_not_matter(features, inputs, audio):
    net, batch = built(features, audio=audio), inputs(features)
    other = {name: array.copy() for name, array in batch.items()}
    other["audio"][batch["audio_mask"] == 0] = 100.0
    other["faces"][batch["face_mask"] == 0] = 100
    np.testing.assert_allclose(net.predict_on_batch(other), net.predict_on_batch(batch), atol=1e-5)


def test_rows_are_independent(features, inputs):
    net, batch = built(features), inputs(features)
    alone = net.predict_on_batch({name: array[2:3] for name, array in batch.items()})
    np.testing.assert_allclose(alone[0], net.predict_on_batch(batch)[2], atol=1e-5)


def test_statistics_standardise(features, inputs):
    batch = inputs(features)
    mean = np.linspace(-3, 3, features.mel_bands, dtype=np.float32)
    deviation = np.linspace(0.5, 2, features.mel_bands, dtype=np.float32)
    moved = {**batch, "audio": batch["audio"] * deviation + mean}
    plain, fitted = built(features), built(features, mean, deviation)
    np.testing.assert_allclose(
        fitted.predict_on_batch(moved), plain.predict_on_batch(batch), atol=1e-4
    )


def test_branches_can_be_taken_out(features, inputs):
    net, batch = built(features), inputs(features)
    values, mask = net.get_layer("audio_branch").predict_on_batch(
        {name: batch[name] for name in ("audio", "audio_mask")}
    )
    assert values.shape == (4, 1, 8)
    assert mask.shape == (4, 1)
    values, mask = net.get_layer("face_branch").predict_on_batch(
        {name: batch[name] for name in ("faces", "face_mask")}
    )
    assert values.shape == (4, 3, 4)
    np.testing.assert_array_equal(mask, batch["face_mask"])


def test_modality_dropout_is_left_out_of_single_branches(features):
    def dropouts(**choices) -> int:
        layers = built(features, **choices).layers
        return sum(type(layer).__name__ == "ModalityDropout" for layer in layers)

    assert dropouts() == 1
    assert dropouts(modality_dropout=0.0) == 0
    assert dropouts(fusion="audio_only") == 0


def test_mesh_and_colour(features, inputs):
    rich = dataclasses.replace(features, face_mesh=True, face_channels=3)
    assert built(rich).predict_on_batch(inputs(rich)).shape == (4, 3)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"fusion": "concatt"}, "unknown fusion 'concatt'; did you mean 'concat'"),
        ({"audio": "conv1d(filter=3)"}, "no argument 'filter'; did you mean 'filters'"),
        ({"face": "alexnet("}, "neither a name nor a call"),
    ],
)
def test_unknown_choices(features, choices, message):
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        built(features, **choices)


def test_compiled_schedule(features):
    net = built(features)
    model.compile_model(net, TrainConfig(learning_rate=0.01, jit="off"), steps=100)
    schedule = net.optimizer._learning_rate
    rates = {step: float(schedule(step)) for step in (0, 5, 10, 55, 100)}
    warm = (0.01 / 25 + 0.01) / 2  # a straight line for a tenth, then half a cosine
    assert rates == pytest.approx({0: 0.01 / 25, 5: warm, 10: 0.01, 55: 0.005, 100: 0}, abs=1e-6)


def test_jit():
    assert model.use_jit("on")
    assert not model.use_jit("off")


def test_audio_only_records(features, inputs):
    """Settings without frames still make an audio-only network."""
    without_frames = dataclasses.replace(features, face_frames=0)
    batch = inputs(features)
    batch["faces"], batch["face_mask"] = batch["faces"][:, :0], batch["face_mask"][:, :0]
    assert np.isfinite(built(without_frames, fusion="audio_only").predict_on_batch(batch)).all()
    with pytest.raises(UserError, match="fusion is 'concat'; it must be audio_only, because"):
        built(without_frames)

"""Corruptions: noise has the stated power; a removed modality looks like a missing one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from emorec_tf.config import choices
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.errors import UserError
from emorec_tf.features.audio_features import AUDIO_FEATURES, POWER_FLOOR, fit_length, layer_of
from emorec_tf.records import augmentation, voice_perturbation
from emorec_tf.records.corruptions import conditions, noise, powers_of, table
from emorec_tf.records.waveform_corruptions import room, telephone
from emorec_tf.tasks.tasks import Classification

KINDS = [n for n, e in choices.entries("audio_features").items() if e.facts.powers is not None]


def noise_alone(inputs, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Power of the real frames of clip 0, and the power that noise added."""
    real = inputs["audio_mask"][0] > 0
    before = np.exp(inputs["audio"][0, real].astype(float)) - POWER_FLOOR
    after = (
        np.exp(conditions(FeaturesConfig())[name](inputs)["audio"][0, real].astype(float))
        - POWER_FLOOR
    )
    return before, after - before


@pytest.mark.parametrize("decibels", [20, 10, 0])
def test_noise_has_the_stated_power(features, inputs, decibels):
    drawn = inputs(features)
    signal, noise = noise_alone(drawn, f"noise {decibels} dB")
    ratio = 10 * np.log10(signal.mean() / noise.mean())
    assert ratio == pytest.approx(decibels, abs=0.5)
    assert noise.min() > -1e-4, "noise only adds"
    again = conditions(features)[f"noise {decibels} dB"](drawn)["audio"]
    np.testing.assert_array_equal(
        conditions(features)[f"noise {decibels} dB"](drawn)["audio"], again
    )
    padding = drawn["audio_mask"] == 0
    assert not again[padding].any()
    quieter = {**drawn, "audio": drawn["audio"] - np.float32(3.0)}
    signal, noise = noise_alone(quieter, f"noise {decibels} dB")  # the clip's own power counts
    assert 10 * np.log10(signal.mean() / noise.mean()) == pytest.approx(decibels, abs=0.5)


def test_noise_leaves_silence_alone(features, inputs):
    drawn = inputs(features)
    drawn["audio"][:] = np.log(POWER_FLOOR)
    drawn["audio_mask"][:] = 1
    noisy = conditions(features)["noise 0 dB"](drawn)["audio"]
    np.testing.assert_allclose(noisy, np.log(POWER_FLOOR), atol=1e-4)


def test_a_removed_modality_is_zero(features, inputs):
    drawn = inputs(features)
    without_face, without_audio = (
        conditions(features)["no face"](drawn),
        conditions(features)["no voice"](drawn),
    )
    for name, array in drawn.items():
        gone, kept = (
            (without_audio, without_face)
            if name.startswith("audio")
            else (without_face, without_audio)
        )
        assert not gone[name].any()
        np.testing.assert_array_equal(kept[name], array)
    half = conditions(features)["half the frames"](drawn)
    np.testing.assert_array_equal(half["face_mask"][:, ::2], drawn["face_mask"][:, ::2])
    assert not half["face_mask"][:, 1::2].any()
    assert not half["faces"][:, 1::2].any()
    np.testing.assert_array_equal(half["audio"], drawn["audio"])
    assert conditions(features)["dark"](drawn)["faces"].dtype == np.uint8
    assert conditions(features)["dark"](drawn)["faces"].max() == round(0.3 * drawn["faces"].max())


def test_table_scores_every_condition():
    labels = np.array([0, 0, 0, 1, 2, 2])
    guesses = np.array([0, 1, 0, 1, 2, 0])
    task, features = Classification(("a", "b", "c")), FeaturesConfig()
    rows = table(lambda corruption: np.eye(3)[guesses], labels, task.metrics, features)
    assert [row["condition"] for row in rows] == list(conditions(features))
    assert rows[0]["uar"] == pytest.approx(balanced_accuracy_score(labels, guesses))
    assert rows[0]["war"] == pytest.approx(accuracy_score(labels, guesses))
    assert {row["n"] for row in rows} == {6}


@pytest.mark.parametrize("kind", KINDS)
def test_powers_follow_the_waveform_for_all_audio_features(kind):
    """Twice the amplitude is four times the power, in every unit of the features."""
    features = FeaturesConfig(audio_features=kind, clip_seconds=0.5, mel_bands=40)
    waveform = (
        np.random.default_rng(0).normal(size=(1, features.clip_samples)).astype(np.float32) / 9
    )
    to_power, from_power = powers_of(features)
    layer = layer_of(features)
    once, twice = (np.asarray(layer(waveform * factor), np.float64) for factor in (1, 2))
    np.testing.assert_allclose(to_power(twice) / to_power(once), 4.0, rtol=1e-3)
    np.testing.assert_allclose(from_power(to_power(once)), once, atol=1e-3)
    if kind in ("mel_db", "log_mel"):  # white noise at 0 dB doubles the power
        mask = np.ones((1, features.audio_frames), np.float32)
        inputs = {"audio": once.astype(np.float32), "audio_mask": mask}
        noisy = conditions(features)["noise 0 dB"](inputs)["audio"]
        assert to_power(noisy).mean() / to_power(once).mean() == pytest.approx(2, rel=0.05)


def test_audio_features_without_powers_are_refused(features, monkeypatch):
    """They were once silently treated as decibels and scored wrongly."""
    entry = dataclasses.replace(AUDIO_FEATURES["log_mel"], powers=None)
    monkeypatch.setitem(AUDIO_FEATURES, "log_mel", entry)
    made = (
        lambda: noise(0, features),
        lambda: voice_perturbation.copies(features, 1),
        lambda: augmentation.other_channel(
            np.zeros((1, 2, 16), "f"), np.ones((1, 2), "f"), features, 0
        ),
    )
    for make in made:
        with pytest.raises(UserError, match="'log_mel' has no powers at its entry") as error:
            make()
        assert "\n" not in str(error.value)


def test_without_powers_every_other_condition_is_scored(features, inputs, monkeypatch, caplog):
    whole = list(conditions(features))
    entry = dataclasses.replace(AUDIO_FEATURES["log_mel"], powers=None)
    monkeypatch.setitem(AUDIO_FEATURES, "log_mel", entry)
    drawn, truth = inputs(features), np.array([0, 1, 0, 1])

    def predict(corruption):
        assert set(corruption(drawn)) == set(drawn)
        return np.eye(2)[truth]

    with caplog.at_level("INFO", "emorec_tf"):
        rows = table(predict, truth, Classification(("a", "b")).metrics, features)
    left = ["clean", "no face", "no voice", "half the frames", "dark"]
    assert [row["condition"] for row in rows] == left
    assert [name for name in whole if name in left] == left
    (line,) = caplog.messages
    assert line.startswith("robustness without noise 20 dB, noise 10 dB, noise 0 dB, level +20 dB")
    assert "log_mel" in line


@pytest.mark.parametrize("condition", ["noise 10 dB", "noise 0 dB", "level +20 dB", "level -20 dB"])
def test_level_and_noise_of_samples(condition: str):
    features = FeaturesConfig(audio_features="waveform", clip_seconds=0.5)
    wave = hiss(features)
    drawn = spectra_of(wave, features)
    found = conditions(features)[condition](drawn)
    real = drawn["audio_mask"][0] > 0
    before, after = drawn["audio"][0, real].ravel(), found["audio"][0, real].ravel()
    assert not found["audio"][0, ~real].any()
    decibels = float(condition.split()[1])
    if condition.startswith("level"):
        np.testing.assert_allclose(after, before * 10 ** (decibels / 20), rtol=1e-6)
    else:
        ratio = 10 * np.log10(np.square(before).mean() / np.square(after - before).mean())
        assert ratio == pytest.approx(decibels, abs=0.2)
        again = conditions(features)[condition](drawn)["audio"]
        np.testing.assert_array_equal(again, found["audio"])


def test_channels_are_left_out_for_samples(caplog):
    features = FeaturesConfig(audio_features="waveform")
    with caplog.at_level("INFO", "emorec_tf"):
        found = conditions(features)
    assert [n for n in conditions(FeaturesConfig()) if n not in found] == [
        "telephone 300-3400 Hz",
        "reverberation 0.6 s (power decay)",
    ]
    (line,) = caplog.messages
    assert "without telephone 300-3400 Hz, reverberation" in line
    assert "waveform has no powers" in line


def spectra_of(waveform: np.ndarray, features: FeaturesConfig) -> dict[str, np.ndarray]:
    padded, mask = fit_length(waveform.astype(np.float32), features)
    audio = np.asarray(layer_of(features)(padded[None])) * mask[None, :, None]
    return {"audio": audio, "audio_mask": mask[None].astype(np.float32)}


def hiss(features: FeaturesConfig) -> np.ndarray:
    """Noise of two levels, shorter than the clip."""
    wave = np.random.default_rng(0).normal(size=int(0.8 * features.clip_samples)) / 4
    wave[len(wave) // 2 :] /= 4
    return wave


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decibels", [20, -20])
def test_a_level_is_that_of_the_waveform(kind: str, decibels: int):
    features = FeaturesConfig(audio_features=kind, clip_seconds=0.5, mel_bands=40)
    wave = hiss(features)
    found = conditions(features)[f"level {decibels:+d} dB"](spectra_of(wave, features))
    wanted = spectra_of(wave * 10 ** (decibels / 20), features)
    real = wanted["audio_mask"][0] > 0
    np.testing.assert_allclose(found["audio"][0, real], wanted["audio"][0, real], atol=0.05)
    assert not found["audio"][0, ~real].any()


def test_a_telephone_keeps_its_band():
    features = FeaturesConfig(clip_seconds=0.5, mel_bands=40)
    inputs = spectra_of(hiss(features), features)
    found = conditions(features)["telephone 300-3400 Hz"](inputs)["audio"]
    real = inputs["audio_mask"][0] > 0
    apart = (found - inputs["audio"])[0, real].mean(0)
    by_wave = spectra_of(telephone(hiss(features), features.sample_rate_hz), features)["audio"]
    heard = (by_wave - inputs["audio"])[0, real].mean(0)
    inside = slice(8, 24)  # HTK's mel bands from about 400 to 2600 Hz
    np.testing.assert_allclose(apart[inside], 0, atol=1e-3)
    np.testing.assert_allclose(heard[inside], 0, atol=1.0)
    assert apart[-5:].max() < -3
    assert heard[-5:].max() < -3
    assert apart[0] < -3


def test_a_room_decays_as_its_waveform_does():
    features = FeaturesConfig(clip_seconds=1.0, mel_bands=20)
    wave = np.zeros(features.clip_samples)
    wave[1600:3200] = np.random.default_rng(1).normal(size=1600) / 10
    inputs = spectra_of(wave, features)
    name = "reverberation 0.6 s (power decay)"
    by_power, by_wave = (
        np.exp(found["audio"][0]).mean(1)
        for found in (
            conditions(features)[name](inputs),
            spectra_of(room(wave.astype(np.float32), features.sample_rate_hz), features),
        )
    )
    for found in (by_power, by_wave):
        steps = np.polyfit(np.arange(30, 70), np.log10(found[30:70]) * 10, 1)[0]
        assert steps == pytest.approx(-1.0, abs=0.15), "60 dB in 60 frames of 10 ms"
    np.testing.assert_allclose(np.log10(by_power[30:60] / by_wave[30:60]), 0, atol=0.4)
    before = np.exp(inputs["audio"][0]).mean(1)
    np.testing.assert_allclose(by_power[:8], before[:8], rtol=1e-3)


def test_the_earlier_conditions_come_first_and_keep_their_names():
    earlier = ["clean", "no face", "no voice", "noise 20 dB", "noise 10 dB", "noise 0 dB"]
    assert list(conditions(FeaturesConfig()))[:8] == [*earlier, "half the frames", "dark"]

"""Augmented copies: the intended changes and no others; each clip has its own draws."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from emorec_tf.config import choices
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.features.audio_features import fit_length, layer_of
from emorec_tf.records import corruptions, voice_perturbation

KINDS = [n for n, e in choices.entries("audio_features").items() if e.facts.powers is not None]
RATE_HZ = 16000


def tone(hertz: float, seconds: float, loudness: float = 0.1) -> np.ndarray:
    """A tone that swells four times a second over faint noise."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    noise = np.random.default_rng(0).normal(size=len(t)) * 1e-3
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * t)
    return (loudness * (swell * np.sin(2 * np.pi * hertz * t) + noise)).astype(np.float32)


def inputs_of(waveforms: list[np.ndarray], features: FeaturesConfig) -> dict[str, np.ndarray]:
    padded, masks = zip(*(fit_length(wave, features) for wave in waveforms), strict=True)
    mask = np.stack(masks).astype(np.float32)
    audio = np.asarray(layer_of(features)(np.stack(padded))) * mask[..., None]
    faces = np.full((len(mask), 2, 8, 8, 1), 7, np.uint8)
    return {"audio": audio, "audio_mask": mask, "faces": faces}


@pytest.mark.parametrize("kind", KINDS)
def test_copies_keep_shapes_faces_and_padding(kind: str) -> None:
    features = FeaturesConfig(audio_features=kind, clip_seconds=2.0)
    inputs = inputs_of([tone(500, 1.5), np.zeros(0, np.float32)], features)
    for number in range(3):
        found = voice_perturbation.copy(features, number)(inputs)
        assert {n: (a.shape, a.dtype) for n, a in found.items()} == {
            n: (a.shape, a.dtype) for n, a in inputs.items()
        }
        assert np.isfinite(found["audio"]).all()
        np.testing.assert_array_equal(found["faces"], inputs["faces"])
        real = found["audio_mask"][0] > 0
        share = real.sum() / inputs["audio_mask"][0].sum()
        assert abs(share - 1) <= voice_perturbation.STRETCH + 0.02
        assert not found["audio"][0, ~real].any(), "padding stays zero"
        assert not found["audio"][1].any(), "no audio stays no audio"


def test_draws_depend_on_the_audio_alone() -> None:
    features = FeaturesConfig(clip_seconds=2.0)
    both = inputs_of([tone(500, 1.5), tone(900, 1.2)], features)
    other = inputs_of([tone(700, 2.0), tone(500, 1.5)], features)
    copy = voice_perturbation.copy(features, 1)
    np.testing.assert_array_equal(copy(both)["audio"][0], copy(other)["audio"][1])
    first, second = (voice_perturbation.copy(features, n)(both)["audio"][0] for n in (0, 2))
    assert np.abs(first - second).mean() > 0.1, "another number, another draw"


def test_gain_moves_the_level_as_it_would_move_the_waveform(monkeypatch) -> None:
    for name in ("STRETCH", "WARP", "TILT_DB"):
        monkeypatch.setattr(voice_perturbation, name, 0.0)
    features = FeaturesConfig(clip_seconds=2.0)
    inputs = inputs_of([tone(500, 1.5)], features)
    found = voice_perturbation.copy(features, 0)(inputs)["audio"]
    loud = inputs["audio"] > inputs["audio"].max() - 3
    decibels = (found - inputs["audio"])[loud].mean() * 10 / np.log(10)
    assert 1 < abs(decibels) <= voice_perturbation.GAIN_DB
    louder = inputs_of([tone(500, 1.5) * 10 ** (decibels / 20)], features)["audio"]
    np.testing.assert_allclose(found, louder, atol=0.05)


def test_time_is_stretched_as_librosa_does(monkeypatch) -> None:
    for name in ("GAIN_DB", "WARP", "TILT_DB"):
        monkeypatch.setattr(voice_perturbation, name, 0.0)
    features = FeaturesConfig(clip_seconds=2.0)
    wave = tone(500, 1.5)
    inputs = inputs_of([wave], features)
    found = voice_perturbation.copy(features, 0)(inputs)
    ratio = found["audio_mask"].sum() / inputs["audio_mask"].sum()
    theirs = inputs_of([librosa.effects.time_stretch(wave, rate=1 / ratio, n_fft=512)], features)
    band = int(inputs["audio"][0].sum(0).argmax())
    length = int(min(found["audio_mask"].sum(), theirs["audio_mask"].sum())) - 10
    courses = [f["audio"][0, 10:length, band] for f in (found, theirs)]
    assert np.corrcoef(courses)[0, 1] > 0.95
    unstretched = inputs["audio"][0, 10:length, band]
    assert np.corrcoef(courses[0], unstretched)[0, 1] < np.corrcoef(courses)[0, 1]


def test_every_second_copy_has_noise() -> None:
    features = FeaturesConfig(clip_seconds=2.0)
    inputs = inputs_of([tone(500, 1.5)], features)
    floors = []
    for copy in voice_perturbation.copies(features, 6):
        found = copy(inputs)
        power = corruptions.powers_of(features)[0](found["audio"][0].astype(np.float64))
        power = power[found["audio_mask"][0] > 0]
        floors.append(np.median(power.min(0) / power.mean()))
    assert min(floors[1::2]) > 5 * max(floors[::2])


@pytest.mark.parametrize("kind", KINDS)
def test_channel_copies_keep_time_shapes_faces_and_padding(kind: str) -> None:
    features = FeaturesConfig(audio_features=kind, clip_seconds=2.0)
    inputs = inputs_of([tone(500, 1.5), np.zeros(0, np.float32)], features)
    found = [voice_perturbation.channel_copy(features, number)(inputs) for number in range(4)]
    for copy in found:
        for name in ("audio_mask", "faces"):
            np.testing.assert_array_equal(copy[name], inputs[name])
        assert copy["audio"].shape == inputs["audio"].shape
        assert np.isfinite(copy["audio"]).all()
        real = inputs["audio_mask"][0] > 0
        assert not copy["audio"][0, ~real].any(), "padding stays zero"
        assert not copy["audio"][1].any(), "no audio stays no audio"
    assert len({copy["audio"].tobytes() for copy in found}) == 4, "another number, another draw"


def test_a_telephone_copy_is_what_filtering_the_waveform_gives(monkeypatch) -> None:
    from scipy.signal import butter, sosfiltfilt

    monkeypatch.setattr(voice_perturbation, "ROOMS", 0.0)
    monkeypatch.setattr(voice_perturbation, "TELEPHONES", 1.0)
    monkeypatch.setattr(voice_perturbation, "LOW_HZ", (300.0, 300.0))
    monkeypatch.setattr(voice_perturbation, "HIGH_HZ", (3400.0, 3400.0))
    monkeypatch.setattr(voice_perturbation, "CHANNEL_NOISE_DB", (200.0, 200.0))
    monkeypatch.setattr(voice_perturbation, "GAIN_DB", 0.0)
    features = FeaturesConfig(audio_features="mel_db", clip_seconds=2.0)
    wave = np.random.default_rng(3).normal(size=24000).astype(np.float32) * 0.1
    found = voice_perturbation.channel_copy(features, 0)(inputs_of([wave], features))["audio"]
    band = butter(12, (300, 3400), "bandpass", fs=RATE_HZ, output="sos")
    filtered = inputs_of([sosfiltfilt(band, wave).astype(np.float32)], features)["audio"]
    loud = filtered > filtered.max() - 15  # inside the band
    assert loud.mean() > 0.2
    difference = np.abs(found - filtered)[loud]
    assert np.quantile(difference, 0.9) < 0.1  # decibels; ends of the band differ more


def test_both_kinds_of_copies_come_in_order() -> None:
    features = FeaturesConfig(clip_seconds=2.0)
    inputs = inputs_of([tone(500, 1.5)], features)
    found = [copy(inputs)["audio"] for copy in voice_perturbation.copies(features, 2, 1)]
    own = [voice_perturbation.copy(features, n)(inputs)["audio"] for n in (0, 1)]
    own.append(voice_perturbation.channel_copy(features, 0)(inputs)["audio"])
    for one, other in zip(found, own, strict=True):
        np.testing.assert_array_equal(one, other)

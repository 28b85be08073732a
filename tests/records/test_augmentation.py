"""Augmentation: what is missing stays missing, what is masked stays masked."""

from __future__ import annotations

import numpy as np
import pytest

from emorec_tf.config import choices
from emorec_tf.records import augmentation

KINDS = [n for n, e in choices.entries("audio_features").items() if e.facts.powers is not None]


def test_augmentation_keeps_missing_faces_missing() -> None:
    import tensorflow as tf

    faces = np.random.default_rng(0).integers(1, 255, (2, 3, 16, 16, 1), np.uint8)
    faces[0, 1] = 0
    varied = augmentation.augmented_faces(tf.constant(faces), tf.constant([1, 2], tf.int64)).numpy()
    assert not varied[0, 1].any()
    assert varied[0, 0].any()
    assert not np.array_equal(varied[1], faces[1])


def test_augmented_audio_stays_masked() -> None:
    import tensorflow as tf

    random = np.random.default_rng(0)
    audio = random.normal(size=(3, 40, 16)).astype(np.float32)
    mask = np.ones((3, 40), np.float32)
    mask[:, 30:] = 0
    mask[2] = 0
    mean = np.full(16, -5.0, np.float32)
    seed = tf.constant([3, 4], tf.int64)
    varied = augmentation.augmented_audio(tf.constant(audio), tf.constant(mask), mean, seed)
    real = varied["audio_mask"].numpy()
    assert not varied["audio"].numpy()[real == 0].any()
    assert not real[2].any(), "a clip without audio stays without audio"
    assert 20 <= real[0].sum() <= 40


def test_frames_with_a_face_are_drawn_first() -> None:
    import tensorflow as tf

    mask = np.array([[1, 0, 0, 1, 0]] * 50, np.float32)
    numbers = np.tile(np.arange(5, dtype=np.uint8), (50, 1))[..., None, None, None]
    drawn = augmentation.some_frames(
        {"faces": tf.constant(numbers), "face_mask": tf.constant(mask)},
        3,
        tf.constant([1, 2], tf.int64),
    )
    chosen = drawn["faces"].numpy()[..., 0, 0, 0]
    assert (np.sort(chosen, axis=1) == chosen).all()
    assert all({0, 3} <= set(row) for row in chosen.tolist())
    assert {tuple(row) for row in chosen.tolist()} == {(0, 1, 3), (0, 2, 3), (0, 3, 4)}
    assert drawn["face_mask"].numpy().sum() == 100


SEED = np.array([5, 6], np.int64)


def blob(x: float, y: float, side: int = 64) -> np.ndarray:
    """One bright spot on grey, the same in two frames: uint8 [1, 2, side, side, 1]."""
    down, across = np.mgrid[:side, :side]
    spot = np.exp(-((across - x) ** 2 + (down - y) ** 2) / 18)
    image = (40 + 200 * spot).round().astype(np.uint8)
    return np.stack([image, image])[None, ..., None]


def place(images: np.ndarray) -> np.ndarray:
    """Position of the spot in the first frame, by its brightest pixels: x, y."""
    image = images[0, 0, ..., 0].astype(float)
    weight = np.clip(image - np.quantile(image, 0.97), 0, None) ** 2
    down, across = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(across * weight).sum(), (down * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("seed", range(6))
def test_points_move_as_the_frames_do(seed: int) -> None:
    """Spots and points start at the same positions; their relative positions must agree."""
    import tensorflow as tf

    draw = tf.constant([seed, 1], tf.int64)
    spots = np.array([(24, 28), (42, 24), (33, 44)], float)
    # points of the middle line only, which mirroring does not swap
    mesh = np.zeros((1, 2, 478, 3), np.float32)
    mesh[..., :2] = spots[0]
    mesh[:, :, 10, :2], mesh[:, :, 152, :2] = spots[1], spots[2]
    mask = tf.ones((1, 2))
    points = augmentation.augmented_mesh(tf.constant(mesh), mask, draw).numpy()[0, 0, :, :2]
    places = [
        place(augmentation.augmented_faces(tf.constant(blob(*s)), draw).numpy()) for s in spots
    ]
    found = np.array([points[10] - points[1], points[152] - points[1]])
    np.testing.assert_allclose(found, [places[1] - places[0], places[2] - places[0]], atol=1.2)


def test_a_mirrored_face_has_left_and_right_in_place() -> None:
    """After mirroring, the other eye is on the image's left."""
    import tensorflow as tf

    mesh = np.random.default_rng(0).normal(100, 5, (40, 2, 478, 3)).astype(np.float32)
    mesh[:, :, 33, 0], mesh[:, :, 263, 0] = 50, 160  # outer corners, at different heights
    mesh[:, :, 33, 1], mesh[:, :, 263, 1] = 60, 100
    varied = augmentation.augmented_mesh(tf.constant(mesh), tf.ones((40, 2)), tf.constant(SEED))
    left, right = varied.numpy()[:, 0, 33], varied.numpy()[:, 0, 263]
    assert (right[:, 0] - left[:, 0] > 80).all()
    mirror = augmentation.face_draws(augmentation.Rows(40), tf.constant(SEED)).numpy()[4] > 0
    assert 5 < mirror.sum() < 35
    rises = (right[:, 1] - left[:, 1]) < 0
    np.testing.assert_array_equal(rises, mirror)
    turned = np.abs(np.linalg.norm((right - left)[:, :2], axis=1) / np.hypot(110, 40) - 1)
    assert turned.max() < 0.2, "sizes vary by an eighth"


def test_points_that_are_missing_or_hidden_stay_away() -> None:
    import tensorflow as tf

    random = np.random.default_rng(0)
    mask = np.ones((8, 6), np.float32)
    mask[0] = 0
    mask[1, 3:] = 0
    inputs = {
        "audio": np.zeros((8, 20, 16), np.float32),
        "audio_mask": np.ones((8, 20), np.float32),
        "faces": random.integers(1, 255, (8, 6, 16, 16, 1), np.uint8),
        "face_mask": mask,
        "mesh": random.normal(100, 9, (8, 6, 478, 3)).astype(np.float32) * mask[..., None, None],
        "mesh_mask": mask,
    }
    batch = {name: tf.constant(value) for name, value in inputs.items()}
    mean = np.zeros(16, np.float32)
    varied = augmentation.augmented(batch, mean, tf.constant(SEED))
    shown, points = varied["mesh_mask"].numpy(), varied["mesh"].numpy()
    np.testing.assert_array_equal(shown, varied["face_mask"].numpy())
    assert not points[shown == 0].any()
    assert points[shown > 0].any(axis=(1, 2)).all()
    assert shown.sum() < mask.sum()
    assert (shown[1:].max(axis=1) == 1).all()
    again = augmentation.augmented(batch, mean, tf.constant(SEED))["mesh"].numpy()
    np.testing.assert_array_equal(again, points)


def test_clips_without_mesh_are_augmented_unchanged() -> None:
    import tensorflow as tf

    random = np.random.default_rng(0)
    batch = {
        "audio": tf.zeros((2, 20, 16)),
        "audio_mask": tf.ones((2, 20)),
        "faces": tf.constant(random.integers(1, 255, (2, 3, 16, 16, 1), np.uint8)),
        "face_mask": tf.ones((2, 3)),
    }
    mean = np.zeros(16, np.float32)
    plain = augmentation.augmented(batch, mean, tf.constant(SEED))
    mesh = {"mesh": tf.ones((2, 3, 478, 3)), "mesh_mask": tf.ones((2, 3))}
    beside = augmentation.augmented({**batch, **mesh}, mean, tf.constant(SEED))
    assert set(plain) == set(batch)
    for name in ("faces", "face_mask"):
        np.testing.assert_array_equal(plain[name].numpy(), beside[name].numpy())


def spectra(kind: str, step: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Spectra of 200 clips, 5 in the first band, ``step`` more in each next; their masks."""
    import tensorflow as tf

    audio = np.tile(step * np.arange(12, dtype=np.float32) + 5.0, (200, 60, 1))
    mask = np.ones((200, 60), np.float32)
    seed = tf.constant([1, 2], tf.int64)
    made = augmentation.augmented_audio(
        tf.constant(audio), tf.constant(mask), np.zeros(12, np.float32), seed, kind
    )
    return made["audio"].numpy(), made["audio_mask"].numpy() > 0


def test_cepstral_coefficients_are_only_masked() -> None:
    audio, real = spectra("mfcc")
    inside = np.concatenate([a[r][1:-1] for a, r in zip(audio, real, strict=True)])  # edges blend
    own = np.arange(12) + 5.0
    assert (np.isclose(inside, own, atol=1e-4) | (inside == 0)).all()


def test_spec_augment_hides_at_most_its_widths() -> None:
    """Two masks of bands narrower than 2, two of frames narrower than 6."""
    audio, real = spectra("mfcc")
    hidden = [(a == 0)[r] for a, r in zip(audio, real, strict=True)]
    bands = np.array([h.all(0).sum() for h in hidden])
    moments = np.array([h.all(1).sum() for h in hidden])
    assert bands.max() <= 2 * 1
    assert moments.max() <= 2 * 5
    assert 0 < bands.mean() < 2
    assert 2 < moments.mean() < 8


def test_masks_hide_every_position_with_the_counted_probability() -> None:
    """Widths from 0 to most - 1 and all starts that fit, equally likely: enumerated."""
    import tensorflow as tf

    size, most, clips = 20, 6, 40_000
    hidden = np.zeros(size)
    for width in range(most):
        for start in range(size - width):
            hidden[start : start + width] += 1 / most / (size - width)
    wanted = 1 - (1 - hidden) ** 2  # by either of two
    rows = augmentation.Rows(clips)
    found = augmentation.spans(size, most, tf.constant([7, 8], tf.int64), rows).numpy()
    spread = np.sqrt(wanted * (1 - wanted) / clips)
    assert (np.abs(found.mean(0) - wanted) <= 4.5 * spread).all()


def test_part_of_a_batch_is_augmented_as_in_the_whole() -> None:
    import tensorflow as tf

    random = np.random.default_rng(0)
    whole = {
        "audio": tf.constant(random.normal(size=(6, 20, 16)).astype(np.float32)),
        "audio_mask": tf.ones((6, 20)),
        "faces": tf.constant(random.integers(1, 255, (6, 4, 16, 16, 1), np.uint8)),
        "face_mask": tf.ones((6, 4)),
        "mesh": tf.constant(random.normal(100, 9, (6, 4, 478, 3)).astype(np.float32)),
        "mesh_mask": tf.ones((6, 4)),
    }

    def varied(inputs: augmentation.Batch, rows: augmentation.Rows | None) -> augmentation.Batch:
        seed = tf.constant(SEED)
        fewer = augmentation.some_frames(inputs, 3, seed, rows)
        return augmentation.augmented(fewer, np.zeros(16, np.float32), seed, rows=rows)

    part = {name: value[2:4] for name, value in whole.items()}
    alone, every = varied(part, augmentation.Rows(6, 2, 2)), varied(whole, None)
    for name in whole:
        np.testing.assert_array_equal(alone[name].numpy(), every[name][2:4].numpy())


def test_loudness_step_is_three_decibels_for_all_audio_features() -> None:
    for kind, most in (("log_mel", 3 * np.log(10) / 10), ("mel_db", 3.0), ("mfcc", 0.0)):
        change = spectra(kind, step=0.0)[0].max(axis=(1, 2)) - 5.0  # holes and edges are lower
        assert 0.95 * most - 1e-5 <= change.max() <= 1.01 * most + 1e-5
        assert 0.95 * most - 1e-5 <= -change.min() <= 1.01 * most + 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_another_channel_moves_level_and_adds_noise_as_documented(kind: str) -> None:
    import tensorflow as tf

    from emorec_tf.config.config import FeaturesConfig
    from emorec_tf.records import corruptions, voice_perturbation

    features = FeaturesConfig(audio_features=kind, mel_bands=20)
    random = np.random.default_rng(0)
    clips, frames = 200, 60
    to_power, from_power = corruptions.powers_of(features)
    power = random.exponential(size=(clips, frames, 20)) * np.linspace(4, 1, 20)
    audio = from_power(power).astype(np.float32)
    mask = np.ones((clips, frames), np.float32)
    mask[:, 40:] = 0
    audio *= mask[..., None]
    seed = tf.constant([3, 4], tf.int64)
    changed = augmentation.other_channel(tf.constant(audio), tf.constant(mask), features, seed)
    changed = changed.numpy()
    assert changed.shape == audio.shape
    assert np.isfinite(changed).all()
    assert not changed[:, 40:].any(), "padding stays zero"
    again = augmentation.other_channel(tf.constant(audio), tf.constant(mask), features, seed)
    np.testing.assert_array_equal(again.numpy(), changed)
    part = augmentation.Rows(clips, 150, 50)
    own = augmentation.other_channel(
        tf.constant(audio[150:]), tf.constant(mask[150:]), features, seed, part
    )
    np.testing.assert_allclose(own.numpy(), changed[150:], rtol=1e-5, atol=1e-5)
    before, after = (to_power(a[:, :40].astype(float)) for a in (audio, changed))
    same = (audio == changed).all((1, 2))
    assert 0.4 < same.mean() < 0.6, "half of them are left as they are"
    before, after = before[~same], after[~same]
    gain = 10 * np.log10(after.mean((1, 2)) / before.mean((1, 2)))
    assert gain.std() == pytest.approx(
        2 * voice_perturbation.GAIN_DB / np.sqrt(12), rel=0.2
    )  # even
    assert abs(gain.mean()) < 3
    if kind == "log_mel":  # a level without noise keeps the power of each band
        ratio = (after / before).std(axis=1).mean(1) / (after / before).mean((1, 2))
        assert 0.3 < np.mean(ratio > 0.02) < 0.7, "half of them are in noise"


def test_the_waveform_itself_stays_as_it_is() -> None:
    import tensorflow as tf

    random = np.random.default_rng(0)
    inputs = {
        "audio": tf.constant(random.normal(size=(2, 40, 16)), tf.float32),
        "audio_mask": tf.ones((2, 40)),
        "faces": tf.constant(random.integers(1, 255, (2, 3, 16, 16, 1)), tf.uint8),
        "face_mask": tf.ones((2, 3)),
    }
    mean, seed = np.zeros(16, np.float32), tf.constant([3, 4], tf.int64)
    varied = augmentation.augmented(inputs, mean, seed, "waveform")
    for name in ("audio", "audio_mask"):
        np.testing.assert_array_equal(varied[name], inputs[name])
    assert not np.array_equal(varied["faces"], inputs["faces"])

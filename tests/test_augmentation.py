"""augmentation: what is missing stays missing, what is masked stays masked."""

from __future__ import annotations

import numpy as np

from emorec_tf import augmentation


def test_augmentation_keeps_missing_faces_missing() -> None:
    import tensorflow as tf

    faces = np.random.default_rng(0).integers(1, 255, (2, 3, 16, 16, 1), np.uint8)
    faces[0, 1] = 0
    varied = augmentation.varied_faces(tf.constant(faces), tf.constant([1, 2], tf.int64)).numpy()
    assert not varied[0, 1].any()
    assert varied[0, 0].any()
    assert not np.array_equal(varied[1], faces[1])


def test_augmented_voice_stays_masked() -> None:
    import tensorflow as tf

    random = np.random.default_rng(0)
    audio = random.normal(size=(3, 40, 16)).astype(np.float32)
    mask = np.ones((3, 40), np.float32)
    mask[:, 30:] = 0
    mask[2] = 0
    mean = np.full(16, -5.0, np.float32)
    seed = tf.constant([3, 4], tf.int64)
    varied = augmentation.varied_voice(tf.constant(audio), tf.constant(mask), mean, seed)
    real = varied["audio_mask"].numpy()
    assert not varied["audio"].numpy()[real == 0].any()
    assert not real[2].any(), "a clip without sound stays without sound"
    assert 20 <= real[0].sum() <= 40


def test_pictures_with_a_face_are_drawn_first() -> None:
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

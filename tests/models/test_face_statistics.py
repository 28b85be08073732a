"""face_statistics: NumPy's statistics over the real frames."""

from __future__ import annotations

import numpy as np

from emorec_tf.models.face.statistics import extremes, statistics


def test_statistics_are_numpys():
    values = np.random.default_rng(0).normal(size=(2, 7, 5)).astype(np.float32)
    mask = np.ones((2, 7), np.float32)
    mask[1, 6] = 0
    x = values[1, :6]
    found = [np.asarray(s)[1] for s in statistics(values, mask, 3)]
    thirds = [third.mean(0) for third in np.split(x, 3)]
    wanted = [x.mean(0), x.std(0), *thirds, np.abs(np.diff(x, axis=0)).mean(0)]
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    high, low = (np.asarray(e)[1] for e in extremes(values, mask))
    np.testing.assert_allclose([high, low], [x.max(0), x.min(0)], atol=1e-5)


def test_one_frame_repeats_in_all_segments_and_none_gives_zero():
    values = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    mask = np.array([[0, 1, 0, 0], [0, 0, 0, 0]], np.float32)
    mean, deviation, *course, speed = (np.asarray(s) for s in statistics(values, mask, 3))
    for part in course:
        np.testing.assert_allclose(part[0], values[0, 1], atol=1e-6)
    np.testing.assert_allclose(mean[0], values[0, 1], atol=1e-6)
    assert np.abs(deviation).max() < 1e-3
    assert not speed.any()
    assert not mean[1].any()
    assert not np.asarray(extremes(values, mask))[:, 1].any()


def test_masked_frames_are_ignored():
    values = np.random.default_rng(0).normal(size=(1, 5, 3)).astype(np.float32)
    mask = np.array([[1, 1, 0, 1, 1]], np.float32)
    other = values.copy()
    other[0, 2] = 1e3
    for one, two in zip(statistics(values, mask, 2), statistics(other, mask, 2), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)

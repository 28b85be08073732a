"""Frame sampling, in cases that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.errors import UserError
from emorec_tf.features.frame_sampling import SAMPLINGS, TrackTimes

SIX_A_SECOND = np.arange(36) / 6  # six seconds


def chosen(times: np.ndarray, found: np.ndarray | None = None, **settings) -> list[int]:
    features = FeaturesConfig(**settings)
    found = np.ones(len(times), bool) if found is None else found
    track = TrackTimes(
        "a.mp4", times, found, 1.0, features.clip_seconds
    )  # the window starts at 1 s
    return SAMPLINGS[features.face_sampling](track, features)


def test_even_takes_the_nearest_to_each_moment() -> None:
    # Moments 1.25, 1.75 ... 4.75 s are 7.5, 10.5 ... sixths.
    assert chosen(SIX_A_SECOND) == [7, 10, 13, 16, 19, 22, 25, 28]
    assert chosen(np.array([0.0, 1.3, 4.0]), face_frames=4) == [1, 1, 2, 2]
    assert chosen(np.array([2.0])) == [0] * 8


def test_rate_counts_from_the_windows_start_and_takes_none_twice() -> None:
    assert chosen(SIX_A_SECOND, face_sampling="rate", face_rate_hz=3.0) == list(range(6, 22, 2))
    some = chosen(SIX_A_SECOND, face_sampling="rate", face_rate_hz=2.0, face_frames=16)
    assert some == list(range(6, 30, 3))  # eight moments in four seconds: the rest is masked
    often = chosen(SIX_A_SECOND, face_sampling="rate", face_rate_hz=60.0, face_frames=200)
    assert often == list(range(6, 31))
    assert chosen(np.array([2.0]), face_sampling="rate") == [0]


def test_adaptive_steps_over_frames_with_a_face() -> None:
    found = np.arange(36) % 2 == 1  # 18 faces: every second of them
    assert chosen(SIX_A_SECOND, found, face_sampling="adaptive") == list(range(1, 33, 4))
    found = np.arange(36) < 8
    assert chosen(SIX_A_SECOND, found, face_sampling="adaptive") == list(range(8))
    found = np.arange(36) < 5
    with pytest.raises(UserError) as error:
        chosen(SIX_A_SECOND, found, face_sampling="adaptive")
    assert str(error.value) == (
        "a.mp4: shows a face in 5 frames, face_sampling adaptive needs 8; lower --face_frames "
        "or use --face_sampling even"
    )

"""Windows cover the video, and their answers are averaged where they overlap."""

from __future__ import annotations

import numpy as np
import pytest

from emorec_tf.errors import UserError
from emorec_tf.inference import windows


def row(start: float, end: float, happy: float | None, person: int | None = 1) -> dict[str, object]:
    shares = {} if happy is None else {"happy": happy, "sad": 1 - happy}
    return {
        "person": person,
        "start_seconds": start,
        "end_seconds": end,
        "emotion": max(shares, key=shares.__getitem__, default=None),
        "probabilities": shares,
        "audio_present": True,
        "speech": happy is not None,
        "face_present": person is not None,
        "face_coverage": 0.5,
    }


def test_a_video_of_one_window_is_that_window():
    assert windows.cut(4.0, 4.0, 2.0) == [(0.0, 4.0)]
    assert windows.cut(1.5, 4.0, 2.0) == [(0.0, 1.5)]
    (start, end) = windows.cut(4.16, 4.0, 2.0)[0]
    assert (start, end) == pytest.approx((0.08, 4.08))  # its middle, as of a clip


def test_windows_start_every_step_and_the_last_ends_with_the_video():
    assert windows.cut(9.0, 4.0, 2.0) == [(0, 4), (2, 6), (4, 8), (5, 9)]
    late = np.array(windows.cut(8.1, 4.0, 2.0))
    assert late == pytest.approx(np.array([(0, 4), (2, 6), (4.1, 8.1)]))


def test_windows_cover_any_video_without_a_gap():
    random = np.random.default_rng(0)
    for seconds, window, share in random.uniform((4, 1, 0.05), (90, 4, 1), (300, 3)):
        cuts = windows.cut(seconds, window, share * window)
        starts, ends = np.array(cuts).T
        assert ends - starts == pytest.approx(window)
        assert np.diff(starts).max(initial=0) <= share * window * 1.1 + 1e-9
        assert np.diff(starts).min(initial=1) > 0
        if len(cuts) > 1:
            assert (starts[0], ends[-1]) == pytest.approx((0, seconds))


def test_a_step_that_leaves_gaps_is_refused():
    assert windows.hop_of(4.0, None) == 2.0
    assert windows.hop_of(4.0, 0.04) == 0.04
    said = r"window_hop_seconds is .*; it must be from 0\.04 up to the run's window of 4 s"
    for hop in (0.0, -1.0, 4.5, 1e-9, 0.039, float("nan")):
        with pytest.raises(UserError, match=said):
            windows.hop_of(4.0, hop)


def test_overlapping_windows_are_averaged():
    rows = [row(0, 4, 0.9), row(2, 6, 0.5), row(4, 8, 0.1)]
    cells = windows.merged(rows, 2.0, 8.0)
    assert [c["start_seconds"] for c in cells] == [0, 2, 4, 6]
    assert [c["probabilities"]["happy"] for c in cells] == pytest.approx([0.9, 0.7, 0.3, 0.1])
    assert [c["emotion"] for c in cells] == ["happy", "happy", "sad", "sad"]
    assert windows.merged(rows, 2.0, 8.0, 0.8)[1]["emotion"] == windows.UNSURE


def test_the_last_step_may_be_a_short_one():
    rows = [row(0, 4, 0.9), row(2, 6, 0.5), row(2.6, 6.6, 0.1)]
    cells = windows.merged(rows, 2.0, 6.6)
    assert [c["end_seconds"] for c in cells] == [2, 4, 6, 6.6]
    assert [c["probabilities"]["happy"] for c in cells] == pytest.approx([0.9, 0.5, 0.3, 0.1])


def test_people_are_kept_apart_and_gaps_stay_empty():
    rows = [row(0, 4, None, None), row(2, 6, 0.2), row(2, 6, 0.8, 2), row(4, 8, None, None)]
    cells = windows.merged(rows, 2.0, 8.0)
    emotions = {(c["start_seconds"], c["person"]): c["emotion"] for c in cells}
    assert emotions == {
        (0, None): None, (2, 1): "sad", (2, 2): "happy", (2, None): None,
        (4, 1): "sad", (4, 2): "happy", (4, None): None, (6, None): None,
    }  # fmt: skip
    assert windows.mean([row(0, 4, None), row(2, 6, 0.2)])["probabilities"]["sad"] == 0.8
    assert windows.mean([row(0, 4, None)])["probabilities"] == {}


def test_ratings_are_averaged_too():
    rows = [row(0, 4, 0.5) | {"value": value} for value in (2.0, 3.0, None)]
    assert windows.mean(rows)["value"] == 2.5
    assert windows.mean(rows[2:])["value"] is None


def test_familiarity_is_the_mean_of_windows_that_have_one() -> None:
    rows = [row(0, 4, 0.2) | {"familiarity": share} for share in (0.2, 0.0, None)]
    assert windows.mean(rows)["familiarity"] == 0.1
    assert windows.mean(rows)["emotion"] == windows.mean(rows, 0.0, 0.1)["emotion"] == "sad"
    assert windows.mean(rows, 0.0, 0.11)["emotion"] == windows.UNSURE
    assert windows.mean(rows[2:])["familiarity"] is None
    assert "familiarity" not in windows.mean([row(0, 4, 0.2)])

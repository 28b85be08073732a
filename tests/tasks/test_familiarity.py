"""Familiarity: distances and choices equal scikit-learn's; held-out clips have equal shares."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_selection import f_classif
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from emorec_tf.tasks import familiarity
from emorec_tf.tasks.familiarity import KEPT_FEATURES, LEAST_FEATURES, NEIGHBOURS

WIDTH, SPEAKERS, CLIPS = 400, 12, 30


def drawn(
    speakers: int, seed: int, offset: float = 0.0, clips: int = CLIPS
) -> tuple[np.ndarray, np.ndarray]:
    """Clips of several speakers; an offset stands for another room, in a tenth of the features."""
    random = np.random.default_rng(seed)
    weights = np.where(np.arange(WIDTH) < WIDTH // 10, 1.0, 0.1)
    own = random.normal(size=(speakers, WIDTH)) * weights
    rows = np.repeat(own, clips, axis=0) + random.normal(size=(speakers * clips, WIDTH))
    rows[:, : WIDTH // 10] += offset
    return rows, np.repeat([f"{seed}-{n}" for n in range(speakers)], clips)


@pytest.fixture(scope="module")
def found() -> familiarity.Familiarity:
    rows, speakers = drawn(40, 0)
    made, _ = familiarity.across_folds(rows, [WIDTH], speakers)
    assert made is not None
    return made


def test_features_are_ranked_as_by_an_analysis_of_variance() -> None:
    rows, speakers = drawn(SPEAKERS, 0)
    ratio = familiarity.between_to_within(rows, speakers)
    wanted = f_classif(rows, speakers)[0]  # proportional, as all speakers have as many clips
    np.testing.assert_allclose(ratio / ratio.mean(), wanted / wanted.mean(), rtol=1e-4)
    part = familiarity.fit_parts(rows, [WIDTH], speakers)[0]
    kept = max(LEAST_FEATURES, round(KEPT_FEATURES * WIDTH))
    assert set(part.columns) == set(np.argsort(-wanted)[:kept])


def test_distances_equal_scikit_learn() -> None:
    rows, speakers = drawn(SPEAKERS, 0)
    other = drawn(3, 1)[0]
    parts = familiarity.fit_parts(rows, [WIDTH], speakers)
    part = parts[0]
    z = (other[:, part.columns] - part.mean) / part.scale
    near = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(part.references).kneighbors(z)[0][:, -1]
    np.testing.assert_allclose(familiarity.log_distances(parts, other)[:, 0], np.log(near), 1e-6)
    np.testing.assert_allclose(
        part.references, (rows[:, part.columns] - part.mean) / part.scale, atol=4e-3
    )  # kept in half precision


def test_new_speakers_have_equal_shares_and_another_room_has_not(
    found: familiarity.Familiarity,
) -> None:
    same, shifted = drawn(40, 2)[0], drawn(40, 3, offset=1.5)[0]
    (near, familiar), (far, strange) = found.of(same), found.of(shifted)
    shares = np.quantile(familiar, [0.1, 0.25, 0.5, 0.75, 0.9])
    np.testing.assert_allclose(shares, [0.1, 0.25, 0.5, 0.75, 0.9], atol=0.12)
    truth = np.repeat([0, 1], [len(same), len(shifted)])
    assert roc_auc_score(truth, np.concatenate([near, far])) > 0.95
    assert roc_auc_score(truth, -np.concatenate([familiar, strange])) > 0.95
    assert np.mean(strange < found.threshold) > 0.5 > 0.06 > np.mean(familiar < found.threshold)
    order = np.argsort(far)
    assert (np.diff(strange[order]) <= 0).all(), "the farther, the less familiar"


def test_held_out_clips_have_the_unfamiliarity_that_quantiles_come_from() -> None:
    rows, speakers = drawn(SPEAKERS, 0)
    found, held = familiarity.across_folds(rows, [WIDTH], speakers)
    assert found is not None
    assert np.mean(held) == pytest.approx(0, abs=1e-6)
    assert np.std(held) == pytest.approx(1)
    places = [0.1, 0.5, 0.9]
    kept = np.quantile(found.held_out[0], places)
    np.testing.assert_allclose(np.quantile(held, places), kept, atol=0.03)


def test_each_branch_counts_where_it_has_something() -> None:
    rows, speakers = drawn(SPEAKERS, 0)
    both = np.concatenate([rows, drawn(SPEAKERS, 5)[0][:, :50]], axis=1)
    both[:30, WIDTH:] = 0  # the first speaker's face is never seen
    found, _ = familiarity.across_folds(both, [WIDTH, 50], speakers)
    assert found is not None
    assert found.held_out.shape[0] == 2
    clip = both[[100, 100, 100, 100]].copy()
    clip[1, WIDTH:] = 0
    clip[2, :WIDTH] = 0
    clip[3] = 0
    here = familiarity.present(found.parts, clip)
    np.testing.assert_array_equal(here, [[1, 1], [1, 0], [0, 1], [0, 0]])
    far, share = found.of(clip)
    assert far[0] == pytest.approx((far[1] + far[2]) / 2)
    assert far[3] == 0, "nothing is known of a clip without anything"
    assert ((share >= 0) & (share <= 1)).all()
    alone, _ = familiarity.across_folds(rows, [WIDTH], speakers)
    assert alone is not None
    assert alone.of(clip[[1], :WIDTH])[0] == pytest.approx(far[1])


def test_references_are_spread_over_speakers() -> None:
    groups = np.array(["a"] * 5000 + ["b"] * 200 + ["c"] * 900)
    chosen = familiarity.spread_over(groups, 1000)
    names, counts = np.unique(groups[chosen], return_counts=True)
    assert dict(zip(names, counts, strict=True)) == {"a": 400, "b": 200, "c": 400}
    np.testing.assert_array_equal(familiarity.spread_over(groups[:50], 1000), np.arange(50))


def test_a_single_speaker_leaves_nobody_to_compare_with() -> None:
    rows, _ = drawn(1, 0)
    assert familiarity.across_folds(rows, [WIDTH], np.array(["a"] * len(rows)))[0] is None


def test_another_width_is_refused(found: familiarity.Familiarity) -> None:
    with pytest.raises(ValueError, match="an embedding of 3, not 400"):
        found.of(np.zeros((1, 3)))

"""Traits of clips, metrics of groups and their gaps, against scikit-learn and by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from emorec_tf.errors import UserError
from emorec_tf.evaluation.subgroups import INCONCLUSIVE, groups, slices, traits_of
from emorec_tf.storage.files import rows_to_csv


def people(count, clips=20, seed=0, right=(0.7, 0.7)):
    """Two groups of speakers with the given accuracies: ids, truth, guesses, speakers, group."""
    rng = np.random.default_rng(seed)
    speakers = np.repeat([f"s{n}" for n in range(count)], clips)
    group = np.where(np.arange(len(speakers)) < len(speakers) // 2, "a", "b")
    truth = np.tile(np.arange(clips) % 2, count)
    skill = np.where(group == "a", *right) + np.repeat(rng.normal(0, 0.1, count), clips)
    guesses = np.where(rng.random(len(truth)) < skill, truth, 1 - truth)
    return np.arange(len(truth)).astype(str), truth, guesses, speakers, group


def test_traits_are_read_from_ravdess_and_crema_d_names():
    traits = traits_of(["01-05-02-01-01-04", "01-01-01-02-02-03"], "ravdess")
    first, second = traits.values()
    assert (first["sex"], first["intensity"], first["statement"]) == ("female", "strong", "kids")
    assert (second["sex"], second["intensity"], second["statement"]) == ("male", "normal", "dogs")
    assert traits_of(["1001_DFA_ANG_XX"], "crema-d")["1001_DFA_ANG_XX"]["intensity"] == "XX"
    assert traits_of(["savee/DC_a01"], "savee+ravdess")["savee/DC_a01"]["sex"] == "male"
    assert traits_of(["anything"], "folder") == {"anything": {}}


def test_traits_are_read_from_records(tmp_path):
    traits = {"sex": "female", "age": "47", "race": "Asian"}
    row = dict.fromkeys(
        ("clip_id", "speaker", "emotion", "video", "audio", "session", "activation", "valence"), ""
    )
    (tmp_path / "report.csv").write_text(
        rows_to_csv([row | {"clip_id": "x", "traits": json.dumps(traits)}])
    )
    assert traits_of(["x", "y"], "crema-d", tmp_path) == {"x": traits}
    with pytest.raises(UserError, match="none of the run's clips"):
        traits_of(["z"], "crema-d", tmp_path)
    (tmp_path / "report.csv").write_text("clip_id\nx\n")
    with pytest.raises(UserError, match="damaged"):
        traits_of(["x"], "crema-d", tmp_path)
    with pytest.raises(UserError, match="--records"):
        traits_of(["x"], "crema-d", tmp_path / "nowhere")


def test_ages_are_binned_and_single_values_make_no_subgroup():
    traits = {str(n): {"age": age, "sex": "male"} for n, age in enumerate(("20", "35", "74", ""))}
    found = groups(["0", "1", "2", "3", "unknown"], traits)
    assert list(found) == ["age"]
    assert found["age"].tolist() == ["under 30", "30 to 49", "50 and over", "", ""]


def test_metrics_equal_scikit_learn():
    ids, truth, guesses, speakers, group = people(20, right=(0.9, 0.6))
    one, other = slices(ids, truth, guesses, speakers, 2, {"group": group})
    for row, name in ((one, "a"), (other, "b")):
        inside = group == name
        assert row["uar"] == pytest.approx(balanced_accuracy_score(truth[inside], guesses[inside]))
        assert row["war"] == pytest.approx((truth == guesses)[inside].mean())
        assert (row["clips"], row["speakers"], row["chance"]) == (200, 10, 0.5)
    assert one["gap"] == pytest.approx(one["uar"] - other["uar"]) == -other["gap"]
    assert one["gap_ci95"][0] <= one["gap"] <= one["gap_ci95"][1]
    assert (one["follows"], other["follows"]) == ("better than the rest", "worse than the rest")


def test_a_gap_compares_only_classes_in_both_groups():
    """Class 2 is always wrong and in group a only; the recalls of classes 0 and 1 are equal."""
    truth = np.array([0, 1, 2, 2, 0, 1])
    guesses = np.array([0, 0, 0, 0, 0, 0])
    speakers = np.array(list("pqpqrr"))
    group = np.array(list("aaaabb"))
    one, other = slices(np.arange(6), truth, guesses, speakers, 3, {"g": group})
    assert (one["uar"], other["uar"]) == (pytest.approx(1 / 3), 0.5)
    assert one["gap"] == other["gap"] == 0


def test_few_speakers_are_inconclusive():
    ids, truth, guesses, speakers, group = people(12, right=(1.0, 0.1))
    rows = slices(ids, truth, guesses, speakers, 2, {"group": group})
    assert {row["follows"] for row in rows} == {INCONCLUSIVE}
    alone = slices(
        ids[:20], truth[:20], guesses[:20], speakers[:20], 2, {"t": truth[:20].astype(str)}
    )
    assert alone[0]["uar_ci95"] is None


def test_no_gap_without_a_common_class():
    truth = np.array([0, 0, 1, 1])
    speakers = np.array(list("pqpq"))
    rows = slices(np.arange(4), truth, truth, speakers, 2, {"g": truth.astype(str)})
    assert [(row["gap"], row["gap_ci95"]) for row in rows] == [(None, None)] * 2


def test_intervals_of_gaps_cover_the_true_gap():
    held = 0
    for draw in range(40):
        ids, truth, guesses, speakers, group = people(30, seed=draw)
        row = slices(ids, truth, guesses, speakers, 2, {"group": group})[0]
        held += row["gap_ci95"][0] <= 0 <= row["gap_ci95"][1]
    assert 34 <= held <= 40

"""Comparison: clips paired by id, speakers as the unit, coverage of intervals."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import wilcoxon
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from emorec_tf.errors import UserError
from emorec_tf.evaluation.comparison import Predictions, compare, read
from emorec_tf.storage.files import rows_to_csv
from emorec_tf.tasks import bootstrap, metrics

CLASSES = ("neutral", "happy", "sad")


def answers(right: np.ndarray, labels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Probabilities [N, 3] with the largest at the label where ``right``, else elsewhere."""
    guess = np.where(right, labels, (labels + draw.integers(1, 3, len(labels))) % 3)
    return np.eye(3)[guess] * 0.5 + 1 / 6


def made(skill: float = 0.6, seed: int = 0, speakers: int = 16, each: int = 15) -> Predictions:
    draw = np.random.default_rng(seed)
    who = np.repeat(np.arange(speakers), each)
    labels = np.tile(np.arange(each) % 3, speakers)
    return Predictions(
        run=f"run{seed}",
        protocol="ravdess/contiguous6",
        classes=CLASSES,
        clip_ids=tuple(f"{s}-{i}" for i, s in enumerate(who)),
        speakers=tuple(str(s) for s in who),
        labels=tuple(CLASSES[i] for i in labels),
        probabilities=answers(draw.random(len(who)) < skill, labels, draw),
    )


def shuffled(run: Predictions, seed: int = 9) -> Predictions:
    order = np.random.default_rng(seed).permutation(len(run.clip_ids))
    names = ("clip_ids", "speakers", "labels")
    part: dict[str, Any] = {n: tuple(np.array(getattr(run, n))[order]) for n in names}
    return replace(run, probabilities=run.probabilities[order], **part)


def test_metrics_and_wilcoxon_equal_the_libraries():
    first, second = made(0.7, 1), made(0.5, 2)
    found = compare(first, second)
    for name, metric in (("uar", balanced_accuracy_score), ("war", accuracy_score)):
        guesses = [np.array(CLASSES)[r.probabilities.argmax(1)] for r in (first, second)]
        by_hand = [metric(first.labels, guess) for guess in guesses]
        assert [found[name]["first"], found[name]["second"]] == pytest.approx(by_hand)
        assert found[name]["difference"] == pytest.approx(by_hand[0] - by_hand[1])
        low, high = found[name]["ci95"]
        assert low < found[name]["difference"] < high
        labels, of = np.array(first.labels), np.array(first.speakers)
        gaps = [
            np.subtract(*(metric(labels[of == s], guess[of == s]) for guess in guesses))
            for s in np.unique(of)
        ]
        assert found[name]["wilcoxon_p"] == pytest.approx(wilcoxon(np.array(gaps)).pvalue)
    assert (found["n"], found["speakers"]) == (240, 16)


def test_runs_are_joined_by_clip_id_not_position():
    first, second = made(0.7, 1), made(0.5, 2)
    assert compare(first, shuffled(second)) == compare(first, second)


def test_a_run_does_not_differ_from_itself():
    found = compare(made(), shuffled(made()))
    assert found["uar"]["difference"] == 0
    assert found["uar"]["ci95"] == [0, 0]
    assert found["uar"]["wilcoxon_p"] == 1


def test_swapping_the_runs_changes_the_sign():
    there, back = compare(made(0.7, 1), made(0.5, 2)), compare(made(0.5, 2), made(0.7, 1))
    assert there["uar"]["difference"] == pytest.approx(-back["uar"]["difference"])
    assert there["uar"]["ci95"] == pytest.approx([-x for x in reversed(back["uar"]["ci95"])])


def test_pairing_narrows_the_interval():
    """Two runs that fail on the same speakers: the gap is more certain than either score."""
    draw = np.random.default_rng(3)
    run = made()
    skill = np.repeat(draw.uniform(0.1, 0.9, 16), 15)
    labels = np.array([CLASSES.index(label) for label in run.labels])
    luck = draw.random(240)
    first = replace(run, probabilities=answers(luck < skill + 0.1, labels, draw))
    second = replace(run, probabilities=answers(luck < skill, labels, draw))
    low, high = compare(first, second)["war"]["ci95"]
    alone = metrics.scores(first.labels, first.probabilities, CLASSES, first.speakers)["war_ci95"]
    assert high - low < 0.5 * (alone[1] - alone[0])


@pytest.mark.parametrize("speakers", [1, 2, 4])
def test_few_speakers(speakers):
    found = compare(made(0.9, 1, speakers), made(0.3, 2, speakers))
    assert (found["uar"]["ci95"] is None) == (speakers == 1)
    assert found["uar"]["wilcoxon_p"] > 0.05


def refused(first: Predictions, second: Predictions) -> str:
    with pytest.raises(UserError) as error:
        compare(first, second)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_runs_that_cannot_be_compared_are_refused():
    run = made()
    other = replace(run, protocol="leaky_kfold:5")
    assert "different protocols" in refused(run, other)
    assert compare(run, other, across_protocols=True)["uar"]["difference"] == 0
    assert "different classes" in refused(run, replace(run, classes=("neutral", "sad", "happy")))
    fewer = {n: getattr(run, n)[1:] for n in ("clip_ids", "speakers", "labels", "probabilities")}
    assert "1 are in one only, such as 0-0" in refused(run, replace(run, **fewer))
    assert "labels neutral and sad" in refused(run, replace(run, labels=("sad", *run.labels[1:])))
    torn = replace(run, speakers=("99", *run.speakers[1:]))
    assert "disagree on clip 0-0: speakers 0 and 99" in refused(run, torn)
    with pytest.raises(UserError, match="clip 0-1 has two predictions"):
        replace(run, clip_ids=("0-1", *run.clip_ids[1:]))


def write(folder, run: Predictions, seed: str | None = None) -> None:
    folder.mkdir(exist_ok=True)
    rows = [
        {"clip_id": i, "speaker": s, "label": e}
        | dict(zip(CLASSES, line, strict=True))
        | ({"seed": seed} if seed else {})
        for i, s, e, line in zip(
            run.clip_ids, run.speakers, run.labels, run.probabilities, strict=True
        )
    ]
    (folder / "predictions.csv").write_text(rows_to_csv(rows))
    (folder / "metrics.json").write_text(
        json.dumps({"protocol": run.protocol, "classes": run.classes})
    )


def test_reading_runs(tmp_path):
    run = made()
    write(tmp_path / "a", run)
    back = read(tmp_path / "a")
    assert (back.clip_ids, back.labels, back.classes) == (run.clip_ids, run.labels, CLASSES)
    np.testing.assert_array_equal(back.probabilities, run.probabilities)
    write(tmp_path / "b", run, seed="3")
    assert read(tmp_path / "b").clip_ids[0] == "0-0@3"
    with pytest.raises(UserError, match="cannot read"):
        read(tmp_path / "none")
    (tmp_path / "b" / "metrics.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        read(tmp_path / "b")
    (tmp_path / "a" / "predictions.csv").write_text("clip_id,speaker\n1,2\n")
    with pytest.raises(UserError, match="damaged"):
        read(tmp_path / "a")


def test_intervals_over_speakers_cover_the_truth(monkeypatch):
    """200 draws of 30 speakers with different recalls: the 95 % interval covers 90 to 98 %."""
    monkeypatch.setattr(bootstrap, "RESAMPLES", 600)
    draw = np.random.default_rng(11)
    people, each, truth = 30, 12, (0.75, 0.5, 0.35)
    labels = np.tile(np.arange(each) % 3, people)
    speakers = np.repeat(np.arange(people), each)
    covered = np.zeros(2)
    for seed in range(200):
        skill = np.stack([draw.beta(8 * p, 8 * (1 - p), people) for p in truth])  # mean p
        right = draw.random(len(labels)) < skill[labels, speakers]
        guesses = np.where(right, labels, (labels + 1) % 3)
        for i, (low, high) in enumerate(metrics.intervals(labels, guesses, speakers, 3, seed)):
            covered[i] += low <= np.mean(truth) <= high  # classes are balanced: WAR = UAR
    assert (covered >= 0.90 * 200).all()
    assert (covered <= 0.98 * 200).all()


def test_intervals_of_a_difference_cover_the_truth(monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 600)
    draw = np.random.default_rng(12)
    run = made(speakers=30)
    labels = np.array([CLASSES.index(label) for label in run.labels])
    covered = 0
    for seed in range(200):
        skill = np.repeat(draw.uniform(0.3, 0.7, 30), 15)
        pair = [
            replace(run, probabilities=answers(draw.random(450) < skill + gain, labels, draw))
            for gain in (0.1, 0.0)
        ]
        low, high = compare(pair[0], pair[1], seed=seed)["uar"]["ci95"]
        covered += low <= 0.1 <= high
    assert 0.90 * 200 <= covered <= 0.98 * 200

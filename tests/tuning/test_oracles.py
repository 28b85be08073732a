"""Oracles survive kills at any moment; trials of lost workers are reassigned."""

from __future__ import annotations

import math
import socket

import keras_tuner
import pytest
from keras_tuner.src.engine.trial import Trial

from emorec_tf.errors import UserError
from emorec_tf.models.classical import kept_oracle
from emorec_tf.tuning import oracles


@pytest.fixture(autouse=True)
def deprecations_of_keras_tuner():
    with oracles.quiet():
        yield


def space() -> keras_tuner.HyperParameters:
    declared = keras_tuner.HyperParameters()
    declared.Float("rate", 1e-4, 1e-1, sampling="log")
    declared.Choice("audio", ["conv1d", "lstm"])
    declared.Int("units", 4, 64, parent_name="audio", parent_values=["lstm"])
    return declared


def make(tuner: str, folder, trials: int = 12, failures: int = 3) -> oracles.Kept:
    oracle = oracles.make(tuner, space(), "val_uar", 0, trials, 9, None)
    oracle.file, oracle.failures = folder / "oracle.json", failures
    return oracle


def score_of(values) -> float:
    """Best at a rate of 0.01, better with epochs."""
    off = abs(math.log10(values["rate"]) + 2) + (values["audio"] == "conv1d") / 10
    return 1 / (1 + off) + values.get("tuner/epochs", 0) / 100


def run_trials(oracle, worker: str = "a", most: int = 99) -> None:
    while most and (trial := oracle.create_trial(worker)).status == "RUNNING":
        oracle.update_trial(trial.trial_id, {"val_uar": score_of(trial.hyperparameters.values)})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
        most -= 1


def trials_of(oracle) -> dict:
    return {
        name: (trial.status, trial.score, trial.hyperparameters.values)
        for name, trial in oracle.trials.items()
    }


@pytest.mark.parametrize(
    ("tuner", "trials", "killed_after"),
    [
        ("random", 12, range(24)),
        ("hyperband", 12, range(24)),
        pytest.param("bayesian", 11, (19,), marks=pytest.mark.slow),
    ],
)
def test_a_kill_after_any_write_changes_nothing(
    tuner: str, trials: int, killed_after, tmp_path, monkeypatch
):
    written: list[str] = []
    monkeypatch.setattr(kept_oracle, "write_atomically", lambda _, text: written.append(text))
    whole = make(tuner, tmp_path, trials)
    run_trials(whole)
    assert len(whole.trials) == trials
    assert whole.is_complete()
    assert len(written) == 2 * trials, "when a trial begins and when it ends"
    expected, snapshots = trials_of(whole), list(written)
    for at in killed_after:
        (tmp_path / "oracle.json").write_text(snapshots[at])
        resumed = make(tuner, tmp_path, trials)
        resumed.reload()
        ended = list(resumed.end_order)
        assert len(ended) == (at + 1) // 2
        run_trials(resumed)
        assert resumed.end_order[: len(ended)] == ended
        assert sorted(resumed.end_order) == sorted(expected), "each ended once"
        assert trials_of(resumed) == expected


def test_hyperband_promotes_the_better_ones(tmp_path):
    oracle = make("hyperband", tmp_path, trials=13)
    assert oracle.brackets() == [[(9, 1), (3, 3), (1, 9)], [(5, 3), (2, 9)], [(3, 9)]]
    run_trials(oracle)
    first = [t for t in oracle.trials.values() if t.hyperparameters.values["tuner/epochs"] == 1]
    promoted = [t for t in oracle.trials.values() if "tuner/trial_id" in t.hyperparameters.values]
    assert (len(first), len(promoted)) == (9, 4)
    best = sorted(first, key=lambda t: -t.score)[:3]
    second = [t for t in promoted if t.hyperparameters.values["tuner/epochs"] == 3]
    named = {t.hyperparameters.values["tuner/trial_id"] for t in second}
    assert named == {t.trial_id for t in best}


@pytest.mark.parametrize(
    ("trials", "epochs", "factor"), [(52, 30, 3), (40, 30, 4), (11, 30, 6), (10, 30, 31), (3, 2, 3)]
)
def test_the_first_bracket_fits_the_trials(trials: int, epochs: int, factor: int):
    assert oracles.fitting_factor(trials, epochs) == factor


def test_trials_of_lost_workers_are_reassigned(tmp_path):
    oracle = make("random", tmp_path)
    lost, other = oracle.create_trial("a"), oracle.create_trial("b")
    assert oracle.create_trial("a").trial_id == lost.trial_id, "started again under its own name"
    oracle.take_back(lambda worker: worker == "a")
    assert oracle.create_trial("c").trial_id == lost.trial_id
    for trial in (lost, other, lost):  # a lost worker may still report; only once
        report = Trial.from_state(trial.get_state())
        report.status = "COMPLETED"
        oracle.update_trial(trial.trial_id, {"val_uar": 0.5})
        oracle.end_trial(report)
    assert oracle.end_order == [lost.trial_id, other.trial_id]
    assert not oracle.ongoing_trials
    assert oracle.tuner_ids == {"b", "c"}
    assert oracle.trials[lost.trial_id].score == 0.5


def test_failures_in_a_row_end_a_search(tmp_path):
    oracle = make("random", tmp_path, failures=2)
    for _ in range(2):
        trial = oracle.create_trial("a")
        trial.status = "FAILED"
        oracle.end_trial(trial)
    assert oracle.failed_in_a_row() == 2
    assert oracle.create_trial("a").status == "STOPPED"
    assert len(oracle.trials) == 2
    more = make("random", tmp_path, failures=3)
    more.reload()
    run_trials(more)
    assert len(more.trials) == 12
    assert more.failed_in_a_row() == 0


def test_a_search_can_be_extended_with_more_trials(tmp_path):
    run_trials(make("random", tmp_path, trials=4))
    more = make("random", tmp_path)
    more.reload()
    run_trials(more)
    whole = make("random", tmp_path)
    run_trials(whole)
    assert [v for *_, v in trials_of(more).values()] == [v for *_, v in trials_of(whole).values()]


def test_a_port_in_use_is_reported_in_one_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UserError, match=f"cannot listen on {address}"):
            oracles.serve(make("random", tmp_path), address, set, lambda: None)


def test_a_worker_leaves_when_the_search_is_over(tmp_path):
    assert oracles.client(make("random", tmp_path), "127.0.0.1:9", lambda: True) is None

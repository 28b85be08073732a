"""KerasTuner's oracles, kept in one file that is whole at any moment; chief and workers.

KerasTuner writes its state in several files, none atomically, and forgets which random numbers were
used; a kill in between loses a trial or does one twice. Here each change is one renamed file.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import keras_tuner
import numpy as np
from keras_tuner.src import protos
from keras_tuner.src.distribute import oracle_chief, oracle_client
from keras_tuner.src.engine.trial import Trial

from emorec_tf.errors import UserError
from emorec_tf.storage.files import write_atomically
from emorec_tf.storage.quiet import quiet as silence

POLL_SECONDS = 0.5
SMALLEST_FACTOR = 3  # Hyperband's own


def quiet() -> contextlib.AbstractContextManager[Any]:
    """Hide what KerasTuner prints, and its deprecation warnings; its board has its own stream."""
    return silence(stderr=False, native=False)


class Kept(keras_tuner.Oracle):
    """Extends every oracle: one atomic file, an end after repeated failures, reassigned trials."""

    file: Path
    failures: int
    broken: OSError | None = None
    ongoing_trials: dict[str, Trial]

    def save(self) -> None:
        """Write everything at once; called by KerasTuner whenever a trial starts or ends."""
        trials = [trial.get_state() for trial in self.trials.values()]
        try:
            write_atomically(self.file, json.dumps({"oracle": self.get_state(), "trials": trials}))
        except OSError as error:  # in the chief it would end a thread silently
            self.broken = error
            raise

    def _save_trial(self, trial: Trial) -> None:
        """Nothing: ``save`` writes all trials."""

    def reload(self) -> None:
        """Read the file; trials that were running are started again under the same names.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: a damaged file.
        """
        state = json.loads(self.file.read_text(encoding="utf-8"))
        found = [Trial.from_state(facts) for facts in state["trials"]]
        self.trials = {trial.trial_id: trial for trial in found}
        self.set_state(state["oracle"])
        self.ongoing_trials = {}
        # taken from the end
        self._retry_queue = [
            t.trial_id for t in reversed(found) if t.trial_id not in self.end_order
        ]

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Choose the values of the next trial, unless too many failed in a row."""
        if self.failed_in_a_row() >= self.failures:
            return {"status": "STOPPED"}
        return super().populate_space(trial_id)

    @keras_tuner.synchronized
    def end_trial(self, trial: Trial) -> None:
        """Record how a trial ended, once, even if a lost worker reports it too."""
        self._retry_queue = [name for name in self._retry_queue if name != trial.trial_id]
        if trial.trial_id not in self.end_order:
            super().end_trial(trial)
        running = self.ongoing_trials.items()
        self.ongoing_trials = {w: t for w, t in running if t.trial_id != trial.trial_id}

    @keras_tuner.synchronized
    def take_back(self, gone: Callable[[str], bool]) -> None:
        """Reassign the trials of lost workers."""
        for worker in [w for w in sorted(self.tuner_ids) if gone(w)]:
            self.tuner_ids.discard(worker)
            trial = self.ongoing_trials.pop(worker, None)
            if trial is not None:
                self._retry_queue.append(trial.trial_id)

    def failed_in_a_row(self) -> int:
        """How many of the trials that ended last have failed."""
        count = 0
        for name in reversed(self.end_order):
            if self.trials[name].status != "FAILED":
                break
            count += 1
        return count

    def is_complete(self) -> bool:
        """Whether all requested trials exist and have ended."""
        return len(self.end_order) == len(self.trials) >= self.max_trials


class Random(Kept, keras_tuner.oracles.RandomSearchOracle):
    """Random search."""


class Bayesian(Kept, keras_tuner.oracles.BayesianOptimizationOracle):
    """Gaussian process; seeded by the trial's number, so that a resumed search draws the same."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Choose the values of the next trial."""
        self._random_state = np.random.RandomState(self.seed + len(self.trials))
        return super().populate_space(trial_id)


class Hyperband(Kept, keras_tuner.oracles.HyperbandOracle):
    """Successive halving: many trials of few epochs, the better ones go on."""

    def brackets(self) -> list[list[tuple[int, int]]]:
        """(trials, epochs) of each round of each bracket."""
        return [
            [(self._get_size(b, r), self._get_epochs(b, r)) for r in range(b + 1)]
            for b in reversed(range(self._get_num_brackets()))
        ]

    def description(self) -> str:
        """Say what the brackets are."""
        rounds = [
            " -> ".join(
                f"{n} of {epochs} epoch{'s' if epochs > 1 else ''}" for n, epochs in bracket
            )
            for bracket in self.brackets()
        ]
        return f"one in {self.factor} goes on; {'; then '.join(rounds)}; and again"


def make(
    tuner: str, space: Any, objective: str, seed: int, trials: int, epochs: int, factor: int | None
) -> Kept:
    """Make an oracle.

    Args:
        tuner: a key of ``ORACLES``.
        space: keras_tuner.HyperParameters.
        objective: name of what is maximised.
        seed: of the search.
        trials: how many at most, for every tuner.
        epochs: of the longest trials; only Hyperband asks.
        factor: Hyperband keeps one trial in ``factor``; None: see ``fitting_factor``.
    """
    more: dict[str, Any] = {"max_trials": trials}
    if tuner == "hyperband":
        factor = factor or fitting_factor(trials, epochs)
        more = {"max_epochs": epochs, "factor": factor, "hyperband_iterations": None}
    oracle = ORACLES[tuner](
        objective=keras_tuner.Objective(objective, "max"),
        hyperparameters=space,
        allow_new_entries=False,
        seed=seed + 1,  # 0 would mean one drawn by chance
        max_consecutive_failed_trials=None,  # by raising, which leaves a chief locked; see Kept
        **more,
    )
    oracle.max_trials = trials  # Hyperband would go on for ever
    oracle.verbose = 0
    return oracle


def fitting_factor(trials: int, epochs: int) -> int:
    """Find the smallest factor of Hyperband whose first bracket fits into ``trials``."""
    for factor in range(SMALLEST_FACTOR, epochs + 1):
        first = Hyperband(objective="val_loss", max_epochs=epochs, factor=factor).brackets()[0]
        if sum(count for count, _ in first) <= trials:
            return factor
    return epochs + 1  # one round: every trial has all epochs


def serve(
    oracle: Kept, address: str, present: Callable[[], set[str]], tick: Callable[[], None]
) -> None:
    """Be the chief: assign trials to workers until all is done and every worker has left.

    Args:
        oracle: what chooses.
        address: host:port to listen on.
        present: names of the workers that are alive.
        tick: called now and then.

    Raises:
        UserError: the address cannot be listened on.
    """
    alone = [("grpc.so_reuseport", 0)]  # else two chiefs could share a port, and mix their trials
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1), options=alone)
    servicer = oracle_chief.OracleServicer(oracle)
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError:
        bound = 0
    if not bound:
        raise UserError(f"cannot listen on {address}; set KERASTUNER_ORACLE_IP and _PORT to others")
    server.start()
    try:
        while not (servicer.stop_triggered and not oracle.ongoing_trials and not present()):
            time.sleep(POLL_SECONDS)
            if oracle.broken:
                raise oracle.broken
            alive = present()
            oracle.take_back(lambda worker, alive=alive: worker not in alive)
            tick()
    finally:
        server.stop(grace=1).wait()


def client(oracle: Kept, address: str, over: Callable[[], bool]) -> Any | None:
    """Wait for the chief and return a client of it; None if the search is over.

    Args:
        oracle: made as the chief makes its own.
        address: host:port of the chief.
        over: whether the search is over; asked while there is no chief.
    """
    with grpc.insecure_channel(address) as channel:
        ready = grpc.channel_ready_future(channel)
        while True:
            try:
                ready.result(timeout=POLL_SECONDS)
                return oracle_client.OracleClient(oracle)
            except grpc.FutureTimeoutError:
                if over():
                    return None


def lost(address: str, error: grpc.RpcError) -> UserError:
    """The error for a chief that does not answer any more."""
    return UserError(
        f"the chief at {address} left ({error.code().name}); start it again, then this worker"
    )


ORACLES: dict[str, Any] = {"random": Random, "bayesian": Bayesian, "hyperband": Hyperband}

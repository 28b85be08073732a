"""KerasTuner's oracles for searches of whole runs: by name; served by a chief, and its workers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
import keras_tuner
from keras_tuner.src import protos
from keras_tuner.src.distribute import oracle_chief, oracle_client

from emorec_tf.errors import UserError
from emorec_tf.models.classical.kept_oracle import Bayesian, Kept, Random
from emorec_tf.storage.quiet import quiet as silence

POLL_SECONDS = 0.5
SMALLEST_FACTOR = 3  # Hyperband's own


def quiet() -> contextlib.AbstractContextManager[Any]:
    """Hide what KerasTuner prints, and its deprecation warnings; its board has its own stream."""
    return silence(stderr=False, native=False)


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

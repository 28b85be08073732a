"""KerasTuner's oracles, kept in one file that is whole at any moment.

KerasTuner writes its state in several files, none atomically, and forgets which random numbers were
used; a kill in between loses a trial or does one twice. Here each change is one renamed file.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.src.engine.trial import Trial

from emorec_tf.storage.files import write_atomically

# what ``Kept.reload`` raises for a damaged file
DAMAGE = (ValueError, KeyError, TypeError, AttributeError)


class Kept(keras_tuner.Oracle):
    """What every oracle has besides: a whole file, an end after failures, trials taken back."""

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
        """Note how a trial ended, once, even if a worker that was given up reports it, too."""
        self._retry_queue = [name for name in self._retry_queue if name != trial.trial_id]
        if trial.trial_id not in self.end_order:
            super().end_trial(trial)
        running = self.ongoing_trials.items()
        self.ongoing_trials = {w: t for w, t in running if t.trial_id != trial.trial_id}

    @keras_tuner.synchronized
    def take_back(self, gone: Callable[[str], bool]) -> None:
        """Give the trials of workers that are gone to others."""
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
        """Whether there are as many trials as were asked for, and all have ended."""
        return len(self.end_order) == len(self.trials) >= self.max_trials


class Random(Kept, keras_tuner.oracles.RandomSearchOracle):
    """Random search."""


class Bayesian(Kept, keras_tuner.oracles.BayesianOptimizationOracle):
    """Gaussian process; draws by the number of the trial, so that a resumed search draws alike."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Choose the values of the next trial."""
        self._random_state = np.random.RandomState(self.seed + len(self.trials))
        return super().populate_space(trial_id)


class Sequential(Kept, keras_tuner.oracles.BayesianOptimizationOracle):
    """Gaussian process; draws from one stream of random numbers, whose state is kept, too."""

    def get_state(self) -> dict[str, Any]:
        """Everything that decides the next trials."""
        kind, words, *rest = self._random_state.get_state()
        return {**super().get_state(), "random_state": [kind, np.asarray(words).tolist(), *rest]}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take up such a state."""
        super().set_state(state)
        self._random_state = np.random.RandomState()
        self._random_state.set_state(tuple(state["random_state"]))

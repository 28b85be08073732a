"""What a search shows while it runs: a live table on a terminal, else a line per finished trial."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.text import Text

from emorec_tf.errors import UserError
from emorec_tf.splits.splits import natural
from emorec_tf.storage.screen import console, fitted, print_line
from emorec_tf.training import run_dir
from emorec_tf.tuning.search import Search
from emorec_tf.tuning.search_files import best_of

SHOWN_TRIALS = 12  # of those that are done, the best
DONE = ("COMPLETED", "FAILED")


class Board:
    """Shows the trials of an oracle; ``tick`` after anything may have changed."""

    def __init__(self, search: Search, oracle: Any) -> None:
        """Prepare to show.

        Args:
            search: what all trials share.
            oracle: the source of the trials.
        """
        self.search, self.oracle, self.total = search, oracle, search.tuner.trials
        self.console = console()  # kept, as training's output is redirected
        self.seen = {t.trial_id for t in oracle.trials.values() if t.status in DONE}
        self.before, self.began = len(self.seen), time.monotonic()
        self.live: Live | None = None

    def __enter__(self) -> Board:
        """Show the table, on a terminal."""
        if self.console.is_terminal:
            self.live = Live(
                get_renderable=self.table,
                console=self.console,
                refresh_per_second=1,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last table standing."""
        self.tick()
        if self.live:
            self.live.stop()

    def tick(self) -> None:
        """Report trials that have ended since the last time."""
        for trial in list(self.oracle.trials.values()):
            if trial.status in DONE and trial.trial_id not in self.seen:
                self.seen.add(trial.trial_id)
                if self.live is None:
                    print_line(self.line(trial.trial_id), self.console)

    def results(self) -> list[dict[str, Any]]:
        """Results of the trials that are done, in their order."""
        found = [self.search.result(name) for name in sorted(self.seen, key=natural)]
        return [result for result in found if result]

    def line(self, name: str) -> str:
        """The result of a trial in one line."""
        result, best = self.search.result(name) or {}, best_of(self.results())
        shown = f"{self.search.score} {result.get('score') or 0:.3f}"
        if result.get("status") != "COMPLETED":
            shown = f"failed: {result.get('message', 'its result is missing')}"
        elif best:
            shown += f" (best {best['score']:.3f}, trial {best['trial']})"
        values = ", ".join(f"{k} {v}" for k, v in result.get("values", {}).items())
        seconds = f"{result.get('epochs', 0)} epochs, {result.get('seconds', 0):.0f} s"
        return f"trial {name}: {shown}; {seconds}; {self.pace()}; {values}"

    def pace(self) -> str:
        """Rate and remaining time, by the trials that ended since this process started."""
        done, elapsed = len(self.seen) - self.before, time.monotonic() - self.began
        words = f"{len(self.seen)} of {self.total} done"
        if not done:
            return words
        left = elapsed / done * (self.total - len(self.seen))
        return f"{words}, {3600 * done / elapsed:.0f} an hour, about {span(left)} left"

    def table(self) -> Group:
        """Draw the best trials and those that run now."""
        names = [axis.name for axis in self.search.space]
        columns = ["trial", *names, "epochs", "time", self.search.score]
        rows, styles = [], []
        done = sorted(self.results(), key=lambda r: math.inf if r["score"] is None else -r["score"])
        for number, result in enumerate(done[:SHOWN_TRIALS]):
            score = f"{result['score']:.3f}" if result["score"] is not None else "failed"
            spent = [str(result["epochs"]), span(result["seconds"])]
            rows.append([*cells(result, names), *spent, score])
            styles.append("" if number else "bold")
        for trial in list(self.oracle.ongoing_trials.values()):
            epochs = self.rows_of(trial.trial_id)
            values = {"trial": trial.trial_id, "values": trial.hyperparameters.values}
            best = max((float(r[self.search.score]) for r in epochs), default=None)
            score = "..." if best is None else f"{best:.3f} ..."
            seconds = sum(float(r["seconds"]) for r in epochs)
            rows.append([*cells(values, names), str(len(epochs)), span(seconds), score])
            styles.append("dim")
        width = self.console.width
        return Group(fitted(columns, rows, width, styles=styles), Text(self.pace()))

    def rows_of(self, name: str) -> list[dict[str, str]]:
        """Finished epochs of a running trial."""
        try:
            return run_dir.load(self.search.run_folder(name)).history
        except UserError:  # not started yet
            return []


def cells(result: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Write a trial's name and values."""
    values = [result["values"].get(name, "-") for name in names]
    return [result["trial"], *(f"{v:.4g}" if isinstance(v, float) else str(v) for v in values)]


def span(seconds: float) -> str:
    """Write a time as people do."""
    minutes = seconds / 60
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"

"""Files of a search: its plan and locks, the table of trials, the best settings, the plot."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorec_tf.config.config import Config, build, comparable, renamed, to_yaml
from emorec_tf.errors import UserError
from emorec_tf.storage import resumable
from emorec_tf.storage.files import rows_to_csv, write_atomically
from emorec_tf.storage.locks import alone
from emorec_tf.training import run_dir, stages
from emorec_tf.tuning import search_space

if TYPE_CHECKING:
    from emorec_tf.tuning.search import Search

MUST_AGREE = ("config", "search", "tuner", "factor", "protocol", "split")
KIND = resumable.Kind(
    "search", "plan.json", "--out", dict.fromkeys(MUST_AGREE, ""), spelled={"config": comparable}
)
BEST, TABLE, PLOT = "best.yaml", "trials.csv", "search.png"
_LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def hold(search: Search, overwrite: bool) -> Iterator[None]:
    """Hold the folder of a search, with its plan in it.

    Raises:
        UserError: another plan, something that is no search, or another process is in the way.
    """
    folder, facts = search.folder, search.facts
    refusal = f"another process searches in {folder}; give another --out, or wait"
    resumable.check(folder, facts, KIND, overwrite, plan_of)
    with alone(folder / ".lock", refusal):
        if resumable.begin_or_resume(folder, facts, KIND, overwrite, plan_of) is None:
            write_atomically(folder / KIND.file, json.dumps(facts, indent=1))
        yield


def plan_of(folder: Path) -> dict[str, Any]:
    """Read the plan of a search.

    Raises:
        UserError: it is damaged.
    """
    path = folder / KIND.file
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        _ = [stored[key] for key in KIND.must_agree]
        return {**stored, "config": renamed(stored["config"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged; --overwrite starts again") from error


def spelled_as_before(folder: Path, section: Any, settings: Config) -> Any:
    """Return a section as the search in a folder has it, if only names of arguments differ.

    Its trials are filed under the names that it was started with.
    """
    try:
        stored = plan_of(folder)["search"]
    except UserError:  # none yet, or a damaged one, which is reported later
        return section
    return stored if search_space.present_names(stored, settings) == section else section


def lock_of(folder: Path, worker: str) -> Path:
    """Path of the lock that a worker holds while it lives."""
    return folder / f"{worker}.lock"


def held(lock: Path) -> bool:
    """Whether a living process holds a lock."""
    try:
        with alone(lock, "held"):
            return False
    except UserError:
        return True


def alive(folder: Path) -> set[str]:
    """Names of the workers whose processes are alive, as their locks show."""
    return {lock.stem for lock in folder.glob("*.lock") if held(lock)}


def is_over(folder: Path) -> bool:
    """Whether a search has ended, and no process leads it now."""
    return (folder / BEST).exists() and not held(folder / ".lock")


def best_of(results: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the trial of the highest score, of equals the one that started first."""
    done = [result for result in results if result["score"] is not None]
    return max(done, key=lambda result: result["score"], default=None)


def write_table(search: Search, results: Sequence[Mapping[str, Any]]) -> None:
    """Write trials.csv: one row for each trial that is done."""
    names = [axis.name for axis in search.space]
    rows = [
        {
            "trial": result["trial"],
            "status": result["status"],
            search.score: "" if result["score"] is None else f"{result['score']:.5f}",
            "epochs": result["epochs"],
            "seconds": result["seconds"],
            "goes_on_from": result["after"] or "",
            **{name: result["values"].get(name, "") for name in names},
            "message": result["message"],
        }
        for result in results
    ]
    if rows:
        write_atomically(search.folder / TABLE, rows_to_csv(rows))


def finish(search: Search, results: Sequence[Mapping[str, Any]]) -> None:
    """Write the table, the plot and, last, the best settings.

    Raises:
        UserError: no trial succeeded.
    """
    from emorec_tf.tuning import search_plots

    write_table(search, results)
    best = best_of(results)
    if best is None:
        why = results[-1]["message"] if results else "none was started"
        raise UserError(f"no trial succeeded, lastly: {why}; correct the search: section")
    done = [result for result in results if result["score"] is not None]
    drawn = search_plots.plot(done, search.score, search.settings.train.seed)
    write_atomically(search.folder / PLOT, drawn)
    settings = run_dir.load(search.run_folder(best["trial"])).config
    settings = with_paths(settings, search.folder)
    text = header(search, results, best) + to_yaml(settings)
    write_atomically(search.folder / BEST, text)
    _LOG.info(
        "%d of %d trials succeeded; the best is %s: %s %.3f; %s, %s, %s",
        len(done),
        len(results),
        best["trial"],
        search.score,
        best["score"],
        search.folder / BEST,
        TABLE,
        PLOT,
    )


def with_paths(settings: Config, folder: Path) -> Config:
    """Make the paths in ``pretrain`` and ``ensemble`` relative to a config in ``folder``."""
    named = {"pretrain": settings.train.pretrain, "ensemble": settings.model.ensemble}
    paths = {
        field: ",".join(os.path.relpath(file, folder) for file in stages.files_of(names))
        for field, names in named.items()
        if names
    }
    return build(paths, settings)


def header(search: Search, results: Sequence[Mapping[str, Any]], best: Mapping[str, Any]) -> str:
    """Say in comments where the best settings are from."""
    split, facts = search.experiment.split, search.facts
    failed = sum(result["status"] == "FAILED" for result in results)
    axes = ", ".join(axis.name for axis in search.space)
    epochs = f"after {best['epochs']} of {search.settings.train.epochs} epochs"
    lines = [
        f"Trial {best['trial']}, the best of {len(results)} ({failed} failed): "
        f"{search.score} {best['score']:.5f} {epochs}.",
        f"{facts['command']}",
        f"Chosen by {facts['tuner']} of KerasTuner, seed {search.settings.train.seed}.",
        f"Searched: {axes}.",
        f"Scored on validation speakers {', '.join(split.validation)}, whose scores are too good "
        f"for the best of many.",
        f"Nothing was chosen on the test speakers {', '.join(split.test)}; no trial saw them.",
        f"python -m emorec_tf.train --config {search.folder / BEST} --run runs/best",
    ]
    return "".join(f"# {line}\n" for line in lines) + "\n"

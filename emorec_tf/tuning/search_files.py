"""Files of a search: who is at work in it, the table of trials, the best settings, the picture."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorec_tf.config.config import Config, build, to_yaml
from emorec_tf.errors import UserError
from emorec_tf.storage.files import rows_to_csv, write_atomically
from emorec_tf.storage.locks import alone
from emorec_tf.training import run_dir, stages

if TYPE_CHECKING:
    from emorec_tf.tuning.trials import Search

PLAN = "plan.json"
MUST_AGREE = ("config", "search", "tuner", "factor", "protocol", "split")
BEST, TABLE, PICTURE = "best.yaml", "trials.csv", "search.png"


@contextlib.contextmanager
def begun(folder: Path, facts: dict[str, Any], overwrite: bool, refusal: str) -> Iterator[None]:
    """Hold the folder of a search, with its plan in it.

    Raises:
        UserError: another plan, something that is no search, or another process is in the way.
    """
    path = folder / PLAN
    if not path.exists() and folder.exists() and any(folder.glob("[!.]*")):
        raise UserError(f"{folder} exists and is no search; give another --out")
    with alone(folder / ".lock", refusal):
        if overwrite:
            for thing in folder.glob("[!.]*"):
                shutil.rmtree(thing) if thing.is_dir() else thing.unlink()
        if path.exists():
            agree(folder, facts)
        else:
            write_atomically(path, json.dumps(facts, indent=1))
        yield


def agree(folder: Path, facts: Mapping[str, Any]) -> None:
    """Refuse to go on with another search.

    Raises:
        UserError: what differs, or a damaged plan.
    """
    try:
        there = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        old, new = there["config"], json.loads(json.dumps(facts))
        changed = [
            f"{k} was {old.get(k)!r}, is {v!r}" for k, v in new["config"].items() if old.get(k) != v
        ]
        changed += [f"another {k}" for k in MUST_AGREE[1:] if there[k] != new[k]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{folder / PLAN} is damaged; --overwrite begins anew") from error
    if changed:
        raise UserError(
            f"{folder} was begun with other settings ({'; '.join(changed)}); give another --out, "
            f"or --overwrite"
        )


def lock_of(folder: Path, worker: str) -> Path:
    """Where a worker's lock stands while it lives."""
    return folder / f"{worker}.lock"


def held(lock: Path) -> bool:
    """Whether a living process holds a lock."""
    try:
        with alone(lock, "held"):
            return False
    except UserError:
        return True


def alive(folder: Path) -> set[str]:
    """Names of the workers whose processes live, on this machine or where locks reach."""
    return {lock.stem for lock in folder.glob("*.lock") if held(lock)}


def is_over(folder: Path) -> bool:
    """Whether a search was ended, and nobody leads it now."""
    return (folder / BEST).exists() and not held(folder / ".lock")


def best_of(results: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the trial of the highest score, of equals the one that began first."""
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


def finish(search: Search, results: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> None:
    """Write the table, the picture and, last, the best settings; say where they are.

    Raises:
        UserError: no trial succeeded.
    """
    from emorec_tf.tuning import search_plots

    write_table(search, results)
    best = best_of(results)
    if best is None:
        why = results[-1]["message"] if results else "none was begun"
        raise UserError(f"no trial succeeded, lastly: {why}; mend the search: section")
    done = [result for result in results if result["score"] is not None]
    drawn = search_plots.picture(done, search.score, search.settings.train.seed)
    write_atomically(search.folder / PICTURE, drawn)
    settings = run_dir.load(search.folder / "trials" / best["trial"]).config
    settings = with_paths(settings, search.folder)
    text = header(search, results, best, facts) + to_yaml(settings)
    write_atomically(search.folder / BEST, text)
    print(
        f"{len(done)} of {len(results)} trials succeeded; the best is {best['trial']}: "
        f"{search.score} {best['score']:.3f}; {search.folder / BEST}, {TABLE}, {PICTURE}"
    )


def with_paths(settings: Config, folder: Path) -> Config:
    """Name the configs of ``pretrain`` and ``ensemble`` as a config in ``folder`` has to."""
    named = {"pretrain": settings.train.pretrain, "ensemble": settings.model.ensemble}
    paths = {
        field: ",".join(os.path.relpath(file, folder) for file in stages.files_of(names))
        for field, names in named.items()
        if names
    }
    return build(paths, settings)


def header(
    search: Search,
    results: Sequence[Mapping[str, Any]],
    best: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> str:
    """Say in comments where the best settings are from."""
    split, failed = search.split, sum(result["status"] == "FAILED" for result in results)
    axes = ", ".join(axis.name for axis in search.space)
    epochs = f"after {best['epochs']} of {search.settings.train.epochs} epochs"
    lines = [
        f"Trial {best['trial']}, the best of {len(results)} ({failed} failed): "
        f"{search.score} {best['score']:.5f} {epochs}.",
        f"{facts['command']}",
        f"Chosen by {facts['tuner']} of KerasTuner, seed {search.settings.train.seed}.",
        f"Searched: {axes}.",
        f"Scored on validation speakers {', '.join(split.validation)}, whose figures are too good "
        f"for the best of many.",
        f"Nothing was chosen on the test speakers {', '.join(split.test)}; no trial saw them.",
        f"python -m emorec_tf.train --config {search.folder / BEST} --run runs/best",
    ]
    return "".join(f"# {line}\n" for line in lines) + "\n"

"""One trial of a search: an ordinary run in a folder of its own, and a file with its result.

``trials/ID/`` is the run, ``trials/ID.log`` what training printed, ``trials/ID.json`` the result.
The result is written last, so a trial without one is resumed and one with it is never trained
again.
"""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from emorec_tf.config.config import Config, same_settings
from emorec_tf.errors import UserError
from emorec_tf.storage.files import write_atomically
from emorec_tf.storage.locks import alone
from emorec_tf.training import checks, run_dir, stages, train_run
from emorec_tf.tuning import axes, search_space
from emorec_tf.tuning.search import Search

# not the trial's fault: no disk, no right to write
FATAL = {errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT}
POLL_SECONDS = 0.5
MOST_DEATHS = 10  # of the process, in the same epoch: then the trial is to blame


def work(oracle: Any, worker: str, search: Search, after: Callable[[], None]) -> None:
    """Take trials and report their results, until the oracle has no more."""
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # each trial is a new model, so functions are traced again
    while (trial := oracle.create_trial(worker)).status != "STOPPED":
        if trial.status == "IDLE":  # others have to end first
            time.sleep(POLL_SECONDS)
            continue
        went = carry_out(search, trial.trial_id, trial.hyperparameters.values)
        trial.status, trial.message = went["status"], went["message"]
        if went["status"] == "COMPLETED":
            oracle.update_trial(trial.trial_id, {search.score: went["score"]}, step=went["epochs"])
        oracle.end_trial(trial)
        after()


def carry_out(search: Search, trial_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Train a trial, or go on with it; one that was done is only looked up.

    Args:
        search: what all trials share.
        trial_id: its name.
        values: by KerasTuner, with ``tuner/...`` of Hyperband among them.

    Returns:
        status (COMPLETED or FAILED), score, epochs, seconds, message, and what was asked for.

    Raises:
        OSError: no space is left, or no right to write.
    """
    chosen = search_space.picked(search.space, values)
    asked = {
        "values": {name: axes.label(value) for name, value in chosen.items()},
        "until": values.get("tuner/epochs"),
        "after": values.get("tuner/trial_id"),
    }
    file = search.file(trial_id)
    with alone(file.with_name(f".{trial_id}.lock")):  # two may hold a trial after a chief died
        found = search.result(trial_id)
        if found and {key: found.get(key) for key in asked} == asked:
            return found
        try:
            count_attempt(search, trial_id)
            went = trained(search, trial_id, chosen, asked)
        except Exception as error:
            if isinstance(error, OSError) and error.errno in FATAL:
                raise
            went = {"status": "FAILED", "score": None, "message": reason(error)}
            with file.with_suffix(".log").open("a", encoding="utf-8") as log:
                log.write(traceback.format_exc())
        finally:
            deaths_file(search, trial_id).unlink(missing_ok=True)  # but not if killed
        found = {"trial": trial_id, **asked, **went, **effort(search, trial_id)}
        note_in_tensorboard(search, found, chosen)
        write_atomically(file, json.dumps(found, indent=1))
    return found


def trained(
    search: Search, trial_id: str, chosen: Mapping[str, Any], asked: Mapping[str, Any]
) -> dict[str, Any]:
    """Train the run of a trial and read its score.

    Raises:
        UserError: settings that do not go together, or a loss that is no number.
    """
    import keras

    folder = search.run_folder(trial_id)
    settings = search_space.applied(chosen, search.settings)
    make_way(folder, settings)
    if asked["after"] and not folder.exists():
        promote(search.run_folder(asked["after"]), folder)
    keras.utils.clear_session()
    with (
        search.file(trial_id, ".log").open("a", encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
    ):
        checks.check_settings(settings)
        checks.note_ignored_features(settings)
        run = train_run.train(
            search.experiment.with_settings(settings),
            folder,
            shared_stages=search.folder / stages.FOLDER,
            until=asked["until"],
        )
    reached = run.scores(run.history)
    score = max(reached) if settings.train.keep == "best" else reached[-1]
    if score != score:
        raise UserError(f"{search.score} is no number")
    return {"status": "COMPLETED", "score": score, "message": ""}


def make_way(folder: Path, settings: Config) -> None:
    """Remove what cannot be resumed: half-made, damaged, or of other settings."""
    try:
        if folder.exists() and not same_settings(run_dir.load(folder).config, settings):
            shutil.rmtree(folder)
    except UserError:
        shutil.rmtree(folder)


def promote(past: Path, folder: Path) -> None:
    """Let a trial start where another stopped, with its weights, optimiser and history."""
    if not (past / "run.json").exists():
        return  # it was deleted; then the trial is trained from the start
    half = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(half, ignore_errors=True)
    try:
        shutil.copytree(past, half, ignore=shutil.ignore_patterns("logs"))
        half.rename(folder)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        raise


def deaths_file(search: Search, trial_id: str) -> Path:
    """The file that counts how often the process of a trial died."""
    return search.folder / "trials" / f".{trial_id}.deaths"


def count_attempt(search: Search, trial_id: str) -> None:
    """Count this attempt; a process that is killed leaves the count behind.

    Raises:
        UserError: a process died too often before it finished another epoch.
    """
    file, done = deaths_file(search, trial_id), effort(search, trial_id)["epochs"]
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = {}
    deaths = before.get("deaths", 0) if before.get("epochs") == done else 0
    if deaths >= MOST_DEATHS:
        raise UserError(f"its process died {deaths} times in epoch {done + 1}; out of memory?")
    write_atomically(file, json.dumps({"epochs": done, "deaths": deaths + 1}))


def effort(search: Search, trial_id: str) -> dict[str, Any]:
    """Epochs and seconds of a trial's run so far, those before a promotion too."""
    try:
        rows = run_dir.load(search.folder / "trials" / trial_id).history
    except UserError:
        rows = []
    return {"epochs": len(rows), "seconds": round(sum(float(r["seconds"]) for r in rows), 2)}


def reason(error: Exception) -> str:
    """Say in one line why a trial failed."""
    kind = type(error).__name__
    if isinstance(error, MemoryError) or kind == "ResourceExhaustedError":
        return "out of memory"
    words = " ".join(str(error).split())[:300]
    return words if isinstance(error, UserError) else f"{kind}: {words}"


def note_in_tensorboard(
    search: Search, found: Mapping[str, Any], chosen: Mapping[str, Any]
) -> None:
    """Give the run a row in TensorBoard's table of hyperparameters."""
    import tensorflow as tf
    from tensorboard.plugins.hparams import api, api_pb2
    from tensorboard.plugins.hparams import summary as session

    plain = {
        name: value if isinstance(value, (bool, int, float, str)) else axes.label(value)
        for name, value in chosen.items()
    }
    if found["until"]:
        plain["epochs assigned"] = found["until"]
    folder = search.run_folder(found["trial"]) / "logs"
    done = found["status"] == "COMPLETED"
    status = api_pb2.STATUS_SUCCESS if done else api_pb2.STATUS_FAILURE
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        api.hparams(plain, trial_id=found["trial"])
        if done:
            tf.summary.scalar(search.score, found["score"], step=found["epochs"])
        end = session.session_end_pb(status).SerializeToString()
        tf.summary.experimental.write_raw_pb(end, step=found["epochs"])
    writer.close()

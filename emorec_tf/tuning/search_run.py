"""Run a search: in one process, as the chief of several workers, or as one of the workers."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from emorec_tf.config.fields import check
from emorec_tf.errors import UserError
from emorec_tf.storage import resumable
from emorec_tf.storage.downloads import import_package
from emorec_tf.storage.locks import alone
from emorec_tf.tuning import search_files, search_space
from emorec_tf.tuning.search import Search

if TYPE_CHECKING:
    from emorec_tf.tuning.oracles import Kept

_LOG = logging.getLogger(__name__)


def tune(search: Search, overwrite: bool = False, address: str = "", worker: str = "") -> None:
    """Do all trials and write what was found, or do the trials that a chief assigns.

    Args:
        search: by ``search.make``.
        overwrite: throw away what an earlier search left in its folder.
        address: host:port of the chief; "": this process does it all.
        worker: name of this process; "": it is the chief.

    Raises:
        UserError: another search is in the way, or too many trials failed.
        SetupError: pandas, with which what was found is drawn, is not installed.
    """
    import_package("pandas", "'emorec-tf[tune]'")  # or the search would end without its plots
    if address and worker:
        work_for_chief(search, address, worker)
        return
    with search_files.hold(search, overwrite):
        lead(search, address)


def role(environment: Mapping[str, str]) -> tuple[str, str]:
    """Read from KerasTuner's variables which process this is: (address of the chief, own name).

    The name is "" for the chief; both are "" where one process does it all.

    Raises:
        UserError: some of the variables are missing, or a name that is no file name.
    """
    parts = {n: environment.get(f"KERASTUNER_{n}", "") for n in ("ORACLE_IP", "ORACLE_PORT")}
    name = environment.get("KERASTUNER_TUNER_ID", "")
    if not any(parts.values()):
        return "", ""
    missing = [f"KERASTUNER_{key}" for key, value in parts.items() if not value]
    missing += [] if name else ["KERASTUNER_TUNER_ID"]
    if missing:
        raise UserError(f"set {' and '.join(missing)} too, or none of KERASTUNER_...")
    check("/" not in name, "KERASTUNER_TUNER_ID", name, "a name without /")
    return ":".join(parts.values()), "" if "chief" in name else name


def oracle_of(search: Search) -> Kept:
    """Make the oracle, with the trials that are there.

    A damaged file is ignored: trials are chosen again in the same order and their results found.
    """
    from emorec_tf.tuning import oracles

    file = search.folder / "oracle.json"

    def fresh() -> Kept:
        space = search_space.hyperparameters(search.space)
        training, tuner = search.settings.train, search.tuner
        oracle = oracles.make(
            tuner.tuner,
            space,
            search.score,
            training.seed,
            tuner.trials,
            training.epochs,
            tuner.factor,
        )
        oracle.file, oracle.failures = file, tuner.failures
        return oracle

    oracle = fresh()
    if file.exists():
        try:
            oracle.reload()
        except (ValueError, KeyError, TypeError, AttributeError):
            _LOG.warning("%s is damaged; it is made again from the trials", file)
            return fresh()
    return oracle


def lead(search: Search, address: str) -> None:
    """Do all trials here, or assign them as the chief; then write what was found.

    Raises:
        UserError: too many trials failed in a row, or none succeeded.
    """
    from emorec_tf.tuning import oracles, trials
    from emorec_tf.tuning.trial_board import Board

    with oracles.quiet():
        oracle = oracle_of(search)
    if isinstance(oracle, oracles.Hyperband):
        most = search.tuner.trials
        _LOG.info("hyperband, %d trials at most: %s", most, oracle.description())
    if address:
        _LOG.info("chief at %s; waiting for workers", address)
    folder = search.folder / "workers"
    with Board(search, oracle) as board, oracles.quiet():
        tick = functools.partial(_show, search, board)
        if address and not oracle.is_complete():
            present = functools.partial(search_files.alive, folder)
            oracles.serve(oracle, address, present, tick)
        elif not address:
            trials.work(oracle, "alone", search, tick)
    search_files.finish(search, board.results())
    if oracle.failed_in_a_row() >= search.tuner.failures:
        last = search.result(oracle.end_order[-1]) or {}
        raise UserError(
            f"the last {search.tuner.failures} trials failed, lastly: {last.get('message')}; "
            f"correct the search: section, or go on with a larger --failures"
        )


def work_for_chief(search: Search, address: str, worker: str) -> None:
    """Do the trials that the chief assigns, until there are no more.

    Raises:
        UserError: the chief searches something else or left, or another worker has this name.
    """
    import grpc

    from emorec_tf.tuning import oracles, trials

    refusal = f"another worker is called {worker}; give each its own KERASTUNER_TUNER_ID"
    with alone(search_files.lock_of(search.folder / "workers", worker), refusal):
        _LOG.info("worker %s; the chief is at %s", worker, address)
        with oracles.quiet():
            own = oracle_of(search)
            over = functools.partial(search_files.is_over, search.folder)
            oracle = oracles.client(own, address, over)
        if oracle is None:
            _LOG.info("the search in %s is over", search.folder)
            return
        resumable.check(search.folder, search.facts, search_files.KIND, read=search_files.plan_of)
        try:
            with oracles.quiet():
                trials.work(oracle, worker, search, lambda: None)
        except grpc.RpcError as error:
            raise oracles.lost(address, error) from error
    _LOG.info("worker %s: no trial is left", worker)


def _show(search: Search, board: Any) -> None:
    """Show and write down which trials have ended."""
    known = len(board.seen)
    board.tick()
    if len(board.seen) > known:
        search_files.write_table(search, board.results())

"""Command: search settings and knobs; every trial is a run. The same command goes on after a kill.

Trials are scored on validation speakers, who come from the training side; the test speakers of the
split are not looked at. KerasTuner chooses what is tried, alone or as a chief of several workers.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import os
import shlex
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from emorec_tf import crossval, train
from emorec_tf.cli import guarded, parse
from emorec_tf.config import config
from emorec_tf.config.config import Config, flat
from emorec_tf.config.fields import check, option
from emorec_tf.datasets.labels import classes_of, labelled
from emorec_tf.errors import UserError
from emorec_tf.records.records_dir import Records
from emorec_tf.splits import splits
from emorec_tf.storage.locks import alone
from emorec_tf.tasks import tasks
from emorec_tf.training.distributed import cluster
from emorec_tf.tuning import search_files, search_space

if TYPE_CHECKING:
    from emorec_tf.tuning.oracles import Kept
    from emorec_tf.tuning.trials import Search


@dataclass(frozen=True)
class TuneOptions:
    """What is searched, how long, where to."""

    out: str | None = option(None, "folder of the search; none: runs/tuned-<dataset>")
    tuner: Literal["random", "bayesian", "hyperband"] = option(
        "random", "who chooses the trials; hyperband: many of few epochs, the better ones go on"
    )
    trials: int = option(20, "trials at most, of hyperband those that go on counted anew")
    factor: int | None = option(
        None, "hyperband keeps one in so many; none: the least, from 3, that fits --trials"
    )
    failures: int = option(3, "end after so many failed trials in a row")
    protocol: str | None = option(None, "take the speakers of a fold: ravdess/contiguous6, ...")
    fold: int | None = option(None, "which fold of the protocol, counted from 0")
    allow_partial: bool = option(False, "go on with fewer speakers or clips than the protocol has")
    overwrite: bool = option(False, "throw away what an earlier search left in that folder")

    def __post_init__(self) -> None:
        """Refuse searches that cannot be."""
        check(self.trials >= 1, "trials", self.trials, "at least 1")
        check(self.failures >= 1, "failures", self.failures, "at least 1")
        check(self.factor is None or self.factor >= 2, "factor", self.factor, "at least 2")
        check(self.fold is None or self.protocol is not None, "fold", self.fold, "with --protocol")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Check everything, then search: alone, as the chief, or for a chief."""
    cluster.refuse("tune", "share trials as docs/search.md says")
    given = parse(argv, "tune", TuneOptions, *train.GROUPS)
    names = {f.name for f in dataclasses.fields(TuneOptions)}
    options = TuneOptions(**{k: given.pop(k) for k in names if k in given})
    address, worker = role(os.environ)
    settings, opened = train.prepared(given)
    settings, split = nested(options, settings, opened)
    section = section_of(argv, settings)
    dealt = ("epochs",) if options.tuner == "hyperband" else ()
    space = search_space.read(section, settings, dealt)
    folder = Path(options.out or f"runs/tuned-{settings.data.dataset}")
    words = ["python", "-m", "emorec_tf.tune", *(sys.argv[1:] if argv is None else argv)]
    facts = {
        "config": flat(settings),
        "search": section,
        "tuner": options.tuner,
        "factor": options.factor,
        "protocol": options.protocol,
        "split": dataclasses.asdict(split),
        "command": shlex.join(words),
    }
    from emorec_tf.tuning.trials import Search

    classes = classes_of(labelled(opened.clips, settings.data), settings.data)
    task = tasks.of(settings.data, classes)
    search = Search(folder, settings, opened, split, space, f"val_{task.score}")
    if address and worker:
        return help_chief(search, options, facts, address, worker)
    refusal = f"another process searches in {folder}; give another --out, or wait"
    with search_files.begun(folder, facts, options.overwrite, refusal):
        lead(search, options, facts, address)
    return 0


def role(environment: Mapping[str, str]) -> tuple[str, str]:
    """Tell from KerasTuner's variables who this process is: (address of the chief, own name).

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


def nested(options: TuneOptions, settings: Config, opened: Records) -> tuple[Config, splits.Split]:
    """Name the speakers of every side in the settings, so that ``best.yaml`` means the same ones.

    Raises:
        UserError: a split that cannot be, or a protocol that is leaky or does not fit.
    """
    if options.protocol is None:
        clips = labelled(opened.clips, settings.data)
        split = splits.make(clips, settings.data, settings.train.seed)
    else:
        asked = crossval.CrossvalOptions(
            protocol=options.protocol, allow_partial=options.allow_partial
        )
        folds, notes = crossval.planned_folds(asked, settings, opened)
        fold = crossval.chosen(str(options.fold or 0), folds)[0]
        if fold.leaky:
            raise UserError(f"{options.protocol} knows every speaker; a search on it says nothing")
        for note in notes:
            print(f"note: {note}")
        split = fold.split
    sides = {f"{s}_speakers": ",".join(getattr(split, s)) for s in ("train", "validation", "test")}
    return config.build(sides, settings), split


def section_of(argv: Sequence[str] | None, settings: Config) -> dict[str, Any]:
    """Find the ``search:`` section of ``--config``; print the default one where there is none."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config")
    path = parser.parse_known_args(argv)[0].config
    section = config.read_mapping(path).get("search") if path else None
    if section is None:
        section = search_space.default(settings)
        where = f"{path} has no search: section" if path else "no --config, so no search: section"
        print(f"{where}; this one is used:\n{search_space.text(section)}")
    return section


def oracle_of(search: Search, options: TuneOptions) -> Kept:
    """Make the oracle, with the trials that are there.

    A damaged file is left aside: trials are chosen again in the same order, and found done.
    """
    from emorec_tf.tuning import oracles

    declare = functools.partial(search_space.hyperparameters, search.space)
    training = search.settings.train
    more = (search.score, training.seed, options.trials, training.epochs, options.factor)
    file = search.folder / "oracle.json"
    oracle = oracles.make(options.tuner, declare(), *more)
    oracle.file, oracle.failures = file, options.failures
    if file.exists():
        try:
            oracle.reload()
        except (ValueError, KeyError, TypeError, AttributeError):
            print(f"note: {file} is damaged; it is made anew from the trials")
            oracle = oracles.make(options.tuner, declare(), *more)
            oracle.file, oracle.failures = file, options.failures
    return oracle


def lead(search: Search, options: TuneOptions, facts: Mapping[str, Any], address: str) -> None:
    """Do all trials here, or deal them out as the chief; then write what was found.

    Raises:
        UserError: too many trials failed in a row, or none succeeded.
    """
    from emorec_tf.tuning import oracles
    from emorec_tf.tuning import trials as search_trials
    from emorec_tf.tuning.trial_board import Board

    with quiet():
        oracle = oracle_of(search, options)
    if isinstance(oracle, oracles.Hyperband):
        print(f"hyperband, {options.trials} trials at most: {described(oracle)}")
    if address:
        print(f"chief at {address}; waiting for workers", flush=True)
    folder = search.folder / "workers"
    with Board(search, oracle, options.trials) as board, quiet():
        tick = functools.partial(tell, search, board)
        if address and not oracle.is_complete():
            present = functools.partial(search_files.alive, folder)
            oracles.serve(oracle, address, present, tick)
        elif not address:
            search_trials.work(oracle, "alone", search, tick)
    search_files.finish(search, board.results(), facts)
    if oracle.failed_in_a_row() >= options.failures:
        last = search.result(oracle.end_order[-1]) or {}
        raise UserError(
            f"the last {options.failures} trials failed, lastly: {last.get('message')}; mend the "
            f"search: section, or go on with a larger --failures"
        )


def help_chief(
    search: Search, options: TuneOptions, facts: Mapping[str, Any], address: str, worker: str
) -> int:
    """Do the trials that the chief deals out, until there are no more.

    Raises:
        UserError: the chief searches something else or left, or another worker has this name.
    """
    import grpc

    from emorec_tf.tuning import oracles
    from emorec_tf.tuning import trials as search_trials

    refusal = f"another worker is called {worker}; give each its own KERASTUNER_TUNER_ID"
    with alone(search_files.lock_of(search.folder / "workers", worker), refusal):
        print(f"worker {worker}; the chief is at {address}", flush=True)
        with quiet():
            own = oracle_of(search, options)
            over = functools.partial(search_files.is_over, search.folder)
            oracle = oracles.client(own, address, over)
        if oracle is None:
            print(f"the search in {search.folder} is over")
            return 0
        search_files.agree(search.folder, facts)
        try:
            with quiet():
                search_trials.work(oracle, worker, search, lambda: None)
        except grpc.RpcError as error:
            raise oracles.lost(address, error) from error
    print(f"worker {worker}: no trial is left")
    return 0


def tell(search: Search, board: Any) -> None:
    """Show and write down what has ended."""
    known = len(board.seen)
    board.tick()
    if len(board.seen) > known:
        search_files.write_table(search, board.results())


def described(oracle: Any) -> str:
    """Say what Hyperband's brackets are."""
    rounds = [
        " -> ".join(
            f"{trials} of {epochs} epoch{'s' if epochs > 1 else ''}" for trials, epochs in b
        )
        for b in oracle.brackets()
    ]
    return f"one in {oracle.factor} goes on; {'; then '.join(rounds)}; and again"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what KerasTuner prints, and its calls of what Python has deprecated, from the user."""
    with (
        warnings.catch_warnings(),
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        warnings.simplefilter("ignore")
        yield


if __name__ == "__main__":
    sys.exit(main())

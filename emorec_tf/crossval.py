"""Command: a protocol's folds times seeds, each an ordinary run; resumable, shared out, joined."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emorec_tf import __version__, train
from emorec_tf.cli import guarded, parse
from emorec_tf.config.config import Config, build, flat
from emorec_tf.config.fields import check, option
from emorec_tf.datasets.labels import classes_of, labelled
from emorec_tf.errors import UserError
from emorec_tf.evaluation import crossval_files
from emorec_tf.records.records_dir import Records
from emorec_tf.splits import leaks, protocols
from emorec_tf.splits.generic_folds import GENERIC_PROTOCOLS, Fold
from emorec_tf.storage.files import write_atomically
from emorec_tf.storage.locks import alone
from emorec_tf.training import run_dir, stages
from emorec_tf.training.distributed import cluster

SET_BY_PROTOCOL = ("train_speakers", "validation_speakers", "test_speakers", "seed")


@dataclass(frozen=True)
class CrossvalOptions:
    """Which folds, how often, where to."""

    run: str | None = option(None, "folder for all folds, e.g. runs/cv-concat")
    protocol: str | None = option(None, "ravdess/contiguous6, group_kfold:5, loso_session, ...")
    seeds: int = option(3, "how often everything is trained, by seeds 0, 1, 2, ...")
    folds: str | None = option(None, "comma list of folds to do here, counted from 0; none: all")
    allow_partial: bool = option(False, "go on with fewer speakers or clips than the protocol has")
    overwrite: bool = option(False, "throw away what an earlier run left in that folder")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Plan, check all folds for leaks, then train, evaluate and join one after the other."""
    cluster.refuse("crossval", "share folds out with --folds")
    given = parse(argv, "crossval", CrossvalOptions, *train.GROUPS)
    names = {f.name for f in dataclasses.fields(CrossvalOptions)}
    options = CrossvalOptions(**{k: given.pop(k) for k in names if k in given})
    unused = [k for k in SET_BY_PROTOCOL if given.pop(k, None) is not None]
    if unused:
        print(f"note: {', '.join(unused)} not used; the protocol and --seeds decide")
    check(options.seeds >= 1, "seeds", options.seeds, "at least 1")
    settings, opened = train.prepared(given)
    folds, notes = planned_folds(options, settings, opened)
    here = chosen(options.folds, folds)
    folder = Path(options.run or f"runs/cv-{settings.data.dataset}")
    words = ["python", "-m", "emorec_tf.crossval", *(sys.argv[1:] if argv is None else argv)]
    begin(folder, plan(options, settings, opened, folds, notes, words), options.overwrite)
    for note in notes:
        print(f"note: {note}")
    for seed in range(options.seeds):
        for fold in here:
            one(settings, opened, fold, seed, folder, str(options.protocol))
    crossval_files.print_table(crossval_files.join(folder), folder)
    return 0


def planned_folds(
    options: CrossvalOptions, settings: Config, opened: Records
) -> tuple[list[Fold], list[str]]:
    """Fit the protocol to the records and stop at the first leak, before anything is trained.

    Raises:
        UserError: no or an unknown protocol, one that does not fit, or a leak.
    """
    if options.protocol is None:
        own = [n for n in protocols.names() if n.split("/")[0] == settings.data.dataset]
        raise UserError(
            f"crossval needs --protocol; for {settings.data.dataset} there are "
            f"{', '.join([*own, *GENERIC_PROTOCOLS])}"
        )
    clips = labelled(opened.clips, settings.data)
    dealt = options.protocol.partition(":")[0] in GENERIC_PROTOCOLS
    folds, notes = protocols.folds(
        options.protocol, clips if dealt else opened.clips, options.allow_partial
    )
    if folds[0].leaky and settings.data.enrol:
        raise UserError("--enrol has no meaning where every speaker is known; drop it")
    if folds[0].test_clips and settings.data.enrol:
        raise UserError(f"{options.protocol} tests speakers unseen; drop --enrol")
    hashes = opened.audio_hashes
    for fold in folds:
        leaks.guard(fold.clips(clips), hashes, fold.leaky)
    return folds, notes


def chosen(text: str | None, folds: Sequence[Fold]) -> list[Fold]:
    """Pick folds by position.

    Raises:
        UserError: no such fold.
    """
    if text is None:
        return list(folds)
    there = ", ".join(f"{i} (fold {f.name})" for i, f in enumerate(folds[:12]))
    found = []
    for word in text.split(","):
        if not word.strip().isdecimal() or int(word) >= len(folds):
            raise UserError(f"folds: {word.strip()!r} is none; there are {there}")
        found.append(folds[int(word)])
    return found


def plan(
    options: CrossvalOptions,
    settings: Config,
    opened: Records,
    folds: Sequence[Fold],
    notes: Sequence[str],
    words: Sequence[str],
) -> dict[str, Any]:
    """Collect what crossval.json says before anything is trained."""
    from emorec_tf.training import speaker_adaptation

    clips = labelled(opened.clips, settings.data)
    tested = [c for fold in folds for c in fold.clips(clips)["test"]]
    sides = [{"name": f.name} | dataclasses.asdict(f.split) for f in folds]
    return {
        "protocol": options.protocol,
        "protocol_stamp": protocols.fingerprint(str(options.protocol), folds),
        "notes": list(notes),
        "leaky": folds[0].leaky,
        "mode": settings.data.mode,
        "enrol": settings.data.enrol,
        "seeds": list(range(options.seeds)),
        "folds": [{k: v for k, v in s.items() if k != "leaky" and v != ()} for s in sides],
        "done": [],
        "config": flat(settings),
        "steps": stages.stamps(settings),
        "dataset": settings.data.dataset,
        "target": settings.data.target,
        "target_scale": settings.data.target_scale,
        "label_meaning": opened.manifest["label_meaning"],
        "licence": opened.manifest["licence"],
        "classes": classes_of(clips, settings.data),
        "clips_to_score": len(speaker_adaptation.scored(tested, settings.data, 0)),
        "versions": versions(),
        "machine": machine(),
        "command": shlex.join(words),
    }


def versions() -> dict[str, str]:
    """Versions of what decides the figures."""
    import keras
    import tensorflow as tf

    return {
        "emorec_tf": __version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
    }


def machine() -> str:
    """Name the kind of machine, not the machine."""
    import tensorflow as tf

    graphics = [
        tf.config.experimental.get_device_details(d).get("device_name", "GPU")
        for d in tf.config.list_physical_devices("GPU")
    ]
    parts = [platform.system(), platform.machine(), f"{os.cpu_count()} cores", *graphics]
    return ", ".join(parts)


def begin(folder: Path, facts: dict[str, Any], overwrite: bool) -> None:
    """Write the plan, or find the same one there.

    Raises:
        UserError: another plan, or something that is no cross-validation, is in the way.
    """
    path = folder / crossval_files.FACTS
    if overwrite and path.exists():  # never a folder that is something else
        shutil.rmtree(folder)
    ours = path.exists() or any(folder.glob("seed-*/fold-*/run.json"))
    if not ours and any(folder.glob("[!.]*")):
        raise UserError(f"{folder} exists and is no cross-validation; give another --run")
    with alone(folder / ".lock"):
        if path.exists():
            there = crossval_files.planned(folder)
            old, new = there["config"], facts["config"]
            changed = [
                f"{k} was {old.get(k)!r}, is {new[k]!r}" for k in new if old.get(k) != new[k]
            ]
            if not changed and there["protocol_stamp"] != facts["protocol_stamp"]:
                changed = [f"protocol {there['protocol']} of other folds"]
            if not changed and there.get("steps", {}) != facts["steps"]:
                changed = ["a config of pretrain has changed"]
            if changed:
                raise UserError(
                    f"{folder} was begun with other settings ({'; '.join(changed)}); give another "
                    f"--run, or --overwrite"
                )
            facts = {**there, "seeds": max(there["seeds"], facts["seeds"], key=len)}
        write_atomically(path, json.dumps(facts, indent=1))


def one(
    settings: Config, opened: Records, fold: Fold, seed: int, folder: Path, protocol: str
) -> None:
    """Train and evaluate one fold by one seed, and join; nothing if that was done."""
    import keras

    from emorec_tf import evaluate

    target = crossval_files.fold_folder(folder, seed, fold.name)
    lock = target.with_name(f".{target.name}.lock")
    work = f"fold {fold.name} of seed {seed} in {folder}"
    with alone(lock, f"another process is at work on {work}; give each its own --folds, or wait"):
        values: dict[str, Any] = {"seed": seed}
        if not fold.leaky:  # so that the fold's config.yaml tells its speakers
            for side in ("train", "validation", "test"):
                values[f"{side}_speakers"] = ",".join(getattr(fold.split, side))
        settings = build(values, settings)
        if crossval_files.is_done(target):
            if run_dir.load(target).config != settings:
                raise UserError(f"{target} has other settings; give another --run, or remove it")
            return
        print(f"\nseed {seed}, fold {fold.name}")
        keras.utils.clear_session()
        first = folder.parent / "first"  # cross-validations beside each other share steps
        begun = train.train(settings, opened, target, split=fold.split, first=first)
        found = evaluate.evaluate(run_dir.load(begun.folder), opened, protocol)
        score = begun.task.score
        figure = f"{score.upper()} {found[score]:.3f}"
        print(f"seed {seed}, fold {fold.name}: {evaluate.known(found)} {figure}")
    crossval_files.join(folder)


if __name__ == "__main__":
    sys.exit(main())

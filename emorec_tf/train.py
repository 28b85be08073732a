"""Command: records and a config to a run directory. The same command goes on after a kill."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emorec_tf.cli import guarded, parse
from emorec_tf.config import choices, config
from emorec_tf.config.clip import Clip
from emorec_tf.config.config import Config
from emorec_tf.config.fields import option
from emorec_tf.datasets.labels import classes_of, labelled, left_out
from emorec_tf.errors import UserError
from emorec_tf.records import records_dir
from emorec_tf.splits import leaks, splits
from emorec_tf.storage import paths
from emorec_tf.training import run_dir, stages
from emorec_tf.training.distributed import cluster, rendezvous
from emorec_tf.training.run_dir import Run

UNTESTED = "nobody is held out to test it on"
# in train, settings of features are only compared with those of the records
GROUPS = (config.DataConfig, config.FeaturesConfig, config.ModelConfig, config.TrainConfig)


@dataclass(frozen=True)
class TrainOptions:
    """Where the run goes."""

    run: str | None = option(None, "run directory; none: runs/<dataset>-<fusion>")
    overwrite: bool = option(False, "throw away what an earlier run left in that directory")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Parse, check everything that needs no TensorFlow, train."""
    given = parse(argv, "train", TrainOptions, *GROUPS)
    if cluster.team():  # what TensorFlow says of a lost machine is said here, in one line
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    options = TrainOptions(**{k: given.pop(k) for k in ("run", "overwrite") if k in given})
    settings, opened = prepared(given)
    fusion, _ = choices.parse(settings.model.fusion)
    folder = paths.place(options.run or f"runs/{settings.data.dataset}-{fusion}")
    train(settings, opened, folder, options.overwrite)
    return 0


def prepared(given: Mapping[str, Any]) -> tuple[Config, records_dir.Records]:
    """Check what the user set and open the records; without any, those of the demo corpus.

    Raises:
        UserError: unknown choices, no such records, or records of other settings.
    """
    wanted = {k: v for k, v in given.items() if config.section_of(k) == "features"}
    settings = config.build(given)
    for kind in choices.TABLES:
        choices.check(kind, getattr(settings.model, kind))
    if settings.data.records is None:
        cluster.refuse("preparing the demo corpus", "give --records on a disk that all share")
        settings = with_demo_records(settings)
    opened = records_dir.open_records(str(settings.data.records), wanted)
    if "dataset" in given and given["dataset"] != opened.manifest["dataset"]:
        raise UserError(
            f"records {opened.folder} hold {opened.manifest['dataset']}, not {given['dataset']}"
        )
    settings = config.build({"dataset": opened.manifest["dataset"]}, settings)
    settings = dataclasses.replace(settings, features=opened.features)
    stages.check_steps(settings)
    return settings, opened


def with_demo_records(settings: Config) -> Config:
    """Build and prepare the demo corpus in the cache folder; say so."""
    from emorec_tf import prepare

    stamp = settings.features.stamp()
    folder = prepare.cache_folder() / f"demo-records-{stamp}"
    print("no --records given: training on the built-in demo corpus")
    options = prepare.PrepareOptions(source=prepare.demo_source(), records=str(folder))
    prepare.prepare(options, settings.features)
    return config.build({"records": str(folder), "dataset": "demo"}, settings)


def train(
    settings: Config,
    opened: records_dir.Records,
    folder: Path,
    overwrite: bool = False,
    split: splits.Split | None = None,
    first: Path | None = None,
    until: int | None = None,
) -> Run:
    """Train, or go on where the same run stopped; then fit the temperature.

    Args:
        settings: resolved, as ``prepared`` gives them.
        opened: records of these settings.
        folder: run directory.
        overwrite: throw away what is in it; never what is trained first.
        split: which speakers train, validate and test; None: as ``settings.data`` says.
        first: where to train what ``pretrain`` names, or find it; None: ``first`` beside the
            run.
        until: stop after so many of the epochs, as a search may; a later call goes on.

    Raises:
        UserError: impossible or leaking split, a run of other settings in the way.
    """
    clips = labelled(opened.clips, settings.data)
    classes = classes_of(clips, settings.data)
    split = split or splits.make(clips, settings.data, settings.train.seed)
    sides = split.clips(clips)
    leaks.guard(sides, opened.audio_hashes, split.leaky)
    check_enough(sides["train"], classes, settings.train.batch_size)
    from emorec_tf.training import fit, logits, speaker_adaptation
    from emorec_tf.training.distributed import sync

    everybody = [clip for side in sides.values() for clip in side]
    speaker_adaptation.enrolling(
        everybody, settings.data, settings.train.seed
    )  # refuses too few clips
    before = stages.planned(settings, first or folder.parent / "first", classes, split)
    noted = {step.folder.name: stages.noted(step, folder) for step in before}
    cluster.check_batch(settings.train.batch_size, sync.replicas())

    def create() -> Run:
        return run_dir.create(folder, settings, classes, split, opened, overwrite, noted)

    begun = together(settings, opened, create, folder) if cluster.team() else create()
    aside = f"test speakers {', '.join(split.test)} stay unseen" if split.test else UNTESTED
    if split.leaky:
        aside = "LEAKY: clips, not speakers, were dealt to the sides"
    print(
        f"{settings.data.dataset}: {len(sides['train'])} training, {len(sides['validation'])} "
        f"validation clips{left_out(opened.clips, settings.data)}; {aside}; run {folder}"
    )
    if before and not (folder / "last.keras").exists():
        begun = stages.run_all(
            before, begun, lambda step: train(step.settings, opened, step.folder, split=split)
        )
    elif first:
        stages.adopt(begun, first)
    with sync.watched(folder):
        fit.fit(begun, opened, sides, until)
        if cluster.is_chief():
            logits.fit_temperature(begun, opened)
        sync.told_by_chief(True)  # nobody leaves before the chief has written all
    return begun


def together(
    settings: Config, opened: records_dir.Records, create: Callable[[], Run], folder: Path
) -> Run:
    """Meet the other machines; then the chief makes the run, and the others open it.

    Raises:
        UserError: a machine is missing or differs, or what is asked for is the work of one process.
    """
    for name, wanted in (
        ("pretrain", settings.train.pretrain),
        ("ensemble", settings.model.ensemble),
        ("classifier", stages.has_classifier(settings)),
    ):
        if wanted:
            cluster.refuse(name, "give the same command; it uses all devices of its machine")
    from emorec_tf.training.distributed import sync

    own = cluster.team()
    assert own is not None
    manifest = hashlib.sha256((opened.folder / records_dir.MANIFEST).read_bytes()).hexdigest()
    facts = sync.facts(config.flat(settings), manifest[:12])
    rendezvous.meet(own, facts, create)
    with sync.watched(folder):
        print(f"machine {own.index} of {len(own)}{', the chief' if own.chief else ''}")
        sync.begin()
    return dataclasses.replace(run_dir.load(folder), config=settings)


def check_enough(training: Sequence[Clip], classes: Sequence[str], batch_size: int) -> None:
    """Refuse to train on one class, without a clip of each, or without one whole batch."""
    if len(classes) == 1:
        raise UserError(f"all clips are {classes[0]}; there is nothing to tell apart")
    missing = set(classes) - {c.emotion for c in training}
    if missing:
        raise UserError(f"no training clip is {', '.join(sorted(missing))}; change the split")
    if len(training) < batch_size:
        raise UserError(
            f"batch_size {batch_size} is more than the {len(training)} training clips; lower it"
        )


if __name__ == "__main__":
    sys.exit(main())

"""Command: records and a config to a run directory. The same command goes on after a kill."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorec_tf import assembly, catalog, config, leaks, places, records, runs, splits, steps
from emorec_tf.classes import classes_of, labelled, left_out
from emorec_tf.clip import Clip, UserError
from emorec_tf.command_line import guarded, parse
from emorec_tf.config import Config, option
from emorec_tf.runs import Run, best_epoch

if TYPE_CHECKING:
    import keras

    from emorec_tf.enrolment import Standard
    from emorec_tf.input_pipeline import Adapt
    from emorec_tf.keeper import Keeper

UNTESTED = "nobody is held out to test it on"
# in train, settings of features are only compared with those of the records
GROUPS = (config.DataConfig, config.FeaturesConfig, config.ModelConfig, config.TrainConfig)


@dataclass(frozen=True)
class TrainOptions:
    """Where the run goes."""

    run: str | None = option(None, "run directory; none: saved_models/<dataset>-<fusion>")
    overwrite: bool = option(False, "throw away what an earlier run left in that directory")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Parse, check everything that needs no TensorFlow, train."""
    given = parse(argv, "train", TrainOptions, *GROUPS)
    options = TrainOptions(**{k: given.pop(k) for k in ("run", "overwrite") if k in given})
    settings, opened = prepared(given)
    fusion, _ = catalog.parse(settings.model.fusion)
    folder = places.place(options.run or f"saved_models/{settings.data.dataset}-{fusion}")
    train(settings, opened, folder, options.overwrite)
    return 0


def prepared(given: Mapping[str, Any]) -> tuple[Config, records.Records]:
    """Check what the user set and open the records; without any, those of the demo corpus.

    Raises:
        UserError: unknown choices, no such records, or records of other settings.
    """
    wanted = {k: v for k, v in given.items() if config.section_of(k) == "features"}
    settings = config.build(given)
    for kind in catalog.TABLES:
        catalog.check(kind, getattr(settings.model, kind))
    if settings.data.records is None:
        settings = with_demo_records(settings)
    opened = records.open_records(str(settings.data.records), wanted)
    if "dataset" in given and given["dataset"] != opened.manifest["dataset"]:
        raise UserError(
            f"records {opened.folder} hold {opened.manifest['dataset']}, not {given['dataset']}"
        )
    settings = config.build({"dataset": opened.manifest["dataset"]}, settings)
    settings = dataclasses.replace(settings, features=opened.features)
    steps.check_steps(settings)
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
    opened: records.Records,
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
        first: where to train what ``train_first`` names, or find it; None: ``first`` beside the
            run.
        until: stop after so many of the epochs, as a search may; a later call goes on.

    Raises:
        UserError: impossible or leaking split, a run of other settings in the way.
    """
    clips = labelled(opened.clips, settings.data)
    classes = classes_of(clips, settings.data)
    split = split or splits.make(clips, settings.data, settings.train.seed)
    sides = split.clips(clips)
    leaks.guard(sides, opened.sounds, split.leaky)
    check_enough(sides["train"], classes, settings.train.batch_size)
    from emorec_tf import answers, enrolment

    everybody = [clip for side in sides.values() for clip in side]
    enrolment.enrolling(everybody, settings.data, settings.train.seed)  # refuses too few clips
    before = steps.planned(settings, first or folder.parent / "first", classes, split)
    noted = {step.folder.name: steps.noted(step, folder) for step in before}
    begun = runs.create(folder, settings, classes, split, opened, overwrite, noted)
    aside = f"test speakers {', '.join(split.test)} stay unseen" if split.test else UNTESTED
    if split.leaky:
        aside = "LEAKY: clips, not speakers, were dealt to the sides"
    print(
        f"{settings.data.dataset}: {len(sides['train'])} training, {len(sides['validation'])} "
        f"validation clips{left_out(opened.clips, settings.data)}; {aside}; run {folder}"
    )
    if before and not (folder / "last.keras").exists():
        begun = steps.run_all(
            before, begun, lambda step: train(step.settings, opened, step.folder, split=split)
        )
    elif first:
        steps.adopt(begun, first)
    fit(begun, opened, sides, until)
    answers.fit_temperature(begun, opened)
    return begun


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


def fit(
    begun: Run,
    opened: records.Records,
    sides: dict[str, list[Clip]],
    until: int | None = None,
) -> None:
    """Build or reload the model and run the epochs that are left."""
    import keras

    from emorec_tf import enrolment, input_pipeline, keeper
    from emorec_tf import model as models

    settings, data = begun.config.train, begun.config.data
    keras.utils.set_random_seed(settings.seed)
    keras.mixed_precision.set_global_policy(settings.precision)
    standard = input_pipeline.statistics(opened, sides["train"])
    known = [*sides["train"], *sides["validation"]]
    adapt = enrolment.adapter(data, opened, known, standard, settings.seed)
    scored = enrolment.scored(sides["validation"], data, settings.seed)
    sides = {"train": sides["train"], "validation": scored}
    last = begun.folder / "last.keras"
    with models.strategy().scope():
        model = (
            runs.load_model(last, for_training=True)
            if last.exists()
            else fresh_model(begun, opened, sides, standard, adapt)
        )
    adapt = enrolment.with_features(adapt, model, data, opened, known, settings.seed)
    steps_an_epoch = len(sides["train"]) // settings.batch_size
    done = int(model.optimizer.iterations.numpy()) // steps_an_epoch
    if not model.trainable_weights:  # then one epoch is all
        done = int(last.exists())
    reached = begun.scores(begun.history[:done])
    if reached and best_epoch(reached) == done:  # a kill may have come between saving and copying
        places.copy(last, begun.folder / "best.keras")
    if begun.is_finished(done):
        print(f"run {begun.folder} is finished ({done} epochs); --overwrite trains it anew")
        return
    if until and done >= until:
        return
    fresh = f"{model.count_params():,} parameters, {steps_an_epoch} steps an epoch"
    print(f"going on after epoch {done}" if done else fresh)
    keep = keeper.Keeper(begun, opened, scored, adapt, model, done)
    if model.trainable_weights:
        run_epochs(begun, opened, sides["train"], model, keep, standard, adapt, until)
    else:
        keeper.once(keep, model)


def fresh_model(
    begun: Run,
    opened: records.Records,
    sides: Mapping[str, Sequence[Clip]],
    standard: Standard,
    adapt: Adapt | None,
) -> keras.Model:
    """Build the model, with what was trained first in it, and a classical head if asked for."""
    from emorec_tf import input_pipeline
    from emorec_tf import model as models

    settings, training = begun.config.train, sides["train"]
    if begun.config.model.members:
        model = assembly.multiplied(begun)
    else:
        cut = begun.config.model.audio_length != "all"
        frames = input_pipeline.typical_frames(opened, training) if cut else None
        model = models.build_model(begun.config, begun.classes, *standard, frames)
        if begun.steps:
            steps.take_over(model, begun)
        else:
            steps.check_trained(begun.config, {n.name for n in model.layers if n.weights})
        if steps.has_classifier(begun.config):
            model = assembly.classical(model, begun, opened, sides, adapt)
    total = len(training) // settings.batch_size * settings.epochs
    models.compile_model(model, settings, total, begun.task)
    return model


def run_epochs(
    begun: Run,
    opened: records.Records,
    clips: Sequence[Clip],
    model: keras.Model,
    keep: Keeper,
    standard: Standard,
    adapt: Adapt | None,
    until: int | None = None,
) -> None:
    """Run the epochs that are left; above frozen branches that always answer alike, those alone."""
    import keras

    from emorec_tf import fusions, input_pipeline
    from emorec_tf import model as models

    settings, done = begun.config.train, len(keep.rows)
    if steps.branches_answer_alike(begun.config):
        below, above = models.above_branches(model)
        adapt = assembly.remembered(below, opened, clips, adapt)
        with models.strategy().scope():
            model.optimizer.build(model.trainable_variables)  # in the order of the whole model
            models.compile_model(above, settings, 0, begun.task, model.optimizer)
        model = above
    fusion, _ = catalog.parse(begun.config.model.fusion)
    batches = input_pipeline.training(
        opened,
        clips,
        begun.classes,
        settings,
        standard[0],
        done,
        adapt,
        begun.task.rating,
        fusions.UNIMODAL.get(fusion, ("audio", "face")),
    )
    model.fit(
        batches,
        initial_epoch=done,
        epochs=until or settings.epochs,
        steps_per_epoch=len(clips) // settings.batch_size,
        callbacks=[keep, keras.callbacks.TensorBoard(begun.folder / "logs", write_graph=False)],
        shuffle=False,  # the stream is shuffled already
        verbose=0,
    )


if __name__ == "__main__":
    sys.exit(main())

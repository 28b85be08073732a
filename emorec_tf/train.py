"""Command: records and a config to a run directory. The same command goes on after a kill."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emorec_tf import catalog, config, datasets, leaks, records, runs, splits
from emorec_tf.clip import Clip, UserError
from emorec_tf.command_line import guarded, parse
from emorec_tf.config import Config, option
from emorec_tf.runs import Run, best_epoch

if TYPE_CHECKING:
    import keras

    from emorec_tf.input_pipeline import Adapt

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
    folder = Path(options.run or f"saved_models/{settings.data.dataset}-{fusion}")
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
    return dataclasses.replace(settings, features=opened.features), opened


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
) -> Run:
    """Train, or go on where the same run stopped; then fit the temperature.

    Raises:
        UserError: impossible or leaking split, a run of other settings in the way.
    """
    clips = datasets.merge_classes(opened.clips, settings.data.classes)
    classes = datasets.class_names(c.emotion for c in clips)
    split = split or splits.make(clips, settings.data, settings.train.seed)
    sides = split.clips(clips)
    leaks.guard(sides, opened.sounds, split.leaky)
    check_enough(sides["train"], classes, settings.train.batch_size)
    from emorec_tf import answers, enrolment

    everybody = [clip for side in sides.values() for clip in side]
    enrolment.enrolling(everybody, settings.data, settings.train.seed)  # refuses too few clips
    begun = runs.create(folder, settings, classes, split, opened, overwrite)
    aside = f"test speakers {', '.join(split.test)} stay unseen"
    if split.leaky:
        aside = "LEAKY: clips, not speakers, were dealt to the sides"
    print(
        f"{settings.data.dataset}: {len(sides['train'])} training, {len(sides['validation'])} "
        f"validation clips; {aside}; run {folder}"
    )
    fit(begun, opened, sides)
    answers.fit_temperature(begun, opened)
    return begun


def check_enough(training: Sequence[Clip], classes: Sequence[str], batch_size: int) -> None:
    """Refuse to train without a clip of each class, or without one whole batch."""
    missing = set(classes) - {c.emotion for c in training}
    if missing:
        raise UserError(f"no training clip is {', '.join(sorted(missing))}; change the split")
    if len(training) < batch_size:
        raise UserError(
            f"batch_size {batch_size} is more than the {len(training)} training clips; lower it"
        )


def fit(begun: Run, opened: records.Records, sides: dict[str, list[Clip]]) -> None:
    """Build or reload the model and run the epochs that are left."""
    import keras

    from emorec_tf import enrolment, input_pipeline
    from emorec_tf import model as models

    settings, data = begun.config.train, begun.config.data
    keras.utils.set_random_seed(settings.seed)
    keras.mixed_precision.set_global_policy(settings.precision)
    steps = len(sides["train"]) // settings.batch_size
    standard = input_pipeline.statistics(opened, sides["train"])
    last = begun.folder / "last.keras"
    with models.strategy().scope():
        if last.exists():
            model = runs.load_model(last, for_training=True)
        else:
            cut = begun.config.model.audio_length != "all"
            frames = input_pipeline.typical_frames(opened, sides["train"]) if cut else None
            model = models.build_model(begun.config, begun.classes, *standard, frames)
            models.compile_model(model, settings, steps * settings.epochs)
    done = int(model.optimizer.iterations.numpy()) // steps
    uars = [float(r["val_uar"]) for r in begun.history[:done]]
    if uars and best_epoch(uars) == done:  # a kill may have come between saving and copying
        copy_atomically(last, begun.folder / "best.keras")
    if begun.is_finished(done):
        print(f"run {begun.folder} is finished ({done} epochs); --overwrite trains it anew")
        return
    known = [*sides["train"], *sides["validation"]]
    adapt = enrolment.adapter(data, opened, known, standard, settings.seed)
    validation = enrolment.scored(sides["validation"], data, settings.seed)
    keeper = make_keeper(begun, opened, validation, adapt, done)
    fresh = f"{model.count_params():,} parameters, {steps} steps an epoch"
    print(f"going on after epoch {done}" if done else fresh)
    batches = input_pipeline.training(
        opened, sides["train"], begun.classes, settings, standard[0], done, adapt
    )
    model.fit(
        batches,
        initial_epoch=done,
        epochs=settings.epochs,
        steps_per_epoch=steps,
        callbacks=[keeper, keras.callbacks.TensorBoard(begun.folder / "logs", write_graph=False)],
        shuffle=False,  # the stream is shuffled already
        verbose=0,
    )


def make_keeper(
    begun: Run, opened: records.Records, validation: list[Clip], adapt: Adapt | None, done: int
) -> keras.callbacks.Callback:
    """Make the callback that scores, saves and shows each epoch."""
    import keras
    import tensorflow as tf

    from emorec_tf import answers, calibration, metrics, plots

    kept: list[Any] = [None]
    rows: list[dict[str, Any]] = list(begun.history[:done])
    writer = tf.summary.create_file_writer(str(begun.folder / "logs" / "validation"))
    started = [0.0]

    def score(model: keras.Model) -> dict[str, Any]:
        logits, clips = answers.logits_of(model, opened, validation, kept, adapt)
        probabilities, labels = calibration.scaled(logits, 1.0), [c.emotion for c in clips]
        found = metrics.scores(labels, probabilities, begun.classes, [c.speaker for c in clips])
        ids = np.array([begun.classes.index(name) for name in labels])
        return {**found, "loss": calibration.nll(probabilities, ids)}

    class Keeper(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            with writer.as_default():
                tf.summary.text("config", f"```\n{config.to_yaml(begun.config)}```", step=0)

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            started[0] = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            found = score(self.model)
            logs.update({f"val_{k}": found[k] for k in ("loss", "uar", "war")})
            seconds = time.perf_counter() - started[0]
            row = {"epoch": epoch + 1, **{k: f"{v:.5f}" for k, v in logs.items()}}
            rows.append({**row, "seconds": f"{seconds:.2f}"})
            uars = [float(r["val_uar"]) for r in rows]
            runs.write_history(begun, rows)
            runs.save_model(self.model, begun.folder / "last.keras")
            if best_epoch(uars) == len(uars):
                copy_atomically(begun.folder / "last.keras", begun.folder / "best.keras")
            picture = plots.confusion_picture(
                found["confusion"], begun.classes, f"validation, epoch {epoch + 1}"
            )
            with writer.as_default():
                image = tf.io.decode_png(picture, channels=3)[None]
                tf.summary.image("validation confusion", image, step=epoch)
            print(
                f"epoch {epoch + 1}/{begun.config.train.epochs}  loss {logs['loss']:.3f}  "
                f"war {logs['war']:.3f}  val_uar {found['uar']:.3f}  "
                f"best {max(uars):.3f}  {seconds:.1f} s",
                flush=True,
            )
            if begun.is_finished(epoch + 1):
                self.model.stop_training = True

    return Keeper()


def copy_atomically(source: Path, target: Path) -> None:
    """Copy under a temporary name, then rename."""
    temporary = target.with_name(target.name + ".tmp")
    shutil.copyfile(source, temporary)
    temporary.replace(target)


if __name__ == "__main__":
    sys.exit(main())

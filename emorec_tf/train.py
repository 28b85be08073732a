"""Command: records and a config to a run directory. The same command goes on after a kill."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorec_tf import catalog, config, datasets, records, splits
from emorec_tf.clip import Clip, UserError
from emorec_tf.command_line import guarded, parse
from emorec_tf.config import Config, option

if TYPE_CHECKING:
    import keras
    import numpy as np

    from emorec_tf.runs import Run

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
    fusion, _ = catalog.parse(settings.model.fusion)
    folder = Path(options.run or f"saved_models/{settings.data.dataset}-{fusion}")
    train(settings, opened, folder, options.overwrite)
    return 0


def with_demo_records(settings: Config) -> Config:
    """Build and prepare the demo corpus in the cache folder; say so."""
    from emorec_tf import prepare

    stamp = settings.features.stamp()
    folder = prepare.cache_folder() / f"demo-records-{stamp}"
    print("no --records given: training on the built-in demo corpus")
    options = prepare.PrepareOptions(source=prepare.demo_source(), records=str(folder))
    prepare.prepare(options, settings.features)
    return config.build({"records": str(folder), "dataset": "demo"}, settings)


def train(settings: Config, opened: records.Records, folder: Path, overwrite: bool = False) -> Run:
    """Train, or go on where the same run stopped.

    Raises:
        UserError: impossible split or batch, a run of other settings in the way.
    """
    clips = datasets.merge_classes(opened.clips, settings.data.classes)
    classes = datasets.class_names(c.emotion for c in clips)
    split = splits.make(clips, settings.data, settings.train.seed)
    training, validation = (splits.clips_of(clips, s) for s in (split.train, split.validation))
    missing = set(classes) - {c.emotion for c in training}
    if missing:
        raise UserError(f"no training clip is {', '.join(sorted(missing))}; change the split")
    if len(training) < settings.train.batch_size:
        raise UserError(
            f"batch_size {settings.train.batch_size} is more than the {len(training)} training "
            f"clips; lower it"
        )
    from emorec_tf import runs

    begun = runs.create(folder, settings, classes, split, opened, overwrite)
    print(
        f"{settings.data.dataset}: {len(training)} training, {len(validation)} validation clips; "
        f"test speakers {', '.join(split.test)} stay unseen; run {folder}"
    )
    fit(begun, opened, training, validation)
    return begun


def fit(begun: Run, opened: records.Records, training: list[Clip], validation: list[Clip]) -> None:
    """Build or reload the model and run the epochs that are left."""
    import keras

    from emorec_tf import input_pipeline, runs
    from emorec_tf import model as models

    settings = begun.config.train
    keras.utils.set_random_seed(settings.seed)
    keras.mixed_precision.set_global_policy(settings.precision)
    steps = len(training) // settings.batch_size
    mean, deviation = input_pipeline.statistics(opened, training)
    last = begun.folder / "last.keras"
    with models.strategy().scope():
        if last.exists():
            model = runs.load_model(last, for_training=True)
        else:
            model = models.build_model(begun.config, begun.classes, mean, deviation)
            models.compile_model(model, settings, steps * settings.epochs)
    done = int(model.optimizer.iterations.numpy()) // steps
    keeper = make_keeper(begun, opened, validation, done)
    if finished(begun, done):
        print(f"run {begun.folder} is finished ({done} epochs); --overwrite trains it anew")
        return
    if done:
        print(f"going on after epoch {done}")
    else:
        print(f"{model.count_params():,} parameters, {steps} steps an epoch")
    batches = input_pipeline.training(opened, training, begun.classes, settings, mean, done)
    model.fit(
        batches,
        initial_epoch=done,
        epochs=settings.epochs,
        steps_per_epoch=steps,
        callbacks=[keeper, keras.callbacks.TensorBoard(begun.folder / "logs", write_graph=False)],
        shuffle=False,  # the stream is shuffled already
        verbose=0,
    )


def finished(begun: Run, done: int) -> bool:
    """True after the last epoch, or when patience ran out."""
    settings = begun.config.train
    if done >= settings.epochs:
        return True
    uars = [float(r["val_uar"]) for r in begun.history[:done]]
    return bool(settings.patience and uars and done - best_epoch(uars) >= settings.patience)


def best_epoch(uars: Sequence[float]) -> int:
    """Number (from 1) of the best epoch, the later one of equals."""
    return max(range(1, len(uars) + 1), key=lambda e: (uars[e - 1], e))


def make_keeper(
    begun: Run, opened: records.Records, validation: list[Clip], done: int
) -> keras.callbacks.Callback:
    """Make the callback that scores, saves and shows each epoch."""
    import keras
    import tensorflow as tf

    from emorec_tf import metrics, plots, runs
    from emorec_tf.evaluate import predictions

    batches = [None]
    rows: list[dict[str, Any]] = list(begun.history[:done])
    writer = tf.summary.create_file_writer(str(begun.folder / "logs" / "validation"))
    started = [0.0]

    def score(model: keras.Model) -> dict[str, Any]:
        probabilities, clips = predictions(model, opened, validation, batches)
        labels = [c.emotion for c in clips]
        found = metrics.scores(labels, probabilities, begun.classes, [c.speaker for c in clips])
        found["loss"] = cross_entropy(probabilities, labels, begun.classes)
        return found

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
            if finished(begun, epoch + 1):
                self.model.stop_training = True

    return Keeper()


def copy_atomically(source: Path, target: Path) -> None:
    """Copy under a temporary name, then rename."""
    temporary = target.with_name(target.name + ".tmp")
    shutil.copyfile(source, temporary)
    temporary.replace(target)


def cross_entropy(
    probabilities: np.ndarray, labels: Sequence[str], classes: Sequence[str]
) -> float:
    """Mean negative logarithm of the true classes' probabilities."""
    from sklearn.metrics import log_loss

    return float(
        log_loss([classes.index(n) for n in labels], probabilities, labels=range(len(classes)))
    )


if __name__ == "__main__":
    sys.exit(main())

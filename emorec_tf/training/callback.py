"""What happens at the end of each epoch: score on validation speakers, save, show."""

from __future__ import annotations

import math
import time
from typing import Any

import keras
import tensorflow as tf

from emorec_tf.config import config
from emorec_tf.config.clip import Clip
from emorec_tf.errors import UserError
from emorec_tf.models import model as models
from emorec_tf.records.input_pipeline import Adapt
from emorec_tf.records.records_dir import Records
from emorec_tf.storage import paths
from emorec_tf.training import logits, run_dir
from emorec_tf.training.distributed import cluster, sync
from emorec_tf.training.run_dir import Run, best_epoch


class Keeper(keras.callbacks.Callback):
    """Scores, saves and shows the model at the end of each epoch; ends the run when it is done."""

    def __init__(
        self,
        begun: Run,
        opened: Records,
        validation: list[Clip],
        adapt: Adapt | None,
        whole: keras.Model,
        done: int,
    ) -> None:
        """Take up a run after ``done`` epochs.

        Args:
            begun: the run; its folder is written to.
            opened: records that hold the clips.
            validation: clips of the validation speakers.
            adapt: puts voices on the scale of the training clips (see enrolment).
            whole: what is scored and saved; the model in training may be a part of it.
            done: epochs of earlier calls.
        """
        super().__init__()
        self.begun, self.opened, self.validation, self.adapt = begun, opened, validation, adapt
        self.whole, self.answering = whole, models.undistributed(whole)
        self.rows: list[dict[str, Any]] = list(begun.history[:done])
        self.kept: list[Any] | None = [None] if begun.config.train.cache == "memory" else None
        self.started = 0.0
        if cluster.is_chief():
            logs = str(begun.folder / "logs" / "validation")
            self.writer = tf.summary.create_file_writer(logs)

    def on_train_begin(self, logs: Any = None) -> None:
        """Note the settings for TensorBoard."""
        if not cluster.is_chief():
            return
        with self.writer.as_default():
            tf.summary.text("config", f"```\n{config.to_yaml(self.begun.config)}```", step=0)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Score and save, the chief alone where there are several machines; others wait for it.

        Raises:
            UserError: the loss is no number; what was saved before stays.
        """
        logs = {} if logs is None else logs
        if not math.isfinite(logs.get("loss", 0)):
            raise UserError(
                f"the loss is {logs['loss']:g} after epoch {epoch + 1}; lower learning_rate, or "
                f"use precision float32"
            )
        sync.average_statistics(self.whole)
        if cluster.is_chief():
            self.score_and_save(epoch, logs)
        finished = cluster.is_chief() and self.begun.is_finished(epoch + 1)
        if sync.told_by_chief(finished):
            self.model.stop_training = True

    def score_and_save(self, epoch: int, logs: Any) -> None:
        """The history comes first, so that it never lacks a saved epoch."""
        task = self.begun.task
        raw, clips = logits.logits_of(
            self.answering, self.opened, self.validation, self.kept, self.adapt
        )
        truth, told = task.truth(clips), task.predictions(raw, None)
        found = {**task.metrics(truth, told), "loss": task.validation_loss(truth, told)}
        trained = [f"{k} {logs[k]:.3f}" for k in ("loss", task.training_metric) if k in logs]
        logs.update({f"val_{k}": found[k] for k in task.reported})
        seconds = time.perf_counter() - self.started
        row = {"epoch": epoch + 1, **{k: f"{v:.5f}" for k, v in logs.items()}}
        self.rows.append({**row, "seconds": f"{seconds:.2f}"})
        reached = self.begun.scores(self.rows)
        run_dir.write_history(self.begun, self.rows)
        last = self.begun.folder / "last.keras"
        run_dir.save_model(self.whole, last)
        if best_epoch(reached) == len(reached):
            paths.copy(last, self.begun.folder / "best.keras")
        picture = task.plot(truth, told, f"validation, epoch {epoch + 1}")
        with self.writer.as_default():
            image = tf.io.decode_png(picture, channels=3)[None]
            tf.summary.image(f"validation {task.plot_name}", image, step=epoch)
        if trained:
            trained.insert(0, f"epoch {epoch + 1}/{self.begun.config.train.epochs}")
        shown = [f"val_{task.score} {found[task.score]:.3f}", f"best {max(reached):.3f}"]
        print("  ".join([*trained, *shown, f"{seconds:.1f} s"]), flush=True)


def once(keeper: Keeper, model: keras.Model, started: float) -> None:
    """Score and save a model that no gradient trains, as the one epoch of its run.

    Its seconds count from ``started``, of ``time.perf_counter``: when fitting it began.
    """
    keeper.set_model(model)
    keeper.on_train_begin()
    keeper.started = started
    keeper.on_epoch_end(0)

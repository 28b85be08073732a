"""What happens at the end of each epoch: score on validation speakers, save, log."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from emorec_tf.config import config
from emorec_tf.errors import UserError
from emorec_tf.models import model as models
from emorec_tf.storage import paths
from emorec_tf.training import logits, run_dir
from emorec_tf.training.distributed import cluster, sync
from emorec_tf.training.run_dir import Run, best_epoch
from emorec_tf.training.speaker_adaptation import SpeakerAdapter

if TYPE_CHECKING:
    from emorec_tf.training.experiment import Experiment

WAY_OUT = "lower learning_rate, or use precision float32"
_LOG = logging.getLogger(__name__)


class EpochEnd(keras.callbacks.Callback):
    """Scores, saves and logs the model at the end of each epoch; stops the run when it is done.

    Attributes:
        run: its folder is written to.
        experiment: has the validation clips.
        adapter: of the speakers of training and validation.
        whole: what is scored and saved; the model in training may be a part of it.
        rows: of history.csv, one for each finished epoch.
    """

    def __init__(
        self,
        run: Run,
        experiment: Experiment,
        adapter: SpeakerAdapter,
        whole: keras.Model,
        done: int,
    ) -> None:
        """Take up a run after ``done`` epochs of earlier calls."""
        super().__init__()
        self.run, self.experiment, self.adapter, self.whole = run, experiment, adapter, whole
        self.rows: list[dict[str, Any]] = list(run.history[:done])
        self.started = 0.0
        self._answering = models.undistributed(whole)
        self._validation = logits.ClipBatches(
            experiment.records,
            experiment.scored("validation"),
            keep=run.config.train.cache == "memory",
        )
        if cluster.is_chief():
            logs = str(run.folder / "logs" / "validation")
            self.writer = tf.summary.create_file_writer(logs)

    def on_train_begin(self, logs: Any = None) -> None:
        """Write the settings for TensorBoard."""
        if not cluster.is_chief():
            return
        with self.writer.as_default():
            tf.summary.text("config", f"```\n{config.to_yaml(self.run.config)}```", step=0)

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
            raise UserError(f"the loss is {logs['loss']:g} after epoch {epoch + 1}; {WAY_OUT}")
        sync.average_statistics(self.whole)
        if cluster.is_chief():
            self._score_and_save(epoch, logs)
        finished = cluster.is_chief() and self.run.is_finished(epoch + 1)
        if sync.decided_by_chief(finished):
            self.model.stop_training = True

    def run_once(self, model: keras.Model, started: float) -> None:
        """Score and save a model that no gradient trains, as the one epoch of its run.

        Args:
            model: the whole one.
            started: when fitting it began, by ``time.perf_counter``.
        """
        self.set_model(model)
        self.on_train_begin()
        self.started = started
        self.on_epoch_end(0)

    def _score_and_save(self, epoch: int, logs: Any) -> None:
        """The history comes first, so that it never lacks a saved epoch."""
        task = self.run.task
        raw, clips = logits.logits_of(self._answering, self._validation, self.adapter)
        if not np.isfinite(raw).all():
            raise UserError(
                f"the model's answers are no numbers after epoch {epoch + 1}; {WAY_OUT}"
            )
        truth, answers = task.truth(clips), task.predictions(raw, None)
        scores = {**task.metrics(truth, answers), "loss": task.validation_loss(truth, answers)}
        named = {
            "loss": "train loss",
            task.training_metric: f"train {task.training_metric.upper()}",
        }
        trained = [f"{name} {logs[key]:.3f}" for key, name in named.items() if key in logs]
        logs.update({f"val_{k}": scores[k] for k in task.reported})
        seconds = time.perf_counter() - self.started
        row = {"epoch": epoch + 1, **{k: f"{v:.5f}" for k, v in logs.items()}}
        self.rows.append({**row, "seconds": f"{seconds:.2f}"})
        reached = self.run.scores(self.rows)
        run_dir.write_history(self.run, self.rows)
        last = self.run.folder / "last.keras"
        run_dir.save_model(self.whole, last)
        if best_epoch(reached) == len(reached):
            paths.copy(last, self.run.folder / "best.keras")
        plot = task.plot(truth, answers, f"validation, epoch {epoch + 1}")
        with self.writer.as_default():
            image = tf.io.decode_png(plot, channels=3)[None]
            tf.summary.image(f"validation {task.plot_name}", image, step=epoch)
        if trained:
            trained.insert(0, f"epoch {epoch + 1}/{self.run.config.train.epochs}")
        shown = [
            f"validation {task.score.upper()} {scores[task.score]:.3f}",
            f"best {max(reached):.3f}",
        ]
        _LOG.info("%s", "  ".join([*trained, *shown, f"{seconds:.1f} s"]))

"""Tasks: classification or regression, and everything that differs between the two.

Emotions and bins of activation (arousal) and valence are classified, the ratings themselves are
estimated. Other modules ask ``of(data, classes)`` for the task and need not know which one it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from emorec_tf.config.clip import Clip
from emorec_tf.config.config import DataConfig, TrainConfig

if TYPE_CHECKING:
    import keras

Scores = dict[str, Any]


@dataclass(frozen=True)
class Classification:
    """One of K classes is predicted: the model returns logits [B, K].

    ``among``: classes that predictions are restricted to (see ``restriction``); (): all.
    """

    classes: tuple[str, ...] = ()
    among: tuple[str, ...] = ()

    rating: ClassVar[None] = None
    score: ClassVar[str] = "uar"  # selects the epoch: column val_uar of history.csv
    reported: ClassVar[tuple[str, ...]] = ("loss", "uar", "war")  # of validation, for each epoch
    training_metric: ClassVar[str] = "war"
    plot_name: ClassVar[str] = "confusion"

    @property
    def outputs(self) -> int:
        """Width of the fusion's output."""
        return len(self.classes)

    def head(self, outputs: keras.KerasTensor) -> keras.KerasTensor:
        """Return the fusion's output [B, K] unchanged: logits."""
        return outputs

    def loss(self, train: TrainConfig) -> keras.losses.Loss:
        """Cross-entropy over logits, with label smoothing."""
        import keras

        return keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=train.label_smoothing
        )

    def metric(self) -> keras.metrics.Metric:
        """Keras metric of the training clips."""
        import keras

        return keras.metrics.CategoricalAccuracy(name=self.training_metric)

    def truth(self, clips: Sequence[Clip]) -> np.ndarray:
        """Class ids [N] of labelled clips."""
        return np.array([self.classes.index(c.emotion) for c in clips])

    def label_of(self, clip: Clip) -> str:
        """Label of a clip, for predictions.csv."""
        return clip.emotion

    def predictions(self, raw: np.ndarray, temperature: float | np.ndarray | None) -> np.ndarray:
        """Turn logits [N, K] into probabilities [N, K], at one temperature or those of [N, 1]."""
        from emorec_tf.tasks import calibration, restriction

        found = calibration.scaled(raw, 1.0 if temperature is None else temperature)
        return restriction.restricted(found, self.classes, self.among) if self.among else found

    def restricted(self, clips: Sequence[Clip]) -> Classification:
        """The same task, with predictions among the classes of these clips only."""
        present = {self.label_of(clip) for clip in clips}
        return Classification(self.classes, tuple(k for k in self.classes if k in present))

    def columns(self, prediction: np.ndarray) -> dict[str, str]:
        """Write one clip's prediction [K] for predictions.csv."""
        return {name: f"{p:.6g}" for name, p in zip(self.classes, prediction, strict=True)}

    def metrics(self, truth: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
        """UAR and WAR, without intervals."""
        from emorec_tf.tasks import metrics

        confusion = metrics.confusion_of(truth, predictions.argmax(1), len(self.classes))
        return {"uar": float(metrics.uar_of(confusion)), "war": float(metrics.war_of(confusion))}

    def validation_loss(self, truth: np.ndarray, predictions: np.ndarray) -> float:
        """Mean negative log-likelihood."""
        from emorec_tf.tasks import calibration

        return calibration.nll(predictions, truth)

    def scores(
        self,
        clips: Sequence[Clip],
        raw: np.ndarray,
        temperature: float | None,
        training: Sequence[Clip],
        growth: float | np.ndarray = 1.0,
    ) -> Scores:
        """All metrics of labelled clips, for metrics.json.

        Args:
            clips: N labelled clips.
            raw: the model's outputs [N, K].
            temperature: of the calibration; None: uncalibrated.
            training: the training clips; not needed here.
            growth: of the temperature where a clip is unfamiliar, [N, 1].
        """
        from emorec_tf.tasks import calibration

        del training
        ids, before = self.truth(clips), self.predictions(raw, None)
        after = self.predictions(raw, (temperature or 1.0) * growth)
        labels, speakers = [c.emotion for c in clips], [c.speaker for c in clips]
        return {
            **self._all_scores(labels, after, speakers),
            "temperature": temperature,
            "ece_before": calibration.ece(before, ids),
            "nll_before": calibration.nll(before, ids),
        }

    def read(self, rows: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
        """Read truth [N] and probabilities [N, K] back from the rows of predictions.csv."""
        ids = np.array([self.classes.index(row["label"]) for row in rows])
        return ids, np.array([[float(row[name]) for name in self.classes] for row in rows])

    def pooled(self, rows: Sequence[Mapping[str, Any]]) -> Scores:
        """All metrics of the joined rows of several folds."""
        labels, speakers = ([row[key] for row in rows] for key in ("label", "speaker"))
        return self._all_scores(labels, self.read(rows)[1], speakers)

    def _all_scores(
        self, labels: Sequence[str], probabilities: np.ndarray, speakers: Sequence[str]
    ) -> Scores:
        from emorec_tf.tasks import calibration, metrics

        ids = np.array([self.classes.index(label) for label in labels])
        return {
            **metrics.scores(labels, probabilities, self.classes, speakers),
            "ece": calibration.ece(probabilities, ids),
            "brier": calibration.brier(probabilities, ids),
            "nll": calibration.nll(probabilities, ids),
        }

    def plot(self, truth: np.ndarray, predictions: np.ndarray, title: str) -> bytes:
        """Draw the confusion matrix; return a PNG."""
        from emorec_tf.tasks import metrics, plots

        confusion = metrics.confusion_of(truth, predictions.argmax(1), len(self.classes))
        return plots.png(plots.confusion_figure(confusion.tolist(), self.classes, title))


@dataclass(frozen=True)
class Regression:
    """A rating from 1 to 5 is estimated: the model returns it, [B, 1]."""

    rating: str  # activation or valence

    classes: ClassVar[tuple[str, ...]] = ()
    score: ClassVar[str] = "ccc"
    reported: ClassVar[tuple[str, ...]] = ("loss", "ccc", "rmse")
    training_metric: ClassVar[str] = "rmse"
    plot_name: ClassVar[str] = "scatter"
    outputs: ClassVar[int] = 2

    def head(self, outputs: keras.KerasTensor) -> keras.KerasTensor:
        """Turn the fusion's output [B, 2] into a rating: the probability of the scale's upper end.

        1 + 4 softmax = 3 + 2 tanh(half their difference): no estimate lies beyond 1 and 5, the
        first ones lie about 3, and fusions that average probabilities work as well as those of
        logits.
        """
        from keras import ops

        return 1 + 4 * ops.softmax(outputs, axis=-1)[:, 1:]

    def loss(self, train: TrainConfig) -> keras.losses.Loss:
        """Concordance and squared error, without label smoothing or clip weights."""
        from emorec_tf.tasks.losses import Concordance

        del train
        return Concordance()

    def metric(self) -> keras.metrics.Metric:
        """Keras metric of the training clips."""
        import keras

        return keras.metrics.RootMeanSquaredError(name=self.training_metric)

    def truth(self, clips: Sequence[Clip]) -> np.ndarray:
        """Ratings [N] of labelled clips."""
        return np.array([getattr(c, self.rating) for c in clips], np.float64)

    def label_of(self, clip: Clip) -> str:
        """Label of a clip, for predictions.csv."""
        return f"{getattr(clip, self.rating):.6g}"

    def predictions(self, raw: np.ndarray, temperature: float | np.ndarray | None) -> np.ndarray:
        """Take the estimates [N] out of [N, 1]; temperature does not apply."""
        del temperature
        return np.asarray(raw, np.float64)[:, 0]

    def restricted(self, clips: Sequence[Clip]) -> Regression:
        """The same task: ratings have no classes."""
        del clips
        return self

    def columns(self, prediction: np.ndarray) -> dict[str, str]:
        """Write one clip's estimate for predictions.csv."""
        return {"prediction": f"{prediction:.6g}"}

    def metrics(self, truth: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
        """CCC, PCC and RMSE, without intervals."""
        from emorec_tf.tasks import regression_metrics

        return regression_metrics.metrics(truth, predictions)

    def validation_loss(self, truth: np.ndarray, predictions: np.ndarray) -> float:
        """Return the training loss over all clips at once."""
        from emorec_tf.tasks.losses import Concordance

        return float(Concordance()(truth[:, None], predictions[:, None]))

    def scores(
        self,
        clips: Sequence[Clip],
        raw: np.ndarray,
        temperature: float | None,
        training: Sequence[Clip],
        growth: float | np.ndarray = 1.0,
    ) -> Scores:
        """All metrics, and those of a baseline: the mean rating of the training clips.

        Args:
            clips: N labelled clips.
            raw: the model's outputs [N, 1].
            temperature: written as it is; estimates are not calibrated.
            training: the training clips.
            growth: not needed.
        """
        from emorec_tf.tasks import regression_metrics

        del growth
        baseline = np.full(len(clips), self.truth(training).mean())
        speakers = [c.speaker for c in clips]
        found = regression_metrics.scores(
            self.truth(clips), self.predictions(raw, None), baseline, speakers
        )
        return {**found, "temperature": temperature}

    def read(self, rows: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
        """Read truth [N] and estimates [N] back from the rows of predictions.csv."""
        truth, estimate = ([float(row[key]) for row in rows] for key in ("label", "prediction"))
        return np.array(truth), np.array(estimate)

    def pooled(self, rows: Sequence[Mapping[str, Any]]) -> Scores:
        """All metrics of the joined rows of several folds, each with its own baseline."""
        from emorec_tf.tasks import regression_metrics

        baseline = np.array([float(row["baseline"]) for row in rows])
        return regression_metrics.scores(
            *self.read(rows), baseline, [row["speaker"] for row in rows]
        )

    def plot(self, truth: np.ndarray, predictions: np.ndarray, title: str) -> bytes:
        """Draw estimates over ratings; return a PNG."""
        from emorec_tf.tasks import plots

        return plots.png(plots.scatter_figure(truth, predictions, title))


Task: TypeAlias = Classification | Regression


def of(data: DataConfig, classes: Sequence[str]) -> Task:
    """Task of a run.

    Args:
        data: target and its scale.
        classes: as ``labels.classes_of`` returns them, () where a rating is estimated.
    """
    if data.target_scale == "continuous":
        return Regression(data.target)
    return Classification(tuple(classes))


def of_facts(facts: Mapping[str, Any]) -> Task:
    """Task of a cross-validation, from its crossval.json."""
    if facts.get("target_scale") == "continuous":
        return Regression(facts["target"])
    return Classification(tuple(facts["classes"]))

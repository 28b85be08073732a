"""What is learned, a name or a rating, and all that differs between the two.

Emotions and bins of activation and valence are named, the ratings themselves estimated. Other
modules ask ``of(data, classes)`` for the kind and need not know which one it is.
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

Figures = dict[str, Any]


@dataclass(frozen=True)
class Naming:
    """One of K classes is named: the model gives logits [B, K]."""

    classes: tuple[str, ...] = ()

    rating: ClassVar[None] = None
    score: ClassVar[str] = "uar"  # chooses the epoch: column val_uar of history.csv
    shown: ClassVar[tuple[str, ...]] = ("loss", "uar", "war")  # of validation, for each epoch
    watched: ClassVar[str] = "war"  # in training
    picture_name: ClassVar[str] = "confusion"

    @property
    def outputs(self) -> int:
        """Width of the fusion's output."""
        return len(self.classes)

    def head(self, outputs: keras.KerasTensor) -> keras.KerasTensor:
        """Leave the fusion's output [B, K] as it is: logits."""
        return outputs

    def loss(self, train: TrainConfig) -> keras.losses.Loss:
        """Cross-entropy over logits, with the label spread as the settings say."""
        import keras

        return keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=train.label_smoothing
        )

    def metric(self) -> keras.metrics.Metric:
        """Tell how training does."""
        import keras

        return keras.metrics.CategoricalAccuracy(name=self.watched)

    def truth(self, clips: Sequence[Clip]) -> np.ndarray:
        """Class ids [N] of labelled clips."""
        return np.array([self.classes.index(c.emotion) for c in clips])

    def told(self, clip: Clip) -> str:
        """Write a clip's label."""
        return clip.emotion

    def answers(self, raw: np.ndarray, temperature: float | None) -> np.ndarray:
        """Turn logits [N, K] into probabilities [N, K]."""
        from emorec_tf.tasks import calibration

        return calibration.scaled(raw, temperature or 1.0)

    def columns(self, answer: np.ndarray) -> dict[str, str]:
        """Write one clip's answer [K] for predictions.csv."""
        return {name: f"{p:.6g}" for name, p in zip(self.classes, answer, strict=True)}

    def figures(self, truth: np.ndarray, answers: np.ndarray) -> dict[str, float]:
        """UAR and WAR, without intervals."""
        from emorec_tf.tasks import metrics

        confusion = metrics.confusion_of(truth, answers.argmax(1), len(self.classes))
        return {"uar": float(metrics.uar_of(confusion)), "war": float(metrics.war_of(confusion))}

    def validation_loss(self, truth: np.ndarray, answers: np.ndarray) -> float:
        """Mean negative log-likelihood."""
        from emorec_tf.tasks import calibration

        return calibration.nll(answers, truth)

    def scores(
        self,
        clips: Sequence[Clip],
        raw: np.ndarray,
        temperature: float | None,
        training: Sequence[Clip],
    ) -> Figures:
        """All figures of labelled clips and what the model made of them, for metrics.json."""
        from emorec_tf.tasks import calibration

        del training
        ids, before, after = (
            self.truth(clips),
            self.answers(raw, None),
            self.answers(raw, temperature),
        )
        names, speakers = [c.emotion for c in clips], [c.speaker for c in clips]
        return {
            **self._all_figures(names, after, speakers),
            "temperature": temperature,
            "ece_before": calibration.ece(before, ids),
            "nll_before": calibration.nll(before, ids),
        }

    def read(self, rows: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
        """Read truth [N] and answers [N, K] back from the rows of predictions.csv."""
        ids = np.array([self.classes.index(row["label"]) for row in rows])
        return ids, np.array([[float(row[name]) for name in self.classes] for row in rows])

    def pooled(self, rows: Sequence[Mapping[str, Any]]) -> Figures:
        """All figures of the joined rows of several folds."""
        names, speakers = ([row[key] for row in rows] for key in ("label", "speaker"))
        return self._all_figures(names, self.read(rows)[1], speakers)

    def _all_figures(
        self, names: Sequence[str], shares: np.ndarray, speakers: Sequence[str]
    ) -> Figures:
        from emorec_tf.tasks import calibration, metrics

        ids = np.array([self.classes.index(name) for name in names])
        return {
            **metrics.scores(names, shares, self.classes, speakers),
            "ece": calibration.ece(shares, ids),
            "brier": calibration.brier(shares, ids),
            "nll": calibration.nll(shares, ids),
        }

    def picture(self, truth: np.ndarray, answers: np.ndarray, title: str) -> bytes:
        """Draw the confusion; return a PNG."""
        from emorec_tf.tasks import metrics, plots

        confusion = metrics.confusion_of(truth, answers.argmax(1), len(self.classes))
        return plots.confusion_picture(confusion.tolist(), self.classes, title)


@dataclass(frozen=True)
class Rating:
    """A rating from 1 to 5 is estimated: the model gives it, [B, 1]."""

    rating: str  # activation or valence

    classes: ClassVar[tuple[str, ...]] = ()
    score: ClassVar[str] = "ccc"
    shown: ClassVar[tuple[str, ...]] = ("loss", "ccc", "rmse")
    watched: ClassVar[str] = "rmse"
    picture_name: ClassVar[str] = "scatter"
    outputs: ClassVar[int] = 2

    def head(self, outputs: keras.KerasTensor) -> keras.KerasTensor:
        """Turn the fusion's output [B, 2] into a rating: how likely is the scale's upper end?

        1 + 4 softmax = 3 + 2 tanh(half their difference): no answer lies beyond 1 and 5, the first
        ones lie about 3, and fusions that average probabilities work as well as those of logits.
        """
        from keras import ops

        return 1 + 4 * ops.softmax(outputs, axis=-1)[:, 1:]

    def loss(self, train: TrainConfig) -> keras.losses.Loss:
        """Concordance and squared error; labels are not smoothed, nor clips weighted."""
        from emorec_tf.tasks.losses import Concordance

        del train
        return Concordance()

    def metric(self) -> keras.metrics.Metric:
        """Tell how training does."""
        import keras

        return keras.metrics.RootMeanSquaredError(name=self.watched)

    def truth(self, clips: Sequence[Clip]) -> np.ndarray:
        """Ratings [N] of labelled clips."""
        return np.array([getattr(c, self.rating) for c in clips], np.float64)

    def told(self, clip: Clip) -> str:
        """Write a clip's label."""
        return f"{getattr(clip, self.rating):.6g}"

    def answers(self, raw: np.ndarray, temperature: float | None) -> np.ndarray:
        """Take the estimates [N] out of [N, 1]; they have no temperature."""
        del temperature
        return np.asarray(raw, np.float64)[:, 0]

    def columns(self, answer: np.ndarray) -> dict[str, str]:
        """Write one clip's answer for predictions.csv."""
        return {"prediction": f"{answer:.6g}"}

    def figures(self, truth: np.ndarray, answers: np.ndarray) -> dict[str, float]:
        """CCC, PCC and RMSE, without intervals."""
        from emorec_tf.tasks import regression_metrics

        return regression_metrics.figures(truth, answers)

    def validation_loss(self, truth: np.ndarray, answers: np.ndarray) -> float:
        """Return the loss of training over all clips at once."""
        from emorec_tf.tasks.losses import Concordance

        return float(Concordance()(truth[:, None], answers[:, None]))

    def scores(
        self,
        clips: Sequence[Clip],
        raw: np.ndarray,
        temperature: float | None,
        training: Sequence[Clip],
    ) -> Figures:
        """All figures, beside those of answering the mean rating of the training clips."""
        from emorec_tf.tasks import regression_metrics

        baseline = np.full(len(clips), self.truth(training).mean())
        speakers = [c.speaker for c in clips]
        found = regression_metrics.scores(
            self.truth(clips), self.answers(raw, None), baseline, speakers
        )
        return {**found, "temperature": temperature}

    def read(self, rows: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
        """Read truth [N] and answers [N] back from the rows of predictions.csv."""
        truth, told = ([float(row[key]) for row in rows] for key in ("label", "prediction"))
        return np.array(truth), np.array(told)

    def pooled(self, rows: Sequence[Mapping[str, Any]]) -> Figures:
        """All figures of the joined rows of several folds, each with its own baseline."""
        from emorec_tf.tasks import regression_metrics

        baseline = np.array([float(row["baseline"]) for row in rows])
        return regression_metrics.scores(
            *self.read(rows), baseline, [row["speaker"] for row in rows]
        )

    def picture(self, truth: np.ndarray, answers: np.ndarray, title: str) -> bytes:
        """Draw estimates over ratings; return a PNG."""
        from emorec_tf.tasks import plots

        return plots.png(plots.scatter_figure(truth, answers, title))


Task: TypeAlias = Naming | Rating


def of(data: DataConfig, classes: Sequence[str]) -> Task:
    """Tell which kind it is.

    Args:
        data: target and its scale.
        classes: as ``classes.classes_of`` gives them, () where a rating is estimated.
    """
    return Rating(data.target) if data.target_scale == "continuous" else Naming(tuple(classes))


def of_facts(facts: Mapping[str, Any]) -> Task:
    """Tell it from what a cross-validation wrote of itself."""
    rated = facts.get("target_scale") == "continuous"
    return Rating(facts["target"]) if rated else Naming(tuple(facts["classes"]))

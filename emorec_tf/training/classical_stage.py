"""A classical head on the features of branches, fitted in place of training by gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emorec_tf.config import choices
from emorec_tf.config.clip import Clip
from emorec_tf.models.classical import set_scale
from emorec_tf.training import feature_standard, kept_rows, run_dir
from emorec_tf.training.enrolment import set_of
from emorec_tf.training.run_dir import Run

if TYPE_CHECKING:
    import keras

    from emorec_tf.models.classical.classifiers import Search
    from emorec_tf.models.classical.head_search import Rows
    from emorec_tf.training.experiment import Experiment
    from emorec_tf.training.speaker_adaptation import SpeakerAdapter


class FeatureRows:
    """Reads features of clips as the rows that classical heads are fitted to."""

    def __init__(
        self, features: keras.Model, experiment: Experiment, adapter: SpeakerAdapter, search: Search
    ) -> None:
        """Prepare to read.

        Args:
            features: branches with their weights; gives [B, E].
            experiment: has records and task.
            adapter: of the speakers of training and validation.
            search: says whether the head itself uses the speaker's mean.
        """
        self.features, self.experiment, self.adapter = features, experiment, adapter
        self.data = experiment.settings.data
        adapt = self.data.adapt
        self.enrolled = adapt if isinstance(adapt, int) else 0  # clips of each set
        self.weighed = bool(self.enrolled and search.fit_speakers)
        sets = adapter.features_of_sets(features) if self.enrolled else {}
        self.means = {name: np.mean(rows, axis=0) for name, rows in sets.items()}
        self.pooled: np.ndarray | None = None  # deviation within training sets
        self.scales: dict[str, np.ndarray] = {}
        if self.data.adapt_spread:
            trained = {set_of(clip, self.data.adapt_by) for clip in experiment.train}
            self.pooled = set_scale.pooled_deviation({n: sets[n] for n in sorted(trained)})
            self.scales = {n: set_scale.scale_of(rows, self.pooled) for n, rows in sets.items()}
        self.plain: dict[str, np.ndarray] = {}  # features of clips as recorded, by id
        self.balanced = experiment.settings.train.balance == "corpora"
        train = experiment.settings.train
        self.copies = train.augmented_copies, train.channel_copies
        self.keeps = kept_rows.is_possible(experiment.settings)
        self.silent: set[str] = set()  # ids of clips without a face or audio that branches use

    def read(
        self, clips: Sequence[Clip], copy: Any = None, number: int | None = None
    ) -> tuple[Rows, list[str]]:
        """Rows of clips, or of their copies of this number, and their ids in the same order."""
        from emorec_tf.models.classical import head_search
        from emorec_tf.training import logits

        def compute(some: Sequence[Clip]) -> tuple[np.ndarray, list[Clip]]:
            batches = logits.ClipBatches(self.experiment.records, some)
            return logits.logits_of(self.features, batches, self.adapter, copy)

        if self.keeps:
            purpose = "clips" if copy is None else f"copy {number} of {self.copies}"
            given = self.experiment.settings, self.experiment.records
            key = kept_rows.key_of(self.features, *given, purpose)
            values, clips = kept_rows.rows_of(key, clips, compute)
        else:
            values, clips = compute(clips)
        ids = [clip.clip_id for clip in clips]
        self.silent.update(i for i, row in zip(ids, values, strict=True) if not row.any())
        speakers = np.array([clip.speaker for clip in clips])
        if copy is None and not self.enrolled:
            self.plain.update(zip(ids, values, strict=True))
        sets = [set_of(clip, self.data.adapt_by) for clip in clips]
        means = np.stack([self.means[name] for name in sets]) if self.means else None
        if means is not None and self.scales:
            values = means + (values - means) * np.stack([self.scales[name] for name in sets])
        if means is not None and not self.weighed:
            values, means = values - means, None
        truth = self.experiment.task.truth(clips)
        rows = head_search.Rows(values, truth, speakers, means, self.enrolled, self.balanced)
        return rows, ids

    def write_standard(self, run: Run, clips: Sequence[Clip]) -> None:
        """Keep in the run what the features of these clips are like; they were read before."""
        rows = np.stack([self.plain[clip.clip_id] for clip in clips])
        feature_standard.write(run, feature_standard.measured(rows, clips))


def with_classifier(
    features: keras.Model, run: Run, experiment: Experiment, adapter: SpeakerAdapter
) -> keras.Model:
    """Search a classical head on a model's features, and put it on.

    Heads are fitted to the training clips; inner folds choose among them, or the validation
    speakers where there are no inner folds. With ``refit`` a head that is fitted to both is saved
    as the run's model.

    Args:
        features: branches with their weights; gives [B, E].
        run: trials are kept in its ``search`` folder, answers of inner folds beside it.
        experiment: has the clips.
        adapter: of the speakers of training and validation.
    """
    from emorec_tf.models.classical import head_layers, head_search
    from emorec_tf.records import voice_perturbation
    from emorec_tf.training import shift_answers

    settings, train = experiment.settings, experiment.settings.train
    by_class = train.class_weights and train.balance == "none"  # else the rows have weights
    search = choices.resolve("classifier", settings.model.classifier)(by_class)
    reader = FeatureRows(features, experiment, adapter, search)
    enrolled = reader.enrolled > 0
    counts = train.augmented_copies, train.channel_copies
    copies = voice_perturbation.copies(settings.features, *counts)
    subsets = experiment.train, experiment.scored("validation")
    (training, ids), (validation, later_ids) = (reader.read(clips) for clips in subsets)
    varied = [reader.read(experiment.train, copy, n)[0] for n, copy in enumerate(copies)]
    fitting = head_search.joined([training, *varied])
    everything = fitting
    if train.refit:
        later = [reader.read(subsets[1], copy, n)[0] for n, copy in enumerate(copies)]
        everything = head_search.joined([training, validation, *varied, *later])
    if train.inner_folds:
        best = _best_of_inner_folds(search, run, reader, everything, [*ids, *later_ids])
        shift_answers.collect(run, search, best, everything, [*ids, *later_ids])
        scaled = None
    else:
        parts = head_search.parts_of(search, [(fitting, validation)])
        best = head_search.find(search, parts, run.folder / "search", train.seed)
        scaled = parts[0][0]  # was fitted to the same rows
    found = head_search.fitted(search, best, fitting, scaled)
    if train.refit:
        again = head_search.fitted(search, best, everything)
        whole = head_layers.with_head(features, again, enrolled, reader.pooled)
        run_dir.save_model(whole, run.model_file)
    if not enrolled:
        reader.write_standard(run, [*subsets[0], *subsets[1]] if train.refit else subsets[0])
    return head_layers.with_head(features, found, enrolled, reader.pooled)


def _best_of_inner_folds(
    search: Search, run: Run, reader: FeatureRows, rows: Rows, clip_ids: Sequence[str]
) -> Any:
    """Choose a head's settings by inner folds; write their predictions."""
    from emorec_tf.models.classical import head_search
    from emorec_tf.training import inner_cv

    train = reader.experiment.settings.train
    unscored = {clip.clip_id for clip in reader.experiment.unscored_in_inner_folds}
    rounds, judged = inner_cv.rounds(rows, clip_ids, train.inner_folds, unscored)
    parts = head_search.parts_of(search, rounds)
    best = head_search.find(search, parts, run.folder / "search", train.seed)
    answers = head_search.answered(search, best, parts)
    answers[[clip_id in reader.silent for clip_id in judged]] = 0
    labels = np.concatenate([scored.labels for _, scored in rounds])
    inner_cv.write(run, judged, answers, labels)
    return best

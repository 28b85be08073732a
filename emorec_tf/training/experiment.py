"""An experiment: settings, records, labelled clips and the speakers of each subset.

It is made once, checked for leaks, and passed on as a whole. No TensorFlow here.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from emorec_tf.config import choices, config
from emorec_tf.config.clip import Clip
from emorec_tf.config.config import Config
from emorec_tf.datasets import corpora
from emorec_tf.datasets.labels import classes_of, labelled, left_out, map_line
from emorec_tf.errors import UserError
from emorec_tf.records import joining, prepare_records
from emorec_tf.records.records_dir import Records
from emorec_tf.splits import leaks, splits
from emorec_tf.splits.splits import Split
from emorec_tf.tasks import tasks
from emorec_tf.training import checks
from emorec_tf.training.distributed import cluster
from emorec_tf.training.enrolment import enrolment_clips, usable
from emorec_tf.training.run_dir import Run

PREPARED = ("channel", "label_map")  # settings that records may have been made with
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Experiment:
    """What a run learns from, and what it is scored on. Made by ``make`` or ``of_run``.

    Attributes:
        settings: complete; ``features`` are those of the records.
        records: opened and checked.
        split: speakers of each subset.
        clips: all labelled clips of the records, also those of no subset.
        subsets: clips of ``train``, ``validation`` and ``test``.
        classes: names in the order of class ids; () where a rating is estimated.
    """

    settings: Config
    records: Records
    split: Split
    clips: Sequence[Clip]
    subsets: Mapping[str, Sequence[Clip]]
    classes: tuple[str, ...]

    @property
    def task(self) -> tasks.Task:
        """What is learned, and how that is scored."""
        return tasks.of(self.settings.data, self.classes)

    @property
    def train(self) -> Sequence[Clip]:
        """Training clips."""
        return self.subsets["train"]

    @property
    def train_and_validation(self) -> list[Clip]:
        """All clips that a run may look at before it is tested."""
        return [*self.subsets["train"], *self.subsets["validation"]]

    @cached_property
    def unused(self) -> tuple[str, ...]:
        """Modalities that the fusion uses and no training clip has: nothing trains their branch.

        () of an ensemble, whose members are trained by themselves.
        """
        if self.settings.model.ensemble:
            return ()
        found = self.records.modalities
        there = frozenset().union(*(found[clip.clip_id] for clip in self.train))
        uses = choices.facts("fusion", self.settings.model.fusion).uses
        return tuple(kind for kind in uses if kind not in there)

    @cached_property
    def enrolment(self) -> list[Clip]:
        """Enrolment clips of all sets of the subsets; [] without ``--adapt K``.

        Raises:
            UserError: a speaker has too few clips.
        """
        every = [clip for subset in self.subsets.values() for clip in subset]
        return enrolment_clips(
            self.same_speakers(every), self.settings.data, self.settings.train.seed
        )

    @cached_property
    def usable_enrolment(self) -> dict[str, list[Clip]]:
        """Enrolment clips that count, by set: those that have what is learned from them.

        That is audio, whose scale is measured, and under a classical head all that it is given.

        Raises:
            UserError: a speaker has too few clips, or none that counts.
        """
        model = self.settings.model
        if not self.enrolment or model.ensemble:  # members are checked by themselves
            return {}
        uses = set(choices.facts("fusion", model.fusion).uses) - set(self.unused)
        needed = uses if choices.parse(model.classifier)[0] != "none" else uses & {"audio"}
        by = self.settings.data.adapt_by
        return usable(self.enrolment, self.records.modalities, needed, by)

    @property
    def unscored_in_inner_folds(self) -> list[Clip]:
        """Clips that inner folds do not score: enrolment clips of the training speakers.

        The enrolment clips of validation speakers are left out beforehand, so as many of their
        other clips are drawn again. All published results were made this way.

        Raises:
            UserError: a speaker has too few clips.
        """
        clips = [*self.train, *self.scored("validation")]
        return enrolment_clips(clips, self.settings.data, self.settings.train.seed)

    def scored(self, subset: str) -> list[Clip]:
        """Clips of a subset without the enrolment clips."""
        taken = {clip.clip_id for clip in self.enrolment}
        return [clip for clip in self.subsets[subset] if clip.clip_id not in taken]

    def same_speakers(self, clips: Iterable[Clip]) -> list[Clip]:
        """All clips of the speakers of these clips."""
        return splits.clips_of(self.clips, {clip.speaker for clip in clips})

    def with_settings(self, settings: Config) -> Experiment:
        """The same data and split with other settings of model or training."""
        return dataclasses.replace(self, settings=settings)

    def summary(self) -> str:
        """Describe in one line the training data and the test speakers."""
        data, subsets = self.settings.data, self.subsets
        tested = f"test speakers {', '.join(self.split.test)} are held out"
        if corpora.parts_of(data.dataset):
            tested = f"{', '.join(self.split.test)} images are held out; people are not identified"
        if not self.split.test:
            tested = "no speaker is held out to test it on"
        if self.split.leaky:
            tested = "LEAKY: clips, not speakers, were assigned to the subsets"
        line = map_line(self.records.clips, data.label_map)
        changed = f"; label map: {line}" if line else ""
        return (
            f"{data.dataset}: {len(subsets['train'])} training, {len(subsets['validation'])} "
            f"validation clips{left_out(self.records.clips, data)}{changed}; {tested}"
        )


def resolve(given: Mapping[str, Any], *, show_progress: bool = False) -> tuple[Config, Records]:
    """Complete settings from the records they name, and open these.

    Args:
        given: flat ``{field: value}``, only what the user set; features among them are compared
            with those of the records. Without ``records``, those of the demo corpus are made.
        show_progress: draw a progress bar while they are made.

    Raises:
        UserError: unknown choices, no such records, or records of other settings.
    """
    wanted = {k: v for k, v in given.items() if config.section_of(k) == "features"}
    settings = config.build(given)
    for kind in choices.NETWORK:
        choices.check(kind, getattr(settings.model, kind))
    if settings.data.records is None:
        cluster.refuse("preparing the demo corpus", "give --records on a disk that all share")
        dataset = given.get("dataset", "demo")
        if dataset != "demo":
            raise UserError(
                f"dataset {dataset} needs its clips: give train --source FOLDER, or --records as "
                f"prepare --dataset {dataset} --source FOLDER --records FOLDER writes"
            )
        checks.check_settings(settings)  # before the corpus is made
        _LOG.info("no --records given: training on the built-in demo corpus")
        folder = prepare_records.demo_records(settings.features, show_progress=show_progress)
        settings = config.build({"records": str(folder), "dataset": "demo"}, settings)
    records = joining.open_all(str(settings.data.records), wanted)
    dataset = records.manifest["dataset"]
    if given.get("dataset", dataset) != dataset:
        raise UserError(f"records {records.folder} hold {dataset}, not {given['dataset']}")
    known = {k: records.manifest[k] for k in PREPARED if k in records.manifest and k not in given}
    settings = config.build({"dataset": dataset, **known}, settings)
    settings = dataclasses.replace(settings, features=records.features)
    checks.check_settings(settings)
    checks.note_ignored_features(settings)
    checks.note_unchanged_audio(settings)
    return settings, records


def make(settings: Config, records: Records, split: Split | None = None) -> Experiment:
    """Label the clips, split them and look for leaks.

    Args:
        settings: complete, as ``resolve`` gives them.
        records: of these settings.
        split: None: as ``settings.data`` says.

    Raises:
        UserError: an impossible or leaking split.
    """
    clips = labelled(records.clips, settings.data)
    classes = classes_of(clips, settings.data)
    split = split or splits.make(clips, settings.data, settings.train.seed)
    split = dataclasses.replace(split, leaky=True) if records.unnamed else split
    subsets = split.clips(clips)
    leaks.guard(subsets, records.audio_hashes, split.leaky)
    return Experiment(settings, records, split, clips, subsets, classes)


def check_speakers(records: Records, leaky: bool) -> None:
    """Refuse a protocol that would separate speakers where each clip counts as its own.

    Raises:
        UserError: so it would.
    """
    if records.unnamed and not leaky:
        raise UserError(
            f"records {records.folder} were prepared with --speakers clips: nothing separates "
            "people; give --protocol leaky_kfold:5, whose scores are stamped LEAKY"
        )


def of_run(run: Run, records: Records) -> Experiment:
    """The experiment of an existing run.

    Raises:
        UserError: records of other settings, or test speakers that are not in them.
    """
    if records.features != run.config.features:
        raise UserError(
            f"records {records.folder} (fingerprint {records.features.fingerprint()}) were made "
            f"with other feature settings than the run's ({run.config.features.fingerprint()})"
        )
    clips = labelled(records.clips, run.config.data)
    subsets = run.split.clips(clips)
    present = {clip.clip_id if run.split.leaky else clip.speaker for clip in subsets["test"]}
    missing = sorted(set(run.split.test) - present, key=splits.natural)
    if missing:
        what = "clips" if run.split.leaky else "speakers"
        raise UserError(f"test {what} {', '.join(missing[:12])} are not in {records.folder}")
    return Experiment(run.config, records, run.split, clips, subsets, run.classes)

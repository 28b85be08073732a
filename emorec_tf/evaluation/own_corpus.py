"""From a folder of labelled clips to a scored model of all speakers: ``train --source``.

The corpus is recognised by its names and prepared into the cache folder. A cross-validation over
the speakers says how good the settings are; then one run is trained on all speakers, with the
temperature of the cross-validation. The same call goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emorec_tf.config import config
from emorec_tf.config.clip import Clip
from emorec_tf.config.config import Config
from emorec_tf.datasets import corpora, detection
from emorec_tf.datasets.corpus import CLIPS, NAMED
from emorec_tf.datasets.discovery import AUDIO_SUFFIXES, files_below, suffix_of, usable
from emorec_tf.datasets.labels import class_names, labelled
from emorec_tf.errors import UserError
from emorec_tf.evaluation import crossval_results, crossvalidation, out_of_fold, score_run
from emorec_tf.evaluation.crossvalidation import CrossValidation
from emorec_tf.records import cached_records
from emorec_tf.records.records_dir import Records
from emorec_tf.splits import corpus_folds, generic_folds, splits
from emorec_tf.splits.generic_folds import Fold
from emorec_tf.splits.splits import Split
from emorec_tf.storage.files import write_atomically
from emorec_tf.storage.paths import place, size_of
from emorec_tf.training import experiment as experiments
from emorec_tf.training import small_data, stages, train_run
from emorec_tf.training.run_dir import Run

MOST_FOLDS = 5
SUBSETS = ("train_speakers", "validation_speakers", "test_speakers")
SELECTION = ("label", "channel", "modality")
TWO = (
    "two speakers: each is tested once by a model of the other, whose own clips also choose the "
    "temperature"
)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """The clips, and how they are read.

    Attributes:
        folder: of the clips, or a table of them.
        dataset: name of a corpus; None: it is recognised.
        speakers: "named", or "clips": see ``listing.clips``.
        columns: names of the columns of a table, see ``listing.clips``.
    """

    folder: str
    dataset: str | None = None
    speakers: str = NAMED
    columns: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What was trained and how it scored.

    Attributes:
        run: trained on all speakers, or on those that the settings name.
        metrics: of the cross-validation, or of the run's test speakers; {}: nothing was scored.
        crossval: folder of the cross-validation; None: there is none.
        clip: a file of the source, for an example; "" where a table names them.
    """

    run: Run
    metrics: Mapping[str, Any]
    crossval: Path | None
    clip: str


@dataclass(frozen=True)
class Plan:
    """Folds of the cross-validation, and what the last run is trained on.

    Attributes:
        protocol: of the folds.
        folds: [] where there can be none.
        last: split of the last run; None: as its settings say.
        note: what is not as usual; "" where nothing is.
    """

    protocol: str
    folds: list[Fold]
    last: Split | None
    note: str = ""


def train(
    source: Source,
    given: Mapping[str, Any],
    run: str | Path | None = None,
    *,
    overwrite: bool = False,
    show_progress: bool = False,
) -> Outcome:
    """Recognise, prepare, cross-validate and train; go on where the same call stopped.

    Args:
        source: the clips.
        given: flat ``{field: value}``, only what the user set.
        run: folder of the run; None: ``runs/`` with the name of the source. The cross-validation
            goes beside it, with ``-cv`` at the end.
        overwrite: remove earlier runs there.
        show_progress: draw a progress bar while clips are decoded.

    Raises:
        UserError: no clips, or clips that cannot be trained on.
    """
    target = Path(run or f"runs/{_name_of(source.folder)}")
    records = _prepared(source, given, show_progress)
    draft = config.build({**given, "dataset": records.manifest["dataset"]})
    clips = labelled(records.clips, draft.data)
    _LOG.info("%s", _counted(clips, records))
    plan = _plan(clips, records, given)
    values = dict(given)
    if small_data.applies(given):
        place_of = target.parent / stages.FOLDER / target.name
        values = _recipe(clips, records, plan, draft, place_of) | values
    settings, records = experiments.resolve({**values, "records": str(records.folder)})
    if plan.note and not plan.folds:  # else the cross-validation logs it
        _LOG.info("note: %s", plan.note)
    metrics, folder = _cross_validated(settings, records, plan, target, overwrite)
    if not any(given.get(name) for name in SUBSETS) and plan.protocol:
        settings = config.build({"test_speakers": splits.NO_SPEAKERS}, settings)
    made = train_run.train(
        experiments.make(settings, records, plan.last), target, overwrite=overwrite
    )
    if folder is not None:
        _set_temperature(made, folder)
    elif made.split.test:
        metrics = score_run.evaluate(made, records, robustness=False)
    return Outcome(made, metrics, folder, _example(source.folder))


def _name_of(source: str) -> str:
    """A name for a folder of runs."""
    first = Path(source.split(",")[0]).resolve().stem
    return re.sub(r"[^\w.-]+", "-", first).strip("-.") or "own"


def _prepared(source: Source, given: Mapping[str, Any], show_progress: bool) -> Records:
    """Recognise the corpus and prepare it in the cache folder."""
    dataset = source.dataset or detection.recognised(source.folder)
    parts = source.folder.split(",") if "+" in dataset else [source.folder]
    values = dict(given)
    if small_data.applies(given):
        values = small_data.features(faces=not all(map(_audio_only, parts))) | values
    values = {n: v for n, v in values.items() if config.section_of(n) == "features"}
    selection = {name: given[name] for name in SELECTION if name in given}
    if source.speakers == CLIPS:
        selection["speakers"] = CLIPS
    return cached_records.of_source(
        source.folder,
        dataset,
        config.build(values).features,
        show_progress=show_progress,
        contents=_contents(parts),
        columns=source.columns,
        **selection,
    )


def _audio_only(source: str) -> bool:
    """Whether the clips of a folder are audio files alone."""
    if not place(source).is_dir():
        return False
    inside = usable(files_below(source))
    return bool(inside) and all(suffix_of(path) in AUDIO_SUFFIXES for path in inside)


def _contents(sources: Sequence[str]) -> str:
    """Hash of the names and sizes of all files, so that changed clips are other records."""
    found = hashlib.sha256()
    for source in sources:
        root = place(source.strip())
        if root.is_file():
            found.update(root.read_bytes())
            continue
        for path in files_below(str(root)):
            found.update(f"{path} {size_of(root / path)}\n".encode())
    return found.hexdigest()[:12]


def _counted(clips: Sequence[Clip], records: Records) -> str:
    """Say in a line what was found."""
    counts = Counter(clip.emotion for clip in clips)
    classes = ", ".join(f"{name} {counts[name]}" for name in class_names(counts))
    people = len(splits.speakers_of(clips))
    by = "speakers not known" if records.unnamed else f"{people} speaker{'s' * (people != 1)}"
    if corpora.parts_of(str(records.manifest["dataset"])):
        by = "people not identified"
    return f"{len(clips)} clips, {by}, {len(counts)} classes: {classes}"


def _plan(clips: Sequence[Clip], records: Records, given: Mapping[str, Any]) -> Plan:
    """Choose the folds by how many speakers there are."""
    named = [name for name in SUBSETS if given.get(name)]
    if named:
        return Plan("", [], None, f"{', '.join(named)} given: one split, no cross-validation")
    if corpora.parts_of(str(records.manifest["dataset"])):
        return Plan("", [], None, "people are not identified: one split, no cross-validation")
    speakers = len(splits.speakers_of(clips))
    if records.unnamed:
        folds, _ = generic_folds.generate("leaky_kfold", str(MOST_FOLDS), clips)
        return Plan(f"leaky_kfold:{MOST_FOLDS}", folds, None)
    folds = corpus_folds.within(clips, MOST_FOLDS)
    last = corpus_folds.whole("last", {"": clips}).split if speakers < 3 else None
    if not folds:
        note = (
            "one speaker: no cross-validation, and nothing is known about how well the model does "
            "on others; give clips of at least three"
        )
        return Plan("group_kfold", [], last, note)
    return Plan(f"group_kfold:{len(folds)}", folds, last, TWO if last else "")


def _recipe(
    clips: Sequence[Clip], records: Records, plan: Plan, draft: Config, folder: Path
) -> dict[str, Any]:
    """Settings of the recipe, for the smallest training there will be."""
    every = [fold.split for fold in plan.folds] + ([plan.last] if plan.last else [])
    every = every or [splits.make(clips, draft.data, draft.train.seed)]
    trainings = [split.clips(clips) for split in every]
    counts = [len(found["train"]) for found in trainings]
    people = [len({c.speaker for c in f["train"] + f["validation"]}) for f in trainings]
    modalities = frozenset().union(*records.modalities.values())
    size = max(1, min([*counts, Config().train.batch_size]))
    _LOG.info("recipe %s (configs/%s.yaml); --config or a flag chooses another model",
              small_data.NAME, small_data.NAME)  # fmt: skip
    return small_data.settings(modalities, min(people), size, folder)


def _cross_validated(
    settings: Config, records: Records, plan: Plan, target: Path, overwrite: bool
) -> tuple[Mapping[str, Any], Path | None]:
    """Metrics and folder of the cross-validation; ({}, None) where there can be none."""
    if not plan.folds:
        return {}, None
    folder = target.with_name(f"{target.name}-cv")
    if plan.last is None:
        planned = crossvalidation.plan(settings, records, plan.protocol)
    else:
        planned = CrossValidation(settings, records, plan.protocol, tuple(plan.folds), (plan.note,))
    try:
        crossvalidation.check_folds(planned, planned.folds, folder, networks=False)
    except UserError as error:
        _LOG.warning("no cross-validation: %s", error)
        return {}, None
    _LOG.info("cross-validation in %d folds, in %s", len(planned.folds), folder)
    metrics = crossvalidation.crossval(
        planned, folder, seeds=1, overwrite=overwrite, robustness=False
    )
    return metrics, folder


def _set_temperature(run: Run, folder: Path) -> None:
    """Give a run of all speakers the temperature of its cross-validation."""
    if not run.classes:
        return
    evaluated = crossval_results.read(str(folder))
    file = run.folder / "temperature.json"
    facts = json.loads(file.read_text(encoding="utf-8"))
    facts |= {
        "temperature": out_of_fold.temperature(evaluated),
        "fitted_to": f"out-of-fold predictions of {evaluated.name}",
    }
    kept = {n: v for n, v in facts.items() if not n.startswith(("validation_", "temperature_"))}
    write_atomically(file, json.dumps(kept, indent=1))


def _example(source: str) -> str:
    """Path of one clip of a folder."""
    if not place(source).is_dir():
        return ""
    inside = usable(files_below(source))
    return str(place(source) / inside[0]) if inside else ""

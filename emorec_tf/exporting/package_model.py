"""Package a run for the model store: weights, settings, temperature, card, licence, checksums.

The package is a run directory without what only training needs; ``predict`` and the API verify its
checksums. A final model, trained on all speakers, is evaluated by the cross-validation of the same
settings, and takes its model card and temperature.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorec_tf.config.config import comparable, flat, to_yaml
from emorec_tf.errors import UserError
from emorec_tf.evaluation import familiarity_card, out_of_fold, run_card
from emorec_tf.evaluation.matrix_section import matrix_section, with_section
from emorec_tf.exporting import composed_run, licences
from emorec_tf.exporting.local_paths import shortened, without_local_paths
from emorec_tf.storage import paths
from emorec_tf.storage.files import put_in_place, remove, write_atomically
from emorec_tf.training import networks_inside, run_dir, shared_weights
from emorec_tf.training.model_store import SUMS
from emorec_tf.training.run_dir import Run

if TYPE_CHECKING:
    from emorec_tf.evaluation.crossval_results import FinishedRun

# set by each fold of a cross-validation, paths, and settings that change no result
MAY_DIFFER = ("records", "seed", "train_speakers", "validation_speakers", "test_speakers",
              "precision", *run_dir.NO_MATTER)  # fmt: skip


def package(
    trained: Run,
    out: Path,
    evaluated: FinishedRun | None,
    note: str | None = None,
    overwrite: bool = False,
    matrix: Mapping[str, Any] | None = None,
    share: str = "",
) -> None:
    """Write the package under a temporary name, then rename it.

    Args:
        trained: a finished run.
        out: the folder; its name becomes the model's name.
        evaluated: cross-validation of the same settings, for a run without test speakers; None: use
            the run's own test and temperature.
        note: a paragraph for the card.
        overwrite: replace an earlier package there, never anything else.
        matrix: of corpora (``crosscorpus_files.read``), whose row of this model goes into the card.
        share: comma list of packaged models beside ``out``, whose files keep the weights that this
            model has in common with them.

    Raises:
        UserError: a run that is not finished or not calibrated, a cross-validation of other
            settings, with leaks or without its card, models to share with that are not beside
            ``out`` or have nothing in common, or ``out`` exists.
    """
    if not trained.is_finished():
        raise UserError(
            f"run {trained.folder} is not finished; repeat the train command to resume it"
        )
    if trained.members:
        raise UserError(f"run {trained.folder} refers to packaged models; name them with --members")
    check_same(trained, evaluated)
    corpora = matrix_section(trained, out.name, matrix) if matrix else ""
    others = [run.model_file for run in composed_run.beside(share, out).values()]

    def fill_and_share(draft: Path) -> None:
        fill(draft, out.name, trained, evaluated, note, corpora)
        if others and not shared_weights.share(draft / trained.model_file.name, others):
            raise UserError(f"{out.name} has no weights in common with {share}; drop --share")

    write_folder(out, overwrite, fill_and_share)


def write_folder(out: Path, overwrite: bool, fill: Callable[[Path], None]) -> None:
    """Write a package under a temporary name, then rename it.

    Args:
        out: the folder.
        overwrite: replace an earlier package there, never anything else.
        fill: writes all files but the checksums into the folder that it is given.

    Raises:
        UserError: ``out`` exists.
    """
    if out.exists() and not (overwrite and (out / SUMS).exists()):
        more = "add --overwrite" if (out / SUMS).exists() else "give another --out"
        raise UserError(f"{out} exists; {more}")
    draft = out.with_name(f".{out.name}.incomplete")
    remove(draft)
    draft.mkdir(parents=True)
    try:
        fill(draft)
        write_sums(draft)
        put_in_place(draft, out)
    finally:
        remove(draft)


def check_same(trained: Run, evaluated: FinishedRun | None) -> None:
    """Refuse a cross-validation that does not apply to this run."""
    if evaluated is None:
        if trained.temperature is None and trained.classes:
            raise UserError(f"run {trained.folder} is not calibrated; evaluate does it")
        return
    where = evaluated.folders[0]
    if trained.split.test:
        raise UserError(f"run {trained.folder} has test speakers of its own; drop --crossval")
    if evaluated.leaky:
        raise UserError(f"{where} is LEAKY: it says nothing about new speakers; use another one")
    if evaluated.missing:
        raise UserError(f"{where} is unfinished; repeat the crossval command")
    own, theirs = comparable(flat(trained.config)), comparable(evaluated.facts["config"])
    names = [n for n in own if n in theirs and own[n] != theirs[n] and n not in MAY_DIFFER]
    if names or evaluated.classes != trained.classes:
        differ = ", ".join(names) or "classes"
        raise UserError(f"{where} has other settings than {trained.folder} ({differ})")
    if not (where / run_card.CARD).exists():
        raise UserError(f"{where} has no {run_card.CARD}; run python -m emorec_tf.report on it")


def fill(
    folder: Path,
    name: str,
    trained: Run,
    evaluated: FinishedRun | None,
    note: str | None,
    corpora: str = "",
) -> None:
    """Write all files but the checksums."""
    settings = without_local_paths(trained.config)
    write_atomically(folder / "config.yaml", to_yaml(settings))
    write_atomically(folder / "labels.txt", "".join(f"{label}\n" for label in trained.classes))
    packaged = dataclasses.replace(
        trained,
        folder=folder,
        config=settings,
        steps={},
        source=with_pretrained(trained),
        unused=unused(trained),
    )
    run_dir.write_facts(packaged)
    run_dir.write_history(packaged, trained.history)
    model = run_dir.load_model(trained.model_file)  # not compiled, so without the optimiser's state
    run_dir.save_model(model, packaged.model_file)
    if trained.familiarity is not None:  # it is refused where it is damaged
        paths.copy(trained.familiarity_file, folder / trained.familiarity_file.name)
    if (trained.folder / run_dir.FEATURE_STANDARD).exists():
        paths.copy(trained.folder / run_dir.FEATURE_STANDARD, folder / run_dir.FEATURE_STANDARD)
    if evaluated is None:
        if trained.classes:
            paths.copy(trained.folder / "temperature.json", folder / "temperature.json")
        card = run_card.card_of(trained)
    else:
        if trained.classes:
            facts: dict[str, Any] = {"temperature": out_of_fold.temperature(evaluated)}
            facts["epochs"] = len(trained.history)
            if trained.unfamiliar_slope:
                facts["unfamiliar_slope"] = trained.unfamiliar_slope
            facts["fitted_to"] = f"out-of-fold predictions of {evaluated.name}"
            write_atomically(folder / "temperature.json", json.dumps(facts, indent=1))
        card = with_sections(evaluated_card(trained, evaluated), familiarity_card.section(trained))
    rest = card.partition("\n")[2].lstrip()  # its first line is the run's name
    paragraphs = [f"# {name}", *([note] if note else []), with_section(rest, corpora)]
    write_atomically(folder / run_card.CARD, shortened("\n\n".join(paragraphs)))
    write_atomically(folder / "LICENSE.txt", licences.text(name, packaged.source))


def write_sums(folder: Path) -> None:
    """Write the checksums of all files."""
    sums = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(folder.iterdir())
    ]
    write_atomically(folder / SUMS, "".join(sums))


def with_sections(card: str, sections: Sequence[str]) -> str:
    """Put sections before the card's limits of use."""
    before, heading, after = card.partition("## Limits of use")
    return before + "".join(f"{section}\n\n" for section in sections) + heading + after


def evaluated_card(trained: Run, evaluated: FinishedRun) -> str:
    """Take the card of the cross-validation, and explain how it relates to this model."""
    head, _, rest = (
        (evaluated.folders[0] / run_card.CARD).read_text(encoding="utf-8").partition("\n")
    )
    split = trained.split
    count = len(split.train) + (len(split.validation) if trained.config.train.refit else 0)
    models = len(evaluated.facts["folds"]) * len(evaluated.facts["seeds"])
    explained = (
        f"This model was trained on all {count} available speakers, so none is left to test it. "
        f"The results are those of {models} models trained with the same settings, each tested on "
        f"speakers held out of its training (`{evaluated.name}`), with their own temperatures. The "
        f"temperature of this model is fitted to all their predictions, so its calibration is "
        f"untested."
    )
    return f"{head}\n\n{explained}\n{rest}"


def with_pretrained(trained: Run) -> Mapping[str, Any]:
    """The source of a run, with the pretrained networks inside it, which its stages name."""
    inside = networks_inside.pretrained(trained)
    return {**trained.source, **({"pretrained": inside} if inside else {})}


def unused(trained: Run) -> tuple[str, ...]:
    """Modalities that a run does not use; of an ensemble, that none of its stages uses."""
    stages = [trained.folder / str(facts["folder"]) for facts in trained.steps.values()]
    there = bool(stages) and all((stage / "run.json").exists() for stage in stages)
    if not trained.config.model.ensemble or not there:
        return trained.unused
    uses = {kind for stage in stages for kind in run_dir.load(stage).modalities}
    return tuple(kind for kind in trained.modalities if kind not in uses)

"""Command: a run to a folder for others: weights, settings, temperature, card, licence, checksums.

The folder is a run like any other, less what only training needs; who opens it checks the sums. A
model that held nobody out is judged by the cross-validation of the same settings, whose card and
temperature it takes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorec_tf.cli import guarded, parse
from emorec_tf.config.config import flat, to_yaml
from emorec_tf.config.fields import option
from emorec_tf.datasets import corpora
from emorec_tf.errors import UserError
from emorec_tf.inference.model_store import SUMS
from emorec_tf.storage import paths
from emorec_tf.storage.files import write_atomically
from emorec_tf.training import run_dir
from emorec_tf.training.run_dir import Run

if TYPE_CHECKING:
    from emorec_tf.evaluation.crossval_results import FinishedRun

# what a cross-validation decides by itself, where things lay, and what changes no result
MAY_DIFFER = ("records", "seed", "train_speakers", "validation_speakers", "test_speakers",
              "precision", *run_dir.NO_MATTER)  # fmt: skip
SMALLEST = 1e-6  # probabilities are written with six digits


@dataclass(frozen=True)
class ShipOptions:
    """Which run, judged by what, where to."""

    run: str | None = option(None, "run directory that train wrote")
    crossval: str | None = option(
        None, "cross-validation of the same settings, with its report: gives card and temperature"
    )
    note: str | None = option(None, "what the card is to say beside, such as how it was chosen")
    out: str | None = option(None, "folder to write, e.g. saved_models/ravdess-av")
    overwrite: bool = option(False, "replace what was shipped to that folder before")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Ship, and say what was written."""
    options = ShipOptions(**parse(argv, "ship", ShipOptions, config_flag=False))
    if options.run is None or options.out is None:
        raise UserError("ship needs --run FOLDER and --out FOLDER (see --help)")
    from emorec_tf.evaluation import crossval_results

    judged = crossval_results.read(options.crossval) if options.crossval else None
    out = Path(options.out)
    ship(run_dir.load(options.run), out, judged, options.note, options.overwrite)
    size = sum(file.stat().st_size for file in out.iterdir())
    print(f"{out}: {', '.join(sorted(f.name for f in out.iterdir()))}; {size / 1e6:.2f} MB")
    return 0


def ship(
    trained: Run,
    out: Path,
    judged: FinishedRun | None,
    note: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write the folder under a temporary name, then rename it.

    Args:
        trained: a finished run.
        out: the folder; its name becomes the model's.
        judged: cross-validation of the same settings, for a run that held nobody out; None: the
            run's own test and temperature.
        note: a paragraph for the card.
        overwrite: replace what was shipped there before, never anything else.

    Raises:
        UserError: a run that is not finished or not calibrated, a cross-validation of other
            settings, with leaks or without its card, or something else in the way.
    """
    if not trained.is_finished():
        raise UserError(f"run {trained.folder} is not finished; the same train command goes on")
    check_same(trained, judged)
    if out.exists() and not (overwrite and (out / SUMS).exists()):
        more = "add --overwrite" if (out / SUMS).exists() else "give another --out"
        raise UserError(f"{out} exists; {more}")
    made = out.with_name(f".{out.name}.incomplete")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    try:
        fill(made, out.name, trained, judged, note)
        shutil.rmtree(out, ignore_errors=True)
        made.rename(out)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def check_same(trained: Run, judged: FinishedRun | None) -> None:
    """Refuse a cross-validation that says nothing of this run."""
    from emorec_tf.evaluation import run_card

    if judged is None:
        if trained.temperature is None and trained.classes:
            raise UserError(f"run {trained.folder} is not calibrated; evaluate does it")
        return
    where = judged.folders[0]
    if trained.split.test:
        raise UserError(f"run {trained.folder} has test speakers of its own; drop --crossval")
    if judged.leaky:
        raise UserError(f"{where} is LEAKY: it says nothing of new speakers, so it judges no model")
    if judged.missing:
        raise UserError(f"{where} is unfinished; the same crossval command goes on")
    own, theirs = flat(trained.config), dict(judged.facts["config"])
    names = [n for n in own if n in theirs and own[n] != theirs[n] and n not in MAY_DIFFER]
    if names or judged.classes != trained.classes:
        differ = ", ".join(names) or "classes"
        raise UserError(f"{where} is of other settings than {trained.folder} ({differ})")
    if not (where / run_card.CARD).exists():
        raise UserError(f"{where} has no {run_card.CARD}; run python -m emorec_tf.report on it")


def fill(made: Path, name: str, trained: Run, judged: FinishedRun | None, note: str | None) -> None:
    """Write all files; the checksums last."""
    from emorec_tf.evaluation import run_card

    data = dataclasses.replace(trained.config.data, records=None)
    settings = dataclasses.replace(trained.config, data=data)
    write_atomically(made / "config.yaml", to_yaml(settings))
    write_atomically(made / "labels.txt", "".join(f"{label}\n" for label in trained.classes))
    shipped = dataclasses.replace(trained, folder=made, config=settings, steps={})
    run_dir.write_facts(shipped)
    run_dir.write_history(shipped, trained.history)
    model = run_dir.load_model(trained.model_file)  # not compiled: without the optimiser's state
    run_dir.save_model(model, shipped.model_file)
    if judged is None:
        if trained.classes:
            paths.copy(trained.folder / "temperature.json", made / "temperature.json")
        card = run_card.card_of(trained)
    else:
        if trained.classes:
            facts: dict[str, Any] = {"temperature": temperature(judged)}
            facts["epochs"] = len(trained.history)
            facts["fitted_to"] = f"out-of-fold answers of {judged.name}"
            write_atomically(made / "temperature.json", json.dumps(facts, indent=1))
        card = judged_card(trained, judged)
    rest = card.partition("\n")[2].lstrip()  # its first line names the run
    paragraphs = [f"# {name}", *([note] if note else []), rest]
    write_atomically(made / run_card.CARD, "\n\n".join(paragraphs))
    write_atomically(made / "LICENSE.txt", licence(name, trained))
    sums = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(made.iterdir())
    ]
    write_atomically(made / SUMS, "".join(sums))


def temperature(judged: FinishedRun) -> float:
    """Fit one temperature to all out-of-fold answers: of many speakers, none of whom was met."""
    import numpy as np

    from emorec_tf.tasks import calibration

    of_fold = {(r["seed"], r["fold"]): float(r["temperature"]) for r in judged.temperatures}
    folds = zip(map(str, judged.seeds), map(str, judged.folds), strict=True)
    used = np.array([of_fold[pair] for pair in folds])
    logits = np.log(np.maximum(judged.answers, SMALLEST)) * used[:, None]
    return calibration.temperature(logits, judged.truth)


def judged_card(trained: Run, judged: FinishedRun) -> str:
    """Take the card of the cross-validation, and say how this model and that belong together."""
    from emorec_tf.evaluation.run_card import CARD

    head, _, rest = (judged.folders[0] / CARD).read_text(encoding="utf-8").partition("\n")
    split = trained.split
    count = len(split.train) + (len(split.validation) if trained.config.train.refit else 0)
    models = len(judged.facts["folds"]) * len(judged.facts["seeds"])
    told = (
        f"This model was trained on all {count} speakers at hand, so nobody is left to test it on. "
        f"The figures are those of {models} models made by the same settings, each tested on "
        f"speakers that it had not met (`{judged.name}`), at temperatures of their own. That "
        f"of this model is fitted to all their answers together, and its calibration is not tested."
    )
    return f"{head}\n\n{told}\n{rest}"


def licence(name: str, trained: Run) -> str:
    """Say whose data the weights are made of, and what that allows."""
    lines = [f"The weights in this folder ({name}) were trained on recordings of others and keep "
             f"their licence. It is not that of the code of emorec_tf."]  # fmt: skip
    for key in str(trained.source["dataset"]).split("+"):
        corpus = corpora.DATASETS[key]
        lines.append(f"{key}: {corpus.licence}\n{corpus.citation}\n{corpus.homepage}")
    return "\n\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())

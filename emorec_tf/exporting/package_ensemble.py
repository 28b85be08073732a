"""Package an ensemble that refers to packaged models instead of copying their weights."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorec_tf.config.config import to_yaml
from emorec_tf.errors import UserError
from emorec_tf.evaluation import ensemble_card, out_of_fold, run_card
from emorec_tf.evaluation.matrix_section import matrix_section, with_section
from emorec_tf.exporting import composed_run, licences, package_model, product_temperature
from emorec_tf.storage.files import write_atomically
from emorec_tf.training import feature_standard, run_dir
from emorec_tf.training.run_dir import Run

if TYPE_CHECKING:
    from emorec_tf.evaluation.crossval_results import FinishedRun

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evidence:
    """What a package is calibrated by, and what its card shows.

    Attributes:
        run: a trained ensemble, whose results and temperature are taken; None: there is none.
        crossval: cross-validation of that run's settings, whose results are taken instead.
        records: folder of records to whose clips the temperature is fitted; None: not fitted.
        matrix: of corpora, whose row of this model goes into the card.
        note: a paragraph for the card.
    """

    run: Run | None = None
    crossval: FinishedRun | None = None
    records: str | None = None
    matrix: Mapping[str, Any] | None = None
    note: str | None = None


def package(names: str, out: Path, evidence: Evidence, overwrite: bool = False) -> None:
    """Write the package: facts, card, licence and checksums; the weights stay where they are.

    Args:
        names: comma list of packaged models beside ``out``, in the order of the members.
        out: the folder; its name becomes the model's name.
        evidence: what it is calibrated by, and what its card shows.
        overwrite: replace an earlier package there, never anything else.

    Raises:
        UserError: members that cannot be multiplied, a run or cross-validation that does not
            apply, records that cannot calibrate it, or ``out`` exists.
    """
    given = evidence.run
    if evidence.crossval and (given is None or evidence.records):
        raise UserError("--crossval needs the --run it applies to, and no --calibrate beside it")
    if given is not None and not given.is_finished():
        raise UserError(
            f"run {given.folder} is not finished; repeat the train command to resume it"
        )
    if given is not None and not evidence.records:
        package_model.check_same(given, evidence.crossval)
    members = composed_run.opened(names, out)
    run = composed_run.composed(members, out, given)
    section = matrix_section(run, out.name, evidence.matrix) if evidence.matrix else ""
    package_model.write_folder(
        out, overwrite, lambda draft: _fill(draft, run, members, evidence, section)
    )


def _fill(
    folder: Path, run: Run, members: Mapping[str, Run], evidence: Evidence, section: str
) -> None:
    """Write all files but the checksums."""
    name = run.folder.name
    packaged = dataclasses.replace(run, folder=folder)
    write_atomically(folder / "config.yaml", to_yaml(run.config))
    write_atomically(folder / "labels.txt", "".join(f"{label}\n" for label in run.classes))
    run_dir.write_facts(packaged)
    feature_standard.write_product(packaged, list(members.values()))
    temperature = _temperature(packaged, evidence)
    write_atomically(folder / "temperature.json", json.dumps(temperature, indent=1))
    if packaged.familiarity is None:
        without = [n for n, member in members.items() if member.familiarity is None]
        _LOG.warning(
            "%s cannot say how familiar a clip is, because %s cannot", name, " and ".join(without)
        )
    card = ensemble_card.card(packaged, members, temperature["fitted_to"], _results(evidence))
    note = [evidence.note] if evidence.note else []
    paragraphs = [f"# {name}", *note, with_section(card, section)]
    write_atomically(folder / run_card.CARD, "\n\n".join(paragraphs))
    licence = licences.text(name, run.source, list(members))
    write_atomically(folder / "LICENSE.txt", licence)


def _temperature(packaged: Run, evidence: Evidence) -> dict[str, Any]:
    """What temperature.json says."""
    if evidence.records:
        return product_temperature.fitted(packaged, evidence.records)
    if evidence.crossval:
        found = out_of_fold.temperature(evidence.crossval)
        said = f"out-of-fold predictions of {evidence.crossval.name}"
        return {"temperature": found, "epochs": 0, "fitted_to": said}
    if evidence.run is not None:
        said = f"predictions of the run {evidence.run.folder.resolve().name}"
        return {"temperature": evidence.run.temperature, "epochs": 0, "fitted_to": said}
    return dict(product_temperature.NOT_FITTED)


def _results(evidence: Evidence) -> str:
    """Card of the evaluated run without its first line, and what it has to do with this model."""
    given = evidence.run
    if given is None:
        return ""
    card = (
        package_model.evaluated_card(given, evidence.crossval)
        if evidence.crossval
        else run_card.card_of(given)
    )
    said = (
        f"The results of the whole are those of `{given.folder.resolve().name}`, an ensemble that "
        f"was trained and tested as one. The members below are packaged models in the place of its "
        f"own members."
    )
    return f"{said}\n\n{card.partition(chr(10))[2].lstrip()}"

"""The networks that a model consists of, to be trained on other clips: itself, or its members."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path

from emorec_tf.config import choices
from emorec_tf.config.config import Config, TrainConfig, build, read_yaml
from emorec_tf.errors import UserError
from emorec_tf.records.records_dir import Records
from emorec_tf.training import model_store, packaged_members, run_dir
from emorec_tf.training.run_dir import Run

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """A network of the model: the model itself, or a member of an ensemble.

    Attributes:
        name: of the model or the member.
        settings: model and training.
        source: run with its weights; None: of a member that only its config describes.
    """

    name: str
    settings: Config
    source: Run | None


def of_model(old: Run) -> list[Part]:
    """The networks of a model.

    Raises:
        UserError: an ensemble whose members are described nowhere.
    """
    if old.members:
        names = [facts["name"] for facts in old.members]
        members = packaged_members.opened(old)
        return [Part(n, m.config, m) for n, m in zip(names, members, strict=True)]
    if not old.config.model.ensemble:
        return [Part(old.folder.name, old.config, old)]
    folders = [old.folder / str(facts["folder"]) for facts in old.steps.values()]
    if folders and all((folder / "run.json").exists() for folder in folders):
        members = [run_dir.load(folder) for folder in folders]
        return [Part(m.folder.name, m.config, m) for m in members]
    return [_described(name, old) for name in old.config.model.ensemble.split(",")]


def _described(name: str, old: Run) -> Part:
    """A member of an ensemble by the config that it was made with."""
    file = Path(name.strip().removesuffix(".yaml")).with_suffix(".yaml")
    folders = (Path(), Path("configs"), model_store.PACKAGE / "configs")
    places = (*folders, model_store.PACKAGE.parent / "configs")
    tries = [path for place in places for path in (place / file, place / file.name)]
    found = next((path for path in tries if path.is_file()), None)
    if found is None:
        raise UserError(
            f"{old.folder.name} is an ensemble whose member {file.stem} is not described here: no "
            f"{file.name} in configs; start from another model"
        )
    values = {n: v for n, v in read_yaml(found).items() if n in _own_settings()}
    plain = dataclasses.replace(old.config, model=Config().model, train=TrainConfig())
    return Part(file.stem, build(values, plain), None)


def _own_settings() -> set[str]:
    sections = (Config().model, Config().train)
    return {field.name for section in sections for field in dataclasses.fields(section)}


def usable(parts: list[Part], records: Records) -> list[Part]:
    """Leave out members whose modality no clip has.

    Raises:
        UserError: none is left.
    """
    there = frozenset().union(*records.modalities.values())
    kept = [
        part
        for part in parts
        if there & set(choices.facts("fusion", part.settings.model.fusion).uses)
    ]
    if not kept:
        raise UserError(f"no clip of {records.folder} has what the model uses")
    for name in [part.name for part in parts if part not in kept]:
        _LOG.info("note: no clip has what %s uses; it is left out", name)
    return kept


def has_branch_weights(run: Run) -> bool:
    """Whether a branch that a run uses has weights; statistics have none."""
    from emorec_tf.training import transfer

    layers = transfer.branch_layers(run_dir.load_model(run.model_file))
    return any(f"{kind}_branch" in layers for kind in run.modalities)

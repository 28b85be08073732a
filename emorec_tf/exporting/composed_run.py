"""A run made of packaged models, which are multiplied and not copied: checked, and its facts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emorec_tf.config import joined_features
from emorec_tf.config.clip import SEPARATOR
from emorec_tf.config.config import Config, DataConfig, ModelConfig, TrainConfig
from emorec_tf.config.fields import nearest
from emorec_tf.errors import UserError
from emorec_tf.splits.splits import Split
from emorec_tf.training import model_store, run_dir
from emorec_tf.training.run_dir import Run
from emorec_tf.training.shared_weights import digest_of

TOGETHER = " + "  # between licences, and between meanings of labels, of several corpora


def opened(names: str, out: Path) -> dict[str, Run]:
    """Open packaged models for an ensemble.

    Args:
        names: comma list: each the name of a folder beside ``out``, or of a model that zoo lists.
        out: folder of the ensemble.

    Raises:
        UserError: fewer than two, one that is no packaged model or not beside ``out``, or models
            that cannot be multiplied.
    """
    found = beside(names, out)
    if len(found) < 2:
        raise UserError(f"--members is {names!r}; it must name two packaged models or more")
    _check(found)
    return found


def beside(names: str, out: Path) -> dict[str, Run]:
    """Open packaged models that lie beside ``out``, by the names of their folders.

    Args:
        names: comma list, as of ``opened``.
        out: folder of the package that refers to them.

    Raises:
        UserError: one that is no packaged model, not beside ``out``, damaged or named twice.
    """
    found: dict[str, Run] = {}
    for name in [name.strip() for name in names.split(",") if name.strip()]:
        folder = _folder_of(name, out)
        if not (folder / model_store.SUMS).exists():
            raise UserError(f"model {name} ({folder}) is not packaged; package it with ship first")
        if folder.resolve().parent != out.resolve().parent:
            raise UserError(
                f"model {name} is in {folder.resolve().parent}, but must lie beside {out.name}; "
                f"package both in one folder, such as {folder.parent / out.name}"
            )
        model_store.check_sums(folder)
        if folder.resolve().name in found:
            raise UserError(f"{names!r} names {name} twice")
        found[folder.resolve().name] = run_dir.load(folder)
    return found


def _folder_of(name: str, out: Path) -> Path:
    """Find a model beside ``out``, else by the name that zoo lists, else by its folder."""
    beside = {file.parent.name: file.parent for file in out.parent.glob("*/run.json")}
    known = {**model_store.found(), **beside}
    folder = known.get(name, Path(name))
    if not (folder / "run.json").exists():
        raise UserError(f"no model {name!r} beside {out}; {nearest(name, known)}")
    return folder


def _check(members: Mapping[str, Run]) -> None:
    """Refuse models whose probabilities cannot be multiplied."""
    first, wanted = next(iter(members.items()))
    for name, run in members.items():
        if run.members:
            raise UserError(
                f"member {name} refers to members itself; name {_listed(run.members)} instead"
            )
        if not run.classes:
            raise UserError(
                f"member {name} estimates {run.task.rating}; members must be classifiers"
            )
        if run.classes != wanted.classes:
            raise UserError(
                f"members need the same classes in the same order: {first} has "
                f"{', '.join(wanted.classes)}, {name} has {', '.join(run.classes)}"
            )
        if run.config.data.adapt is not None:
            raise UserError(
                f"member {name} was trained with --adapt; members must be speaker-independent"
            )
        if run.temperature is None:
            raise UserError(f"member {name} is not calibrated; package it again")
        if run.split.leaky:
            raise UserError(f"member {name} is LEAKY; members must be split by speakers")


def _listed(members: Sequence[Mapping[str, str]]) -> str:
    return ",".join(facts["name"] for facts in members)


def composed(members: Mapping[str, Run], out: Path, given: Run | None = None) -> Run:
    """Make the run of an ensemble: settings, split and source of all members together.

    Args:
        members: as ``opened`` returns them.
        out: folder that it is written to.
        given: a trained ensemble, whose settings are kept; None: settings are made.

    Raises:
        UserError: members of other features, or ``given`` has other classes or more members.
    """
    runs = list(members.values())
    uses = {name: run.modalities for name, run in members.items()}
    features = joined_features.joined({n: r.config.features for n, r in members.items()}, uses)
    if given is not None and given.classes != runs[0].classes:
        raise UserError(f"{given.folder} has other classes than the members; drop --run")
    if given is not None and len(given.steps) != len(members):
        raise UserError(
            f"{given.folder} is no ensemble of {len(members)} models; give as many --members as it "
            f"has, or drop --run"
        )
    used = {kind for kinds in uses.values() for kind in kinds}
    return Run(
        folder=out,
        config=_settings(members, given, features),
        classes=runs[0].classes,
        split=joined_split(runs),
        source=joined_source(runs),
        unused=tuple(kind for kind in ("audio", "face") if kind not in used),
        members=tuple(
            {"name": name, "folder": f"../{name}", "sha256": digest_of(run.model_file)}
            for name, run in members.items()
        ),
    )


def _settings(members: Mapping[str, Run], given: Run | None, features: Any) -> Config:
    runs = list(members.values())
    data = DataConfig(
        dataset="+".join(datasets_of(runs)),
        label=_same([run.config.data.label for run in runs]),
        classes=_same([run.config.data.classes for run in runs]),
        label_map=_same([run.config.data.label_map for run in runs]),
        target=runs[0].config.data.target,
        target_scale=runs[0].config.data.target_scale,
        test_speakers="none",
    )
    model = ModelConfig(ensemble=",".join(members))
    train = TrainConfig(refit=any(run.config.train.refit for run in runs))
    if given is not None:
        kept = given.config
        data = dataclasses.replace(kept.data, records=None, dataset=data.dataset)
        model, train = dataclasses.replace(kept.model, ensemble=model.ensemble), kept.train
    return Config(data, features, model, train)


def _same(values: Sequence[Any]) -> Any:
    """The value that all have, or None."""
    return values[0] if len(set(values)) == 1 else None


def datasets_of(runs: Sequence[Run]) -> list[str]:
    """Names of all corpora that any of the runs was trained on."""
    return list(dict.fromkeys(n for run in runs for n in str(run.source["dataset"]).split("+")))


def joined_source(runs: Sequence[Run]) -> dict[str, Any]:
    """Corpora, licences and labels of all runs, each once."""
    found: dict[str, Any] = {"dataset": "+".join(datasets_of(runs))}
    for key, between in (("licence", TOGETHER), ("label_meaning", TOGETHER), ("label", "+")):
        parts = [one for run in runs for one in str(run.source.get(key) or "").split(between)]
        found[key] = between.join(dict.fromkeys(part for part in parts if part))
    pretrained = [run.source.get("pretrained", {}) for run in runs]
    names = dict.fromkeys(key for facts in pretrained for key in facts)
    if names:
        found["pretrained"] = {
            key: list(dict.fromkeys(one for facts in pretrained for one in facts.get(key, ())))
            for key in names
        }
    return found


def joined_split(runs: Sequence[Run]) -> Split:
    """Speakers that any run was trained or validated on; tests are of speakers new to all."""
    several = len(datasets_of(runs)) > 1

    def named(run: Run, speakers: Sequence[str]) -> list[str]:
        dataset = str(run.source["dataset"])
        alone = several and "+" not in dataset
        return [f"{dataset}{SEPARATOR}{name}" if alone else name for name in speakers]

    def union(subset: str, without: Sequence[str] = ()) -> tuple[str, ...]:
        found = dict.fromkeys(n for run in runs for n in named(run, getattr(run.split, subset)))
        return tuple(name for name in found if name not in set(without))

    train = union("train")
    validation = union("validation", train)
    if not validation:  # each is trained on by another member
        validation = next((tuple(named(run, v)) for run in runs if (v := run.split.validation)), ())
        train = tuple(name for name in train if name not in set(validation))
    clips = {
        key: tuple(dict.fromkeys(c for run in runs for c in getattr(run.split, key)))
        for key in ("test_clips", "validation_clips")
    }
    return Split(train, validation, union("test", [*train, *validation]), False, **clips)

"""The space of a search: the ``search:`` section of a config, and what a trial picks from it.

An axis is a setting (``learning_rate``) or a hyperparameter of the branch or fusion that is chosen
(``audio.units``). It has a list of values or a range ``{min, max, step, sampling}``.
docs/search.md shows it. Everything is checked before anything is trained; no TensorFlow here.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from emorec_tf.config import choices
from emorec_tf.config.config import SECTIONS, Config, build, section_of
from emorec_tf.config.fields import nearest
from emorec_tf.config.spellings import call
from emorec_tf.errors import UserError
from emorec_tf.tuning.axes import Axis, axis_of

# settings of model and train that no search may vary, and why
SHARED = {
    "seed": "all trials share it, else the luckiest one would be chosen",
    "keep": "it decides which epoch is scored",
    "refit": "the score is that of the first fit",
}
CLOSE_DIGITS = 4  # of a number from a range: more would be noise


def searchable() -> list[str]:
    """All settings that may be searched."""
    fields = [f.name for s in ("model", "train") for f in dataclasses.fields(SECTIONS[s])]
    return [name for name in fields if name not in SHARED]


def default(base: Config) -> dict[str, Any]:
    """Return the section that is searched where a config has none."""
    used = choices.facts("fusion", base.model.fusion).uses
    section: dict[str, Any] = {
        "learning_rate": {"min": 3e-4, "max": 1e-2, "sampling": "log"},
        "weight_decay": {"min": 1e-3, "max": 1e-1, "sampling": "log"},
    }
    if base.data.target_scale != "continuous":
        section["label_smoothing"] = [0.0, 0.05, 0.1]
    if len(used) == 2:
        section["modality_dropout"] = [0.0, 0.15, 0.3]
    for kind in used:
        name, _ = choices.parse(getattr(base.model, kind))
        if "dropout" in choices.entry(kind, name).arguments:
            section[f"{kind}.dropout"] = {"min": 0.0, "max": 0.6, "step": 0.1}
    return section


def read(section: Any, base: Config, assigned: Sequence[str] = ()) -> tuple[Axis, ...]:
    """Check a ``search:`` section.

    Args:
        section: as YAML gives it.
        base: the settings that it varies.
        assigned: settings that the tuner itself assigns.

    Returns:
        Settings first, then hyperparameters, so that a choice comes before its own.

    Raises:
        UserError: an unknown name, a value it cannot have, or an impossible range.
    """
    if not isinstance(section, dict) or not section:
        raise UserError("search must hold 'setting: [values]' or 'setting: {min, max}' lines")
    names = sorted((str(name) for name in section), key=lambda n: "." in n)
    if len(set(names)) < len(names) or any(not isinstance(name, str) for name in section):
        raise UserError(f"search: the names of settings are words, not {list(section)}")
    found = []
    for name in names:
        if name in assigned:
            raise UserError(f"search: {name} is set by this tuner; drop it, or --tuner")
        make = hyperparameter if "." in name else setting
        found.append(make(name, section[name], section, base))
    return tuple(found)


def setting(name: str, given: Any, section: Mapping[str, Any], base: Config) -> Axis:
    """Check the line of a setting."""
    del section
    where = section_of(name)
    if where is None:
        raise UserError(f"search: unknown setting {name!r}; {nearest(name, searchable())}")
    if where in ("data", "features") or name in SHARED:
        reasons = SHARED | {
            "data": "it changes which clips are scored, so trials could not be compared",
            "features": "it changes the records; prepare others, and search each on its own",
        }
        why = reasons.get(name) or reasons[where]
        raise UserError(f"search: {name} cannot be searched: {why}")
    hint = typing.get_type_hints(SECTIONS[where])[name]
    axis = axis_of(name, given, hint)
    for value in axis.values or (axis.low, axis.high):
        if name in choices.NETWORK:
            choices.check(name, value)
        build({name: int(value) if axis.whole and not axis.values else value}, base)
    return axis


def hyperparameter(name: str, given: Any, section: Mapping[str, Any], base: Config) -> Axis:
    """Check a hyperparameter against every choice that has it and does not set it itself."""
    kind, _, own = name.partition(".")
    if kind not in choices.NETWORK:
        raise UserError(
            f"search: {name}: {kind!r} has no hyperparameters; {nearest(kind, choices.NETWORK)}"
        )
    parsed = {choice: choices.check(kind, choice) for choice in listed(kind, section, base)}
    entries = {c: choices.entries(kind)[called] for c, (called, _) in parsed.items()}
    # what it is called now, in each choice
    names = {c: entry.facts.renamed.get(own, own) for c, entry in entries.items()}
    having = [c for c in parsed if names[c] in entries[c].arguments]
    if not having:
        known = {name for entry in entries.values() for name in entry.arguments}
        hint = nearest(own, known) if known else "none has any"
        raise UserError(
            f"search: {name}: no {kind} of {', '.join(parsed)} has that hyperparameter; {hint}"
        )
    taking = [c for c in having if names[c] not in parsed[c][1]]
    if not taking:
        raise UserError(f"search: {name}: every {kind} that has it sets it; drop it there or here")
    usual = entries[taking[0]].arguments[names[taking[0]]]
    axis = axis_of(name, given, float | None if usual is None else type(usual))
    for choice in taking:
        called, set_there = parsed[choice]
        for value in axis.values or (axis.low, axis.high):
            number = int(value) if axis.whole and not axis.values else value
            choices.check(kind, call(called, {**set_there, names[choice]: number}))
    some = len(taking) < len(parsed)
    return dataclasses.replace(axis, under=tuple(taking) if some else ())


def listed(kind: str, section: Mapping[str, Any], base: Config) -> list[str]:
    """Choices of a kind that a search tries: those it lists, or that of the config."""
    given = section.get(kind)
    if isinstance(given, list):
        return [str(choice) for choice in given]
    return [choices.parse(getattr(base.model, kind))[0]]


def present_names(section: Any, base: Config) -> Any:
    """Give hyperparameters of an older version their present names; see ``read``.

    Raises:
        UserError: one is given by both names.
    """
    if not isinstance(section, dict):
        return section
    found: dict[Any, Any] = {}
    for name, given in section.items():
        kind, _, own = str(name).partition(".")
        if own and kind in choices.NETWORK:
            called = [c.partition("(")[0].strip() for c in listed(kind, section, base)]
            rows = [choices.entries(kind)[c].facts for c in called if c in choices.entries(kind)]
            now = [row.renamed[own] for row in rows if own in row.renamed]
            name = f"{kind}.{now[0]}" if now else name
        if name in found:
            raise UserError(f"search: {name} is given twice, once by its former name")
        found[name] = given
    return found


def picked(space: Sequence[Axis], values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn what KerasTuner chose into values, without hyperparameters that the choice lacks."""
    found: dict[str, Any] = {}
    for axis in space:
        if axis.name not in values or (axis.under and values[axis.kind] not in axis.under):
            continue
        raw = values[axis.name]
        if axis.values:
            found[axis.name] = axis.values[axis.labels.index(raw)]
        elif axis.whole:
            found[axis.name] = int(raw)
        else:
            close = float(f"{raw:.{CLOSE_DIGITS}g}")
            found[axis.name] = min(max(close, axis.low), axis.high)
    return found


def applied(chosen: Mapping[str, Any], base: Config) -> Config:
    """Put what was picked into the settings; a hyperparameter replaces what the choice had."""
    fields = {name: value for name, value in chosen.items() if "." not in name}
    for kind in choices.NETWORK:
        own = {n.partition(".")[2]: v for n, v in chosen.items() if n.startswith(f"{kind}.")}
        if own:
            name, arguments = choices.check(kind, fields.get(kind, getattr(base.model, kind)))
            renamed = choices.entry(kind, name).facts.renamed
            own = {renamed.get(argument, argument): value for argument, value in own.items()}
            fields[kind] = call(name, {**arguments, **own})
    return build(fields, base)


def hyperparameters(space: Sequence[Axis]) -> Any:
    """Declare the axes to KerasTuner, hyperparameters under the choices that have them."""
    import keras_tuner

    declared = keras_tuner.HyperParameters()
    for axis in space:
        parent = {"parent_name": axis.kind, "parent_values": [*axis.under]} if axis.under else {}
        if axis.values:
            declared.Choice(axis.name, axis.labels, **parent)
        elif axis.whole:
            declared.Int(axis.name, axis.low, axis.high, axis.step, axis.sampling, **parent)
        else:
            declared.Float(axis.name, axis.low, axis.high, axis.step, axis.sampling, **parent)
    return declared


def text(section: Mapping[str, Any]) -> str:
    """Write a section as it would stand in a config, one line for each axis."""
    lines = [
        f"  {name}: {yaml.safe_dump(given, default_flow_style=True, sort_keys=False).strip()}"
        for name, given in section.items()
    ]
    return "\n".join(["search:", *lines])

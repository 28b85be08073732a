"""The space of a search: the ``search:`` section of a config, and what a trial picks from it.

An axis is a setting (``learning_rate``) or a hyperparameter of the branch or fusion that is chosen
(``audio.units``). It has a list of values or a range ``{min, max, step, sampling}``.
docs/search.md shows it. Everything is checked before anything is trained; no TensorFlow here.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from emorec_tf.config import choices as catalog
from emorec_tf.config.config import SECTIONS, Config, build, section_of
from emorec_tf.config.fields import check, nearest
from emorec_tf.errors import UserError

SAMPLINGS = ("linear", "log", "reverse_log")
RANGE_KEYS = ("min", "max", "step", "sampling")
# settings of model and train that no search may vary, and why
SHARED = {
    "seed": "all trials share it, else the luckiest one would be chosen",
    "keep": "it decides which epoch is scored",
    "refit": "the score is that of the first fit",
}
CLOSE_DIGITS = 4  # of a number from a range: more would be noise


@dataclass(frozen=True)
class Axis:
    """One thing that differs between trials."""

    name: str  # a setting, or KIND.HYPERPARAMETER
    values: tuple[Any, ...] = ()  # one of these; (): a number of the range
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    sampling: str = "linear"
    whole: bool = False  # integers only
    under: tuple[str, ...] = ()  # labels of the choices that have it; (): all of them

    @property
    def kind(self) -> str:
        """Kind of choice whose hyperparameter it is (audio, face, ...); "": a setting."""
        return self.name.rpartition(".")[0]

    @property
    def labels(self) -> list[str]:
        """Values as words: KerasTuner knows neither None nor lists, nor values of several types."""
        return [label(value) for value in self.values]


def label(value: Any) -> str:
    """Write a value as one word."""
    return value if isinstance(value, str) else repr(value)


def searchable() -> list[str]:
    """All settings that may be searched."""
    fields = [f.name for s in ("model", "train") for f in dataclasses.fields(SECTIONS[s])]
    return [name for name in fields if name not in SHARED]


def default(base: Config) -> dict[str, Any]:
    """Return the section that is searched where a config has none."""
    used = catalog.facts("fusion", base.model.fusion).uses
    section: dict[str, Any] = {
        "learning_rate": {"min": 3e-4, "max": 1e-2, "sampling": "log"},
        "weight_decay": {"min": 1e-3, "max": 1e-1, "sampling": "log"},
    }
    if base.data.target_scale != "continuous":
        section["label_smoothing"] = [0.0, 0.05, 0.1]
    if len(used) == 2:
        section["modality_dropout"] = [0.0, 0.15, 0.3]
    for kind in used:
        name, _ = catalog.parse(getattr(base.model, kind))
        if "dropout" in catalog.entry(kind, name).arguments:
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
        if name in catalog.NETWORK:
            catalog.check(name, value)
        build({name: int(value) if axis.whole and not axis.values else value}, base)
    return axis


def hyperparameter(name: str, given: Any, section: Mapping[str, Any], base: Config) -> Axis:
    """Check a hyperparameter against every choice that has it and does not set it itself."""
    kind, _, own = name.partition(".")
    if kind not in catalog.NETWORK:
        raise UserError(
            f"search: {name}: {kind!r} has no hyperparameters; {nearest(kind, catalog.NETWORK)}"
        )
    listed = section.get(kind)
    choices = listed if isinstance(listed, list) else [catalog.parse(getattr(base.model, kind))[0]]
    parsed = {str(choice): catalog.check(kind, str(choice)) for choice in choices}
    arguments = {c: catalog.entries(kind)[called].arguments for c, (called, _) in parsed.items()}
    having = [c for c in parsed if own in arguments[c]]
    if not having:
        known = {name for names in arguments.values() for name in names}
        hint = nearest(own, known) if known else "none has any"
        raise UserError(
            f"search: {name}: no {kind} of {', '.join(parsed)} has that hyperparameter; {hint}"
        )
    taking = [c for c in having if own not in parsed[c][1]]
    if not taking:
        raise UserError(f"search: {name}: every {kind} that has it sets it; drop it there or here")
    usual = arguments[taking[0]][own]
    axis = axis_of(name, given, float | None if usual is None else type(usual))
    for choice in taking:
        called, set_there = parsed[choice]
        for value in axis.values or (axis.low, axis.high):
            number = int(value) if axis.whole and not axis.values else value
            catalog.check(kind, call(called, {**set_there, own: number}))
    some = len(taking) < len(parsed)
    return dataclasses.replace(axis, under=tuple(taking) if some else ())


def axis_of(name: str, given: Any, hint: Any) -> Axis:
    """Read a list or a range of values like ``hint``."""
    if isinstance(given, dict):
        return range_of(name, given, hint)
    if not isinstance(given, list) or not given:
        raise UserError(f"search: {name} is {given!r}; it must be a list of values or {{min, max}}")
    axis = Axis(name, tuple(typed(name, value, hint) for value in given))
    twice = sorted({text for text in axis.labels if axis.labels.count(text) > 1})
    if twice:
        raise UserError(f"search: {name} lists {', '.join(twice)} twice")
    return axis


def range_of(name: str, given: Mapping[str, Any], hint: Any) -> Axis:
    """Read a range of numbers."""
    unknown = [key for key in given if key not in RANGE_KEYS]
    if unknown:
        raise UserError(
            f"search: {name}: unknown {unknown[0]!r}; {nearest(unknown[0], RANGE_KEYS)}"
        )
    if "min" not in given or "max" not in given:
        raise UserError(f"search: {name}: a range has a min and a max")
    hint = plain(hint)
    if hint not in (int, float):
        raise UserError(f"search: {name}: only numbers have a range; give a list of values")
    low, high = (typed(f"{name}.{key}", given[key], hint) for key in ("min", "max"))
    if low >= high:
        raise UserError(f"search: {name}: min {low} is not below max {high}")
    sampling = given.get("sampling", "linear")
    check(sampling in SAMPLINGS, f"search: {name}.sampling", sampling, " or ".join(SAMPLINGS))
    logarithmic = sampling != "linear"
    check(
        not logarithmic or low > 0, f"search: {name}.min", low, f"above 0 with sampling {sampling}"
    )
    step = given.get("step")
    if step is not None:
        step = typed(f"{name}.step", step, hint)
        least = 1 if logarithmic else 0
        check(step > least, f"search: {name}.step", step, f"above {least} with sampling {sampling}")
    return Axis(name, (), low, high, step, sampling, hint is int)


def plain(hint: Any) -> Any:
    """Take None away from a type."""
    parts = [part for part in typing.get_args(hint) if part is not type(None)]
    return parts[0] if type(None) in typing.get_args(hint) else hint


def typed(name: str, value: Any, hint: Any) -> Any:
    """Give a value the type that the setting or hyperparameter has, or refuse it.

    YAML 1.1 takes 3e-4 for a word and on for true; the first is corrected, the second refused.
    """
    if value is None and type(None) in typing.get_args(hint):
        return None
    hint, allowed = plain(hint), typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        words = " or ".join(f'"{a}"' for a in allowed)
        check(value in allowed, f"search: {name}", value, f"{words}, in quotes")
    elif hint is float:
        if not isinstance(value, bool):
            try:
                return float(value)
            except (TypeError, ValueError):
                pass
        check(False, f"search: {name}", value, "a number")
    elif hint is tuple:
        check(isinstance(value, list), f"search: {name}", value, "a list inside the list")
        return tuple(value)
    elif hint in (int, bool, str):
        what = {int: "a whole number", bool: "true or false", str: "a word"}[hint]
        check(type(value) is hint, f"search: {name}", value, what)
    return value


def call(name: str, arguments: Mapping[str, Any]) -> str:
    """Write a choice as the config has it: ``lstm(units=64)``."""
    inside = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    return f"{name}({inside})" if inside else name


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
    for kind in catalog.NETWORK:
        own = {n.partition(".")[2]: v for n, v in chosen.items() if n.startswith(f"{kind}.")}
        if own:
            name, arguments = catalog.parse(fields.get(kind, getattr(base.model, kind)))
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

"""An axis of a search, and how a line of the ``search:`` section is read as one."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from emorec_tf.config.fields import check, nearest
from emorec_tf.errors import UserError

SAMPLINGS = ("linear", "log", "reverse_log")
RANGE_KEYS = ("min", "max", "step", "sampling")


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

"""Choice strings: a name or a call with literal arguments, looked up in a table of entries.

``conv1d`` and ``conv1d(units=64, dropout=0.3)`` mean the same on the command line, in YAML and in
a search. The tables stand at the foot of the modules named in ``TABLES``; an entry names a function
and the facts about it (see ``entries``). ``check``, ``entries`` and ``facts`` read those modules as
text, so that listing and refusing need no TensorFlow.
"""

from __future__ import annotations

import ast
import functools
import importlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import emorec_tf
from emorec_tf.config import entries as rows
from emorec_tf.config.fields import nearest
from emorec_tf.errors import UserError

# choice -> (module, table); the one place that knows where a table stands
TABLES = {
    "audio": ("models.audio.audio_branches", "AUDIO_BRANCHES"),
    "face": ("models.face.face_branches", "FACE_BRANCHES"),
    "fusion": ("models.fusion.fusions", "FUSIONS"),
    "classifier": ("models.classical.classifiers", "CLASSIFIERS"),
    "audio_features": ("features.audio_features", "AUDIO_FEATURES"),
}
NETWORK = ("audio", "face", "fusion", "classifier")  # what a network is made of; calls are allowed


@dataclass(frozen=True)
class Entry:
    """One entry of a table, read as text."""

    name: str
    summary: str
    arguments: dict[str, Any]  # with their defaults
    source: str
    facts: Any  # a row of ``entries``: Branch, Fusion, Classifier or AudioFeature


@functools.cache
def entries(kind: str) -> dict[str, Entry]:
    """Read the table of ``kind`` (audio, face, ...) from its source, without importing it."""
    module, table = TABLES[kind]
    tree = _parsed(f"emorec_tf.{module}")
    for node in tree.body:
        target = getattr(node, "target", None) or (getattr(node, "targets", None) or [None])[0]
        if isinstance(target, ast.Name) and target.id == table:
            value: Any = node.value  # type: ignore[attr-defined]
            found = zip(map(ast.literal_eval, value.keys), value.values, strict=True)
            return {name: _entry(name, call, tree) for name, call in found}
    raise LookupError(f"{module}.py has no table {table}")


@functools.cache
def _parsed(module: str) -> ast.Module:
    """Source of a module of the package, parsed."""
    path = Path(emorec_tf.__file__).parent.joinpath(*module.split(".")[1:]).with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def _entry(name: str, call: ast.Call, tree: ast.Module) -> Entry:
    """Read ``Branch(function, fact=literal, ...)``."""
    facts = {str(k.arg): _fact(k.value) for k in call.keywords}
    row = getattr(rows, ast.unparse(call.func))(ast.unparse(call.args[0]), **facts)
    function = _function(tree, row.function)
    arguments = {
        a.arg: ast.literal_eval(d)
        for a, d in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
        if d is not None
    }
    doc = ast.get_docstring(function) or ""
    source = doc.partition("Source:")[2].strip()
    return Entry(name, doc.partition("\n")[0], arguments, " ".join(source.split()), row)


def _fact(value: ast.expr) -> Any:
    """A literal, or the name of a function."""
    return value.id if isinstance(value, ast.Name) else ast.literal_eval(value)


def _function(tree: ast.Module, name: str) -> ast.FunctionDef:
    """Find a function in a file, or in the module of the package from which the file imports it."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if name == (alias.asname or alias.name):
                    return _function(_parsed(str(node.module)), alias.name)
    raise LookupError(f"no function {name} for the entry of a table")


def entry(kind: str, name: str) -> Entry:
    """Return the entry of this name.

    Raises:
        UserError: there is none; the message names the nearest.
    """
    table = entries(kind)
    if name not in table:
        raise UserError(f"unknown {kind} {name!r}; {nearest(name, table)}")
    return table[name]


def facts(kind: str, choice: str) -> Any:
    """Return the facts about a choice: the row that its entry holds (see ``entries``).

    Raises:
        UserError: no such entry.
    """
    return entry(kind, parse(choice)[0]).facts


def check_mesh(face: str, face_mesh: bool) -> None:
    """Refuse a face branch that needs mesh points, for records without them.

    Raises:
        UserError: no such branch, or no mesh points for it.
    """
    facts("face", face).check_mesh(parse(face)[0], face_mesh)


def described(kind: str) -> str:
    """Name all entries with their summaries, for help."""
    return ", ".join(f"{e.name} ({e.summary.rstrip('.')})" for e in entries(kind).values())


def parse(choice: str) -> tuple[str, dict[str, Any]]:
    """Split ``name`` or ``name(key=literal, ...)`` into the name and its arguments.

    Raises:
        UserError: not a name or a call with keyword literals.
    """
    try:
        node = ast.parse(choice.strip(), mode="eval").body
        if isinstance(node, ast.Name):
            return node.id, {}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
            arguments = {k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg}
            if len(arguments) == len(node.keywords):
                return node.func.id, arguments
    except (SyntaxError, ValueError):
        pass
    raise UserError(f"{choice!r} is neither a name nor a call such as 'lstm(units=64)'")


def check(kind: str, choice: str) -> tuple[str, dict[str, Any]]:
    """Parse ``choice`` and refuse unknown names and arguments, before anything heavy is loaded.

    Returns:
        The name, and the arguments by the names they have now.

    Raises:
        UserError: no such entry or argument, or a value of another type than the default or out
            of bounds.
    """
    name, given = parse(choice)
    found = entry(kind, name)
    given = {found.facts.renamed.get(argument, argument): v for argument, v in given.items()}
    defaults = found.arguments
    for argument, value in given.items():
        if argument not in defaults:
            raise UserError(
                f"{kind} {name!r} has no argument {argument!r}; {nearest(argument, defaults)}"
            )
        if not _alike(value, defaults[argument]):
            raise UserError(
                f"{kind} {name!r}: {argument} is {value!r}; it must be like {defaults[argument]!r}"
            )
        allowed = _bounds(argument, value, defaults[argument], found.facts.may_be_zero)
        if allowed:
            raise UserError(f"{kind} {name!r}: {argument} is {value!r}; it must be {allowed}")
    for argument in found.facts.required:
        if not given.get(argument):
            example = f"{name}({found.facts.small})"
            raise UserError(f'{kind} {name!r} needs {argument}, as in "{example}"')
    return name, given


def _alike(value: Any, default: Any) -> bool:
    """Say whether an argument has the type of its default; an int serves as a float."""
    number = isinstance(default, float) and type(value) is int
    return default is None or number or type(value) is type(default)


def _bounds(argument: str, value: Any, default: Any, may_be_zero: tuple[str, ...]) -> str:
    """Say what an argument must be, or "": sizes and counts by their defaults, some by name."""
    if argument == "dropout":
        return "" if 0 <= value < 1 else "from 0 to below 1"
    if argument == "width":
        return "" if 0 < value < math.inf else "above 0"
    if isinstance(value, float):
        return "" if math.isfinite(value) else "finite"
    if type(default) is int and type(value) is int:
        least = int(default > 0 and argument not in may_be_zero)
        return "" if value >= least else f"at least {least}"
    return ""


def resolve(kind: str, choice: str) -> functools.partial[Any]:
    """Return the chosen function with its arguments bound."""
    name, arguments = check(kind, choice)
    module, table = TABLES[kind]
    row = getattr(importlib.import_module(f"emorec_tf.{module}"), table)[name]
    return functools.partial(row.function, **arguments)


def needs_training(kind: str, choice: str) -> bool:
    """Whether a branch has weights that training must find: random ones, none from a file."""
    name, given = check(kind, choice)
    found = entry(kind, name)
    if isinstance(found.facts.trainable, bool):
        return found.facts.trainable
    module, table = TABLES[kind]
    row = getattr(importlib.import_module(f"emorec_tf.{module}"), table)[name]
    return bool(row.trainable({**found.arguments, **given}))


def check_features(kind: str, choice: str, features: Any) -> None:
    """Refuse a branch that needs other features.

    Args:
        kind: "audio" or "face".
        choice: the branch.
        features: a ``FeaturesConfig``.

    Raises:
        UserError: names the settings that differ.
    """
    wanted = facts(kind, choice).features
    other = {n: v for n, v in wanted.items() if getattr(features, n) != v}
    if other:
        flags = " ".join(f"--{name} {value}" for name, value in other.items())
        raise UserError(
            f"{kind} {parse(choice)[0]!r} needs other features than these records have; prepare "
            f"them with {flags}"
        )

"""Choice strings: a name or a call with literal knobs, looked up in a table of plain functions.

``conv1d`` and ``conv1d(units=64, dropout=0.3)`` mean the same on the command line, in YAML and in
a search. The tables live at the foot of the modules that hold the functions. ``check`` and
``entries`` read those modules as text, so that listing and refusing need no TensorFlow.
"""

from __future__ import annotations

import ast
import functools
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import emorec_tf
from emorec_tf.config.fields import nearest
from emorec_tf.errors import UserError

# choice -> (module, table); the one place that knows where a table stands
TABLES = {
    "audio": ("models.audio.audio_branches", "AUDIO_BRANCHES"),
    "face": ("models.face.face_branches", "FACE_BRANCHES"),
    "fusion": ("models.fusion.fusions", "FUSIONS"),
    "classifier": ("models.classical.classifiers", "CLASSIFIERS"),
}


@dataclass(frozen=True)
class Entry:
    """One row of a table: its name, what it does, and its knobs with their defaults."""

    name: str
    summary: str
    knobs: dict[str, Any]
    source: str


@functools.cache
def entries(kind: str) -> dict[str, Entry]:
    """Read the table of ``kind`` (audio, face, ...) from its source, without importing it."""
    module, table = TABLES[kind]
    tree = ast.parse(_file(f"emorec_tf.{module}").read_text(encoding="utf-8"))
    functions = _functions(tree)
    for node in tree.body:
        target = getattr(node, "target", None) or (getattr(node, "targets", None) or [None])[0]
        if isinstance(target, ast.Name) and target.id == table:
            names = ast.literal_eval(ast.unparse(_keys(node.value)))  # type: ignore[attr-defined]
            values = [v.id for v in node.value.values]  # type: ignore[attr-defined]
            return {n: _entry(n, functions[f]) for n, f in zip(names, values, strict=True)}
    raise LookupError(f"{module}.py has no table {table}")


def _file(module: str) -> Path:
    """Source file of a module of the package."""
    return Path(emorec_tf.__file__).parent.joinpath(*module.split(".")[1:]).with_suffix(".py")


def _functions(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    """Functions by name that stand in a file, or that it imports from the package's others."""
    found: dict[str, ast.FunctionDef] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("emorec_tf."):
            path = _file(str(node.module))
            if not path.is_file():  # a room, not a module
                continue
            there = _named(ast.parse(path.read_text(encoding="utf-8")))
            found |= {a.asname or a.name: there[a.name] for a in node.names if a.name in there}
    return found | _named(tree)


def _named(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    return {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}


def _keys(table: ast.Dict) -> ast.List:
    return ast.List(elts=[k for k in table.keys if k is not None], ctx=ast.Load())


def _entry(name: str, function: ast.FunctionDef) -> Entry:
    knobs = {
        a.arg: ast.literal_eval(d)
        for a, d in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
        if d is not None
    }
    doc = ast.get_docstring(function) or ""
    source = doc.partition("Source:")[2].strip()
    return Entry(name, doc.partition("\n")[0], knobs, " ".join(source.split()))


def parse(choice: str) -> tuple[str, dict[str, Any]]:
    """Split ``name`` or ``name(key=literal, ...)`` into the name and its knobs.

    Raises:
        UserError: not a name or a call with keyword literals.
    """
    try:
        node = ast.parse(choice.strip(), mode="eval").body
        if isinstance(node, ast.Name):
            return node.id, {}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
            knobs = {k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg}
            if len(knobs) == len(node.keywords):
                return node.func.id, knobs
    except (SyntaxError, ValueError):
        pass
    raise UserError(f"{choice!r} is neither a name nor a call such as 'lstm(units=64)'")


def check(kind: str, choice: str) -> tuple[str, dict[str, Any]]:
    """Parse ``choice`` and refuse unknown names and knobs, before anything heavy is loaded."""
    name, knobs = parse(choice)
    table = entries(kind)
    if name not in table:
        raise UserError(f"unknown {kind} {name!r}; {nearest(name, table)}")
    defaults = table[name].knobs
    for knob, value in knobs.items():
        if knob not in defaults:
            raise UserError(f"{kind} {name!r} has no knob {knob!r}; {nearest(knob, defaults)}")
        if not _alike(value, defaults[knob]):
            raise UserError(
                f"{kind} {name!r}: {knob} is {value!r}; it must be like {defaults[knob]!r}"
            )
    return name, knobs


def _alike(value: Any, default: Any) -> bool:
    """Say whether a knob's value has the type of its default; an int serves as a float."""
    number = isinstance(default, float) and type(value) is int
    return default is None or number or type(value) is type(default)


def resolve(kind: str, choice: str) -> functools.partial[Any]:
    """Return the chosen function with its knobs bound."""
    name, knobs = check(kind, choice)
    module, table = TABLES[kind]
    functions = getattr(importlib.import_module(f"emorec_tf.{module}"), table)
    return functools.partial(functions[name], **knobs)

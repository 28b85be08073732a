"""Flags of a command line from the fields of a dataclass: names, help and errors in plain words."""

from __future__ import annotations

import argparse
import dataclasses
import re
import textwrap
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from emorec_tf.config.fields import nearest
from emorec_tf.errors import UserError
from emorec_tf.storage.screen import say

ON_OFF = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
# What help calls the value of a text field; ``option(..., metavar="...")`` goes before it.
METAVARS = {
    "adapt": "FOLDER",
    "audio_features": "NAME",
    "classes": "LIST",
    "clips": "PATH",
    "crossval": "FOLDER",
    "dataset": "NAME",
    "face_model": "FILE",
    "folds": "LIST",
    "format": "LIST",
    "host": "ADDRESS",
    "label": "NAME",
    "mesh_model": "FILE",
    "modality": "NAME",
    "out": "PATH",
    "protocol": "NAME",
    "records": "FOLDER",
    "run": "FOLDER",
    "source": "FOLDER",
    "timeline": "FILE",
}
LETTERS = {int: "N", float: "X", str: "TEXT"}
PHRASES = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
SWITCH = "{true,false}"


@dataclass(frozen=True)
class Values:
    """The values that a field can have, as a person reads them."""

    metavar: str  # in help: N, FOLDER, {a,b}
    phrase: str  # in errors: a whole number; a, b or c
    words: tuple[str, ...] = ()  # those that are words


def values_of(field: dataclasses.Field[Any], annotation: Any) -> Values:
    """Describe the values of a field by its type."""
    union = typing.get_origin(annotation) in (types.UnionType, typing.Union)
    parts = [t for t in typing.get_args(annotation) if t is not type(None)] if union else []
    shown, phrases, words = [], [], []
    for part in parts or [annotation]:
        if typing.get_origin(part) is Literal:
            words += [str(value) for value in typing.get_args(part)]
            shown += words
            phrases += words
        elif part is bool:
            shown += ["true", "false"]
            phrases.append(PHRASES[bool])
        elif part in LETTERS:
            name = METAVARS.get(field.name, LETTERS[part]) if part is str else LETTERS[part]
            shown.append(name)
            phrases.append(PHRASES[part])
    metavar = shown[0] if len(shown) == 1 and not words else f"{{{','.join(shown)}}}"
    phrase = " or ".join(p for p in (", ".join(phrases[:-1]), *phrases[-1:]) if p)
    return Values(field.metadata.get("metavar", metavar), phrase, tuple(words))


class Help(DefaultHelpFormatter):
    """Help without Python's types, in which a switch reads ``--augment, --no_augment``."""

    def __init__(self, prog: str, **settings: Any) -> None:
        """Leave flags and their metavars a little more room than argparse does."""
        super().__init__(prog, **{"max_help_position": 30, **settings})

    def _get_help_string(self, action: argparse.Action) -> str:
        return action.help or ""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if action.metavar == SWITCH:
            return f"--{action.dest}, --no_{action.dest}"
        return super()._format_action_invocation(action)


class Parser(ArgumentParser):
    """jsonargparse's parser, with errors in one line that say what is allowed.

    It prints them and exits with status 2, or, by ``exit_on_error=False``, raises UserError.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        """Make an empty parser; ``add`` fills it."""
        super().__init__(*arguments, formatter_class=Help, **settings)
        self.values: dict[str, Values] = {}
        self.before = "--"  # what stands before a setting's name in an error

    def error(self, message: str | None = None, ex: Exception | None = None) -> typing.NoReturn:
        """Print one line and exit with status 2, or raise it."""
        text = self.plain(" ".join(str(message or ex).split()))
        if not self.exit_on_error:
            raise UserError(text)
        say(f"error: {text} (see --help)", error=True)
        raise SystemExit(2)

    def plain(self, text: str) -> str:
        """Say in plain words what jsonargparse or argparse refuses."""
        wrong = re.search(r"Parser key \"(\w+)\":(?:.*(?:Got|Given) value: (.*))?", text)
        if wrong and wrong[1] in self.values:
            known = self.values[wrong[1]]
            is_now = f"is {wrong[2]!r}; it" if wrong[2] is not None else ""
            near = nearest(wrong[2] or "", known.words)
            hint = f"; {near}" if near.startswith("did") else ""
            return f"{self.before}{wrong[1]} {is_now} must be {known.phrase}{hint}"
        lacks = re.search(r"argument --(\w+): expected (?:one|at least one) argument", text)
        if lacks and lacks[1] in self.values:
            return f"--{lacks[1]} needs a value: {self.values[lacks[1]].phrase}"
        unknown = re.search(r"[Uu]nrecognized arguments: (\S+)", text)
        if unknown and not unknown[1].startswith("-"):
            return f"unexpected word {unknown[1]!r}; settings are given as --name value"
        if unknown:
            flag, given, _ = unknown[1].partition("=")
            name = flag.removeprefix("--no_")
            if given and name != flag and name in self.switches():
                return f"{flag} takes no value; give --{name} or {flag} alone"
            return f"unknown flag {flag}; {nearest(flag, self.flags())}"
        return text

    def flags(self) -> list[str]:
        """Every flag that can be given, with those that turn a switch off."""
        shown = (a for a in self._actions if a.help != argparse.SUPPRESS)
        given = [o for a in shown for o in a.option_strings if o.startswith("--")]
        return given + [f"--no_{name}" for name in self.switches()]

    def switches(self) -> set[str]:
        """Names of the settings that are on or off."""
        return {name for name, values in self.values.items() if values.metavar == SWITCH}

    def add(self, section: Any, fields: Iterable[dataclasses.Field[Any]], group: type) -> None:
        """Add one argument per field of the dataclass ``group`` to a section of the help."""
        hints = typing.get_type_hints(group)
        for field in fields:
            text = field.metadata["help"]
            if field.metadata.get("positional"):
                shown = field.metadata.get("metavar", field.name)
                section.add_argument(field.name, nargs="*", type=str, help=text, metavar=shown)
                continue
            more: dict[str, Any] = {"type": hints[field.name], "default": field.default}
            if field.metadata.get("several"):
                more = {"nargs": "+", "action": "extend", "type": str}
            values = values_of(field, str if "nargs" in more else hints[field.name])
            flag = flag_of(field)
            self.values[flag] = values
            text += _default(field.default, values)
            section.add_argument(f"--{flag}", metavar=values.metavar, help=text, **more)


def flag_of(field: dataclasses.Field[Any]) -> str:
    """Name of a field on the command line: its own, unless that is a word of Python."""
    return str(field.metadata.get("flag", field.name))


def _default(value: Any, values: Values) -> str:
    """Give " (default: 30)"; nothing where the help says what an unset field means."""
    if value in (None, "", ()):
        return ""
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    shown = shown.lower() if isinstance(value, bool) else shown
    if values.metavar == SWITCH:
        shown = "on" if value else "off"
    return f" (default: {shown})"


def one_spelling(words: Sequence[str], renamed: Mapping[str, str], switches: set[str]) -> list[str]:
    """Spell flags as the parser knows them.

    ``--old=1`` becomes ``--new=1``; ``--json clip.mp4`` becomes ``--json=true clip.mp4``, so that a
    switch takes no file for its value; ``--no_augment`` and ``--augment off``, ``--augment=false``.

    Args:
        words: of a command line.
        renamed: old names of flags to their names now.
        switches: names of the flags that are on or off.

    Raises:
        UserError: a flag by its old and its present name.
    """
    spelt: list[str] = []
    spelled: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        flag, equals, value = word.partition("=")
        given = flag.removeprefix("--") if flag.startswith("--") else ""
        base = given.removeprefix("no_")
        unnegated = renamed.get(base, base)
        name = unnegated if given == base else f"no_{unnegated}"
        if base and spelled.setdefault(unnegated, base) != base:
            old = base if base != unnegated else spelled[unnegated]
            raise UserError(f"--{old} is the former name of --{unnegated}; give one of them")
        if name in switches:
            if not equals:
                value = rest.pop(0) if rest and rest[0].lower() in ON_OFF else "true"
            spelt.append(f"--{name}={str(ON_OFF.get(value.lower(), value)).lower()}")
        elif unnegated in switches and not equals:
            spelt.append(f"--{unnegated}=false")
        else:
            spelt.append(f"--{name}{equals}{value}" if name else word)
    return spelt


def checked(values: Mapping[str, Any], file: Any, *groups: type) -> dict[str, Any]:
    """Give values of a YAML file their fields' types, as ``cli.parse`` does: ``1e-3`` is a number.

    Args:
        values: ``{field: value}``, fields of ``groups``.
        file: the file's name, for errors; None: the values come from elsewhere.
        groups: dataclasses.

    Raises:
        UserError: a value that its field cannot have.
    """
    parser = Parser(exit_on_error=False)
    for group in groups:
        parser.add(parser, dataclasses.fields(group), group)
    return typed(parser, values, "" if file is None else f"config {file}: ")


def typed(parser: Parser, values: Mapping[str, Any], before: str) -> dict[str, Any]:
    """Let a parser check and convert values that were not typed on a command line.

    YAML reads ``on`` and ``off`` as true and false; fields with those words get them back.
    """
    wanted = dict(values)
    for name, value in values.items():
        words = parser.values[name].words if name in parser.values else ()
        if isinstance(value, bool) and "on" in words:
            wanted[name] = "on" if value else "off"
    if not wanted:
        return {}
    parser.before = before
    found = vars(parser.parse_object(wanted, defaults=False))
    parser.before = "--"
    return {name: found[name] for name in wanted}

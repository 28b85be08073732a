"""Flags of a command line from the fields of a dataclass."""

from __future__ import annotations

import dataclasses
import re
import sys
import typing
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser

from emorec_tf.config.fields import nearest
from emorec_tf.errors import UserError


class Parser(ArgumentParser):
    """jsonargparse's parser, with errors in one line that name the nearest flag."""

    def error(self, message: str | None = None, ex: Exception | None = None) -> typing.NoReturn:
        """Print one line and exit with status 2."""
        text = " ".join(str(message or ex).split())
        text = re.sub(r"Parser key \"(\w+)\": ", r"--\1: ", text)
        unknown = re.search(r"unrecognized arguments: (--\w+)", text)
        if unknown:
            flags = [o for a in self._actions for o in a.option_strings if o.startswith("--")]
            text += f"; {nearest(unknown[1], flags)}"
        print(f"error: {text} (see --help)", file=sys.stderr)
        raise SystemExit(2)


def checked(values: dict[str, Any], file: Any, *groups: type) -> dict[str, Any]:
    """Give values of a YAML file their fields' types, as ``parse`` does: ``1e-3`` is a number.

    Raises:
        UserError: a value that its field cannot have.
    """
    parser = ArgumentParser(exit_on_error=False)
    for group in groups:
        add_fields(parser, group)
    try:
        return {k: vars(parser.parse_object(values, defaults=False))[k] for k in values}
    except ArgumentError as error:
        text = re.sub(r"Parser key \"(\w+)\": ", r"\1: ", " ".join(str(error).split()))
        raise UserError(f"config {file}: {text}") from error


def add_fields(section: Any, group: type) -> None:
    """Add one argument per dataclass field."""
    types = typing.get_type_hints(group)
    for field in dataclasses.fields(group):
        if field.metadata.get("positional"):
            section.add_argument(field.name, nargs="*", type=str, help=field.metadata["help"])
        elif field.metadata.get("several"):
            text = field.metadata["help"]
            section.add_argument(f"--{field.name}", nargs="+", action="extend", type=str, help=text)
        elif types[field.name] is bool and field.default is False:
            section.add_argument(f"--{field.name}", action="store_true", help=_off(field))
        else:
            section.add_argument(
                f"--{field.name}",
                type=types[field.name],
                default=field.default,
                help=field.metadata["help"],
            )


def _off(field: dataclasses.Field[Any]) -> str:
    return f"{field.metadata['help']} (default: off)"

"""Settings without the paths of the machine that they were used on, for packages."""

from __future__ import annotations

import dataclasses
import re
from pathlib import PureWindowsPath
from typing import Any

from emorec_tf.config import choices, spellings
from emorec_tf.config.config import Config

DOWNLOAD = "download"  # default of an argument that gives a file
# From the root or a drive, not after a letter, which would be a relative path or an address.
ABSOLUTE = re.compile(r"(?<![\w./:])(?:/[\w.+~-]+){2,}|(?<!\w)[A-Za-z]:\\[\w.+~\\-]+")
LISTS = (("model", "ensemble"), ("train", "pretrain"))  # comma lists of files


def without_local_paths(settings: Config) -> Config:
    """Replace paths: an argument's by its default if that is a download, else by the file's name.

    ``whisper(weights='/home/me/model.bin')`` becomes ``whisper(weights='download')``, and
    ``--ensemble runs/a.yaml`` ``a.yaml``. The saved network holds its weights itself.
    """
    changed: dict[str, dict[str, Any]] = {
        "data": {"records": None},
        "model": {kind: _choice(kind, getattr(settings.model, kind)) for kind in choices.NETWORK},
        "train": {},
    }
    for section, name in LISTS:
        names = getattr(getattr(settings, section), name)
        if names:
            changed[section][name] = ",".join(_file_name(one.strip()) for one in names.split(","))
    parts = {
        section: dataclasses.replace(getattr(settings, section), **values)
        for section, values in changed.items()
    }
    return dataclasses.replace(settings, **parts)


def shortened(text: str) -> str:
    r"""Reduce absolute paths in a text to the names of files or folders, as in model cards.

    >>> shortened("train --run /home/me/runs/one --audio \"whisper(weights='/home/me/model.bin')\"")
    'train --run one --audio "whisper(weights=\'model.bin\')"'
    """
    return ABSOLUTE.sub(lambda found: PureWindowsPath(found.group()).name, text)


def _choice(kind: str, choice: str) -> str:
    """A choice without paths among its arguments; without any it stays as it is spelled."""
    name, given = choices.parse(choice)
    arguments = dict(given)
    paths = {key for key, value in arguments.items() if _is_path(value)}
    if not paths:
        return choice
    defaults = choices.entry(kind, name).arguments
    for key in paths:
        default = defaults.get(key)
        arguments[key] = default if default == DOWNLOAD else _file_name(arguments[key])
    return spellings.call(name, arguments)


def _is_path(value: Any) -> bool:
    """Whether a value names a file by more than its name; an address in the web is no local one."""
    return isinstance(value, str) and "://" not in value and ("/" in value or "\\" in value)


def _file_name(path: str) -> str:
    """The last part of a path of any system."""
    return PureWindowsPath(path).name if _is_path(path) else path

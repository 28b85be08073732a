"""Folders that one command starts and the same command resumes; other settings are refused.

A folder holds a plan: what was asked for when it was started. ``check`` compares and changes
nothing, so that a command can refuse before it writes; ``begin_or_resume`` also makes room.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emorec_tf.errors import UserError
from emorec_tf.storage.paths import Remote, remove_tree

Plan = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind of folder.

    Attributes:
        name: what messages call it.
        file: holds the plan; a folder with this file is of this kind.
        flag: names the folder on the command line.
        must_agree: keys of the plan in order of importance, each with what to say where it
            differs (``{key}`` of the stored plan may stand in it); "": both values.
        rest: glob pattern of files that also identify a folder of this kind, without its plan.
        spelled: functions that spell values of the plan alike before they are compared, by key.
    """

    name: str
    file: str
    flag: str
    must_agree: Mapping[str, str]
    rest: str = ""
    spelled: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)


def check(
    folder: Path,
    plan: Plan,
    kind: Kind,
    overwrite: bool = False,
    read: Callable[[Path], Plan] | None = None,
) -> Plan | None:
    """Compare a plan with that of a folder; nothing is written.

    Args:
        folder: to be filled.
        plan: what is asked for.
        kind: of the folder.
        overwrite: whatever an earlier command of this kind left there does not count.
        read: reads the stored plan; None: ``kind.file`` is JSON.

    Returns:
        The plan that the folder was started with, or None where it is to be started.

    Raises:
        UserError: the folder was started with other settings, is damaged, or is something else.
    """
    check_folder(folder, kind.flag)
    if is_started(folder, kind):
        if overwrite:
            return None
        stored = read(folder) if read else _read(folder, kind)
        changed = differences(stored, plan, kind)
        if changed:
            raise UserError(
                f"{folder} was started with other settings ({'; '.join(changed)}); give another "
                f"{kind.flag}, or --overwrite"
            )
        return stored
    ours = kind.rest and any(folder.glob(kind.rest))
    if not ours and folder.exists() and any(map(_is_visible, folder.iterdir())):
        raise UserError(f"{folder} exists and is no {kind.name}; give another {kind.flag}")
    return None


def check_folder(folder: Path, flag: str) -> None:
    """Refuse a path at which no folder can be: it or a folder above it is a file.

    Raises:
        UserError: so it is.
    """
    if isinstance(folder, Remote):
        return
    there = next((p for p in (folder, *folder.parents) if p.exists() or p.is_symlink()), None)
    if there is not None and not there.is_dir():
        what = "is a file" if there.exists() else "is a broken link"
        raise UserError(f"{there} {what}, no folder; give another {flag}")


def begin_or_resume(
    folder: Path,
    plan: Plan,
    kind: Kind,
    overwrite: bool = False,
    read: Callable[[Path], Plan] | None = None,
) -> Plan | None:
    """Check as ``check`` does, then make the folder, or empty it with ``overwrite``.

    Hidden files stay: a lock that is held may be among them.

    Returns:
        The plan that the folder was started with; None: the caller writes the new one.

    Raises:
        UserError: see ``check``.
    """
    stored = check(folder, plan, kind, overwrite, read)
    if overwrite and is_started(folder, kind):
        if isinstance(folder, Remote):
            remove_tree(folder)
        else:
            for entry in filter(_is_visible, folder.iterdir()):
                remove_tree(entry) if entry.is_dir() else entry.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    return stored


def is_started(folder: Path, kind: Kind) -> bool:
    """Whether a folder holds a plan of this kind."""
    return (folder / kind.file).exists()


def differences(stored: Plan, plan: Plan, kind: Kind) -> list[str]:
    """Name what differs between two plans; the first key that differs explains the later ones."""
    for key, said in kind.must_agree.items():
        spell = kind.spelled.get(key, _plain)
        old, new = (spell(_plain(value)) for value in (stored.get(key), plan[key]))
        if old == new:
            continue
        if said:
            return [said.format_map(stored)]
        if not isinstance(new, dict) or not isinstance(old, dict):
            return [f"{key} was {old!r}, is {new!r}"]
        names = [name for name in {**new, **old} if old.get(name) != new.get(name)]
        return [f"{name} was {old.get(name)!r}, is {new.get(name)!r}" for name in names]
    return []


def _read(folder: Path, kind: Kind) -> Plan:
    path = folder / kind.file
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        _ = [stored[key] for key in kind.must_agree]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged; --overwrite starts again") from error
    return dict(stored)


def _plain(value: Any) -> Any:
    """Give a value the types that JSON would give it back with."""
    return json.loads(json.dumps(value))


def _is_visible(path: Path) -> bool:
    return not path.name.startswith(".")

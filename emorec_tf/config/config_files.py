"""Configs by name: YAML files as given, in ``configs``, or those that come with the package."""

from __future__ import annotations

from pathlib import Path

import emorec_tf
from emorec_tf.config.fields import nearest
from emorec_tf.errors import UserError

SUFFIX = ".yaml"
FOLDER = "configs"
# An installed package carries its configs inside; in a checkout they lie beside it.
PACKAGE = Path(emorec_tf.__file__).parent
PLACES = (PACKAGE / FOLDER, PACKAGE.parent / FOLDER)


def found() -> dict[str, Path]:
    """Configs that come with the package, and those in ``configs``, which come first, by name."""
    places = (*PLACES, Path(FOLDER))
    files = [file for place in places for file in sorted(place.glob(f"[!.]*{SUFFIX}"))]
    return {file.stem: file for file in files}


def file_of(name: str | Path, what: str = "config") -> Path:
    """Find a config: a file, with or without ``.yaml``, else a name.

    Args:
        name: of the file, or of a config that comes with the package.
        what: is looked for, for the message.

    Raises:
        UserError: neither; it has the nearest names.
    """
    given = Path(name)
    for path in (given, given.with_name(f"{given.name}{SUFFIX}")):
        if path.is_file():
            return path
    beside = {file.stem: file for file in given.parent.glob(f"[!.]*{SUFFIX}")}
    known = {**found(), **beside}
    stem = given.name.removesuffix(SUFFIX)
    if given.parent in (Path(), Path(FOLDER)) and stem in known:
        return known[stem]
    raise UserError(f"there is no {what} {name}; {nearest(stem, known)}")


def summary_of(path: Path) -> str:
    """First sentence of the comment at the head of a config."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = []
    for line in lines:
        if not line.startswith("#"):
            break
        head.append(line.removeprefix("#").strip())
    return " ".join(head).partition(". ")[0].rstrip(".")

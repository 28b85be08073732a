"""Models by name: those that come with the package, and the runs in ``runs``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import emorec_tf
from emorec_tf.config.fields import nearest
from emorec_tf.errors import UserError
from emorec_tf.storage import paths

# An installed package carries its models inside; in a checkout they lie beside it.
PACKAGE = Path(emorec_tf.__file__).parent
PLACES = (
    PACKAGE / "saved_models",
    PACKAGE.parent / "saved_models",
    Path("runs"),
    Path("saved_models"),
)
DEFAULTS = ("general-av", "ravdess-av")  # the first that is found is the default
DEFAULT_TEXT = f"{DEFAULTS[0]} where it is found, else {' or '.join(DEFAULTS[1:])}"
SUMS = "SHA256SUMS"  # as sha256sum writes it; a folder with it was made by ``ship``


def found() -> dict[str, Path]:
    """Folders of all runs by name; of equal names, the one that comes with the package."""
    files = [file for place in reversed(PLACES) for file in sorted(place.glob("*/run.json"))]
    return {file.parent.name: file.parent for file in files}


def folder_of(name_or_folder: str | Path) -> Path:
    """Find a run: a folder that holds one, else a name.

    Raises:
        UserError: neither.
    """
    folder, known = paths.place(name_or_folder), found()
    if not (folder / "run.json").exists() and str(name_or_folder) in known:
        return known[str(name_or_folder)]
    if folder.exists():
        return folder
    hint = nearest(folder.name, known) if known else "train one first"
    raise UserError(f"no model {str(name_or_folder)!r}; {hint}")


def found_or(name_or_folder: str | Path) -> Path:
    """Find a run as ``folder_of`` does, or return the folder as it was given."""
    folder = paths.place(name_or_folder)
    return folder if (folder / "run.json").exists() else found().get(str(name_or_folder), folder)


def chosen(run: str | None, verb: str) -> str:
    """Take the run that a command was given; none: the first of ``DEFAULTS`` that is there.

    Raises:
        UserError: none given, and none of them is there.
    """
    if run is not None:
        return run
    known = found()
    default = next((name for name in DEFAULTS if name in known), None)
    if default is None:
        raise UserError(f"{verb} needs --run FOLDER, a run that train wrote")
    return default


def members_of(folder: Path) -> list[Path]:
    """Folders of the packaged models that a packaged ensemble refers to; [] of any other run."""
    try:
        facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        return [folder / str(member["folder"]) for member in facts.get("members", ())]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # said when it is opened
        return []


def check_sums(folder: Path) -> None:
    """Compare a shipped model's files with their checksums; other runs have none.

    A damaged weight would be loaded, and give wrong answers silently.

    The same is done with the models that an ensemble refers to.

    Raises:
        UserError: a file that is missing or not as it was.
    """
    for place in (folder, *members_of(folder)):  # a missing member is named when it is opened
        if (place / SUMS).exists():
            _check_folder(place)


def _check_folder(folder: Path) -> None:
    for line in (folder / SUMS).read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        file = folder / name
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            raise UserError(f"{file} is missing or damaged; install emorec-tf or the model again")

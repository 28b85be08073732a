"""Command: does a split file leak? For anyone's splits, made with this package or not."""

from __future__ import annotations

import csv
import hashlib
import posixpath
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from emorec_tf.cli import guarded, parse
from emorec_tf.config.fields import nearest, option
from emorec_tf.errors import UserError
from emorec_tf.splits.leaks import ROLES, Row, doubts, guard, leaks, recording_of

__all__ = ["guard", "main", "read", "run", "sounds_of"]

COLUMNS = ("path", "speaker", "fold", "role")
SOUND_RATE_HZ = 16000


@dataclass(frozen=True)
class AuditOptions:
    """Which split file, checked how."""

    splits: tuple[str, ...] = option(
        (),
        "CSV file with the columns path,speaker,fold,role (train, validation or test)",
        positional=True,
    )
    sound: bool = option(
        False, "also decode the files and compare their sound; finds exact copies only"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Print a line for each leak; exit with 1 if there is one."""
    options = AuditOptions(**parse(argv, "audit", AuditOptions, config_flag=False))
    if len(options.splits) != 1:
        raise UserError(f"audit needs one split file, not {len(options.splits)}: audit splits.csv")
    file = Path(options.splits[0])
    rows = read(file)
    sounds: dict[str, str] = {}
    if options.sound:
        sounds, unheard = sounds_of((r.path for r in rows), file.parent)
        for line in unheard:
            print(f"warning: {line}", file=sys.stderr)
    for line in doubts(rows):
        print(f"warning: {line}", file=sys.stderr)
    found = leaks(rows, sounds)
    for line in found:
        print(f"leak: {line}")
    if not found:
        print(f"no leak: {summary(rows, len(sounds))}")
    return 1 if found else 0


def read(file: Path) -> list[Row]:
    """Read a split file.

    Raises:
        UserError: no such file, no CSV, a column is missing, a field is empty, an unknown role.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:  # spreadsheets write the mark
            reader = csv.DictReader(opened)
            header = [name for name in reader.fieldnames or [] if name]
            for name in COLUMNS:
                if name not in header:
                    raise UserError(
                        f"{file} has no column {name!r}: it needs {','.join(COLUMNS)}; its first "
                        f"line has {', '.join(header) or 'nothing'}"
                    )
            rows = [_row(file, reader.line_num, line) for line in reader]
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}; give a CSV file") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{file} is no CSV file in UTF-8: {error}") from error
    if not rows:
        raise UserError(f"{file} has no line below its header; nothing can be checked")
    return rows


def _row(file: Path, number: int, line: dict[str, str | None]) -> Row:
    values = {name: (line[name] or "").strip() for name in COLUMNS}
    for name, value in values.items():
        if not value:
            raise UserError(f"{file} line {number}: {name} is empty; fill it in")
    if values["role"] not in ROLES:
        raise UserError(
            f"{file} line {number}: unknown role {values['role']!r}; "
            f"{nearest(values['role'], ROLES)}"
        )
    path = posixpath.normpath(values["path"].replace("\\", "/"))
    return Row(path, values["speaker"], values["fold"], values["role"], recording_of(path))


def sounds_of(paths: Iterable[str], folder: Path) -> tuple[dict[str, str], list[str]]:
    """Hash the decoded sound of each file.

    Equal hashes mean equal samples: a copy, or another lossless form of it. A recording that was
    compressed anew has another hash; such twins are found by their names only.

    Args:
        paths: as the split file gives them.
        folder: tried where a path leads nowhere from the working directory.

    Returns:
        {path: sha256 of the 16 kHz waveform}, without silence, and lines on what was not compared.
    """
    from emorec_tf.media.decode import decode

    found: dict[str, str] = {}
    missing: list[str] = []
    notes: list[str] = []
    for path in sorted(set(paths)):
        file = next((f for f in (Path(path), folder / path) if f.is_file()), None)
        if file is None:
            missing.append(path)
            continue
        try:
            sound = decode(
                str(file),
                sample_rate_hz=SOUND_RATE_HZ,
                clip_seconds=None,
                frame_count=0,
                want_video=False,
            ).waveform
        except UserError as error:
            notes.append(f"sound not compared: {error}")
            continue
        if sound is not None and sound.any():
            found[path] = hashlib.sha256(sound.tobytes()).hexdigest()
    if missing:
        notes.append(f"sound not compared: {len(missing)} files not found, such as {missing[0]}")
    return found, notes


def summary(rows: Sequence[Row], heard: int) -> str:
    """Say in one line what was looked at."""
    folds, speakers, paths = ({getattr(r, k) for r in rows} for k in ("fold", "speaker", "path"))
    sound = f"{heard} sounds compared" if heard else "sounds not compared (--sound does)"
    counts = ((folds, "fold"), (speakers, "speaker"), (paths, "path"))
    told = [f"{len(names)} {what}{'' if len(names) == 1 else 's'}" for names, what in counts]
    return f"{', '.join(told)}; {sound}"


if __name__ == "__main__":
    sys.exit(main())

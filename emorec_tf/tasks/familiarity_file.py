"""What clips are compared with, as a NumPy archive: read with every value checked, no pickle."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np

from emorec_tf.errors import UserError
from emorec_tf.tasks.calibration import MOST_SLOPE
from emorec_tf.tasks.familiarity import Familiarity, Part

MOST_BYTES, MOST_PARTS, MOST_WIDTH = 1 << 26, 16, 1 << 20


def to_bytes(found: Familiarity) -> bytes:
    """Write a NumPy archive."""
    arrays: dict[str, np.ndarray] = {
        "held_out": found.held_out.astype(np.float32),
        "width": np.array(found.width),
        "threshold": np.array(found.threshold),
        "parts": np.array(len(found.parts)),
    }
    for number, part in enumerate(found.parts):
        arrays |= {
            f"columns{number}": part.columns.astype(np.int32),
            f"mean{number}": part.mean.astype(np.float32),
            f"scale{number}": part.scale.astype(np.float32),
            f"references{number}": part.references.astype(np.float16),
            f"place{number}": np.array([part.start, part.stop]),
            f"centre{number}": np.array([part.centre, part.spread]),
        }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def from_bytes(data: bytes) -> Familiarity:
    """Read what ``to_bytes`` wrote; nothing in it can run code.

    Raises:
        ValueError: damaged, too large, or values out of bounds.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(member.file_size for member in archive.infolist()) > MOST_BYTES:
                raise ValueError("it is too large")
        with np.load(io.BytesIO(data), allow_pickle=False) as kept:
            parts = int(kept["parts"])
            if not 1 <= parts <= MOST_PARTS:
                raise ValueError(f"{parts} parts")
            read = tuple(_read_part(kept, number) for number in range(parts))
            found = Familiarity(
                read, kept["held_out"], int(kept["width"]), float(kept["threshold"])
            )
    except (OSError, EOFError, KeyError, TypeError, OverflowError, zipfile.BadZipFile) as error:
        raise ValueError(f"it cannot be read ({error})") from error
    _check(found)
    return found


def _read_part(kept: np.lib.npyio.NpzFile, number: int) -> Part:
    names = ("columns", "mean", "scale", "references")
    columns, mean, scale, references = (kept[f"{name}{number}"] for name in names)
    start, stop = (int(value) for value in kept[f"place{number}"])
    centre, spread = (float(value) for value in kept[f"centre{number}"])
    return Part(start, stop, columns, mean, scale, references.astype(np.float32), centre, spread)


def _check(found: Familiarity) -> None:
    """Refuse shapes and values that do not fit each other."""
    rows = found.held_out
    fits = rows.ndim == 2 and rows.shape[0] == len(found.parts) and rows.shape[1] > 0
    fits = fits and rows.dtype.kind == "f" and bool(np.isfinite(rows).all())
    fits = fits and 0 <= found.threshold <= 1 and 0 < found.width <= 1 << 20
    for part in found.parts:
        count = len(part.columns)
        floats = (part.mean, part.scale, part.references)
        fits = fits and part.columns.dtype.kind in "iu" and part.columns.ndim == 1
        fits = fits and part.mean.shape == part.scale.shape == (count,)
        fits = fits and part.references.ndim == 2 and part.references.shape[1] == count
        fits = fits and len(part.references) > 0
        fits = fits and all(a.dtype.kind == "f" and np.isfinite(a).all() for a in floats)
        fits = fits and bool((part.scale > 0).all()) and np.isfinite(part.centre)
        fits = fits and 0 < part.spread < np.inf
        fits = fits and 0 <= part.start < part.stop <= found.width
        if count:
            fits = fits and part.start <= part.columns.min() and part.columns.max() < part.stop
    if not fits:
        raise ValueError("its values are out of bounds")


def of_file(path: Path) -> Familiarity | None:
    """Read a run's file; None where there is none.

    Raises:
        UserError: it is damaged.
    """
    if not path.exists():
        return None
    try:
        return from_bytes(path.read_bytes())
    except (OSError, ValueError) as error:
        line = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is damaged: {line}; delete it, or train the run again") from error


def slope_in(path: Path) -> float:
    """How fast a stored temperature grows with unfamiliarity; 0 where nothing valid is stored."""
    try:
        slope = float(json.loads(path.read_text(encoding="utf-8"))["unfamiliar_slope"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0
    return slope if 0 <= slope <= MOST_SLOPE else 0.0

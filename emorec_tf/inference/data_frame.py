"""Answers in Python as a table: files and arrays to a pandas data frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from emorec_tf.errors import SetupError, UserError
from emorec_tf.inference import predictor
from emorec_tf.inference.answer_rows import Layout
from emorec_tf.inference.model import Model
from emorec_tf.storage.deferred import Deferred
from emorec_tf.training import model_store
from emorec_tf.training.run_dir import Run

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Deferred("pandas")

Item: TypeAlias = str | Path | np.ndarray
TYPES = {str: "string", float: "float64", int: "Int64", bool: "boolean"}
STILL_HZ = 1.0  # an image array is a video of one frame


def predict(
    paths: Item | Sequence[Item],
    run: str | Path | Run | Model | None = None,
    *,
    sample_rate: int = 0,
    classes: Sequence[str] = (),
    people: Literal["main", "all"] = "main",
    each_window: bool = False,
    skip_errors: bool = False,
) -> pd.DataFrame:
    """Answer clips, images and audio; a row each, with the columns of ``predict --out``.

    Args:
        paths: one or several; a file, an image uint8 RGB [H, W, 3], or a waveform float [samples],
            mono, -1 to 1.
        run: a model of ``load``, which saves loading it each time, one of ``list_models()``, or
            a run's folder; None: as the ``predict`` command chooses.
        sample_rate: of the waveforms, in hertz.
        classes: choose among these alone, with probabilities scaled to a sum of 1; (): all.
        people: whose answer one clip gets; main: the larger face's; all: each person's, which
            ``each_window`` shows.
        each_window: a row for each window and person of a video that is cut into windows, or of
            ``people="all"``; else one row for each clip.
        skip_errors: a clip that cannot be read gets a row without an answer, whose ``reason`` is
            the error; else the error is raised.

    Returns:
        A row for each clip, in order: ``clip`` (``array 0``: the first, an array), ``emotion``,
        ``confidence`` (its probability), a column for each class (or ``value`` of a rating),
        ``familiarity``, ``audio_present``, ``face_present``, ``face_coverage``, ``missing``,
        ``reason``, ``notes``; of windows also ``start_seconds``, ``end_seconds``, ``person``.

    Raises:
        UserError: no such run or class, an unreadable file, arrays of another shape or type.

    >>> emorec_tf.predict(["clip.mp4"], run="runs/demo-concat")["clip"][0]
    'clip.mp4'
    """
    check_pandas()
    items = listed(paths)
    for number, item in enumerate(items):
        check_item(item, number)
    model = model_of(run)
    with model._lock:  # a limited model shares its detectors and decoders
        limited = Model(model.predictor.limited(classes)) if classes else model
        layout = Layout.of(limited.predictor)
        rows = []
        for number, item in enumerate(items):
            try:
                answer = answer_of(limited, item, number, sample_rate, people)
            except SetupError:
                raise
            except UserError as error:
                if not skip_errors:
                    raise
                answer = {"clip": name_of(item, number), "reason": str(error)}
            rows += layout.rows(answer, each_window)
    return frame_of(rows, layout)


def frame_of(rows: Sequence[dict[str, Any]], layout: Layout) -> pd.DataFrame:
    """Make a data frame of rows, whose columns have the same types whatever is in them."""
    columns = {
        name: pd.Series([row[name] for row in rows], dtype=TYPES[kind])
        for name, kind in layout.columns.items()
    }
    return pd.DataFrame(columns)


def answer_of(
    model: Model, item: Item, number: int, sample_rate: int, people: Literal["main", "all"]
) -> dict[str, Any]:
    """Answer one file or array: the object of ``predict --json``."""
    if not isinstance(item, np.ndarray):
        return model.predict_clip(item, people=people)
    name = name_of(item, number)
    if item.ndim == 3:
        answer = model.predict_arrays(frames=item[None], frame_rate_hz=STILL_HZ)
    elif sample_rate > 0:
        answer = model.predict_arrays(item, sample_rate)
    else:
        raise UserError(f"{name} is a waveform; give its sample_rate, in hertz")
    return {"clip": name, **answer}


def name_of(item: Item, number: int) -> str:
    """Name of a clip: its path, or the place of an array among those given."""
    return f"array {number}" if isinstance(item, np.ndarray) else str(item)


def listed(paths: Any) -> list[Any]:
    """Give several files or arrays as a list, or one as a list of one."""
    one = isinstance(paths, str | Path | np.ndarray) or not hasattr(paths, "__iter__")
    return [paths] if one else list(paths)


def check_item(item: Any, number: int) -> None:
    """Refuse what is neither a path nor an image nor a waveform, before anything is loaded."""
    if isinstance(item, str | Path):
        return
    if not isinstance(item, np.ndarray):
        raise UserError(f"paths: {type(item).__name__} at {number} is neither a path nor an array")
    image = item.ndim == 3 and item.shape[2] == 3 and item.dtype == np.uint8
    waveform = item.ndim == 1 and np.issubdtype(item.dtype, np.floating)
    if not (item.size and (image or waveform)):
        raise UserError(
            f"array {number} is {item.dtype} {list(item.shape)}; an image is uint8 RGB [H, W, 3], "
            "a waveform float [samples]"
        )


def check_pandas() -> None:
    """Say what to install where there is no pandas."""
    try:
        import pandas  # noqa: F401
    except ImportError as error:
        raise SetupError("a table needs a package: pip install pandas") from error


def model_of(run: str | Path | Run | Model | None) -> Model:
    """Load a run, unless it is loaded."""
    if isinstance(run, Model):
        return run
    folder = run.folder if isinstance(run, Run) else run
    name = model_store.chosen(None if folder is None else str(folder), "predict")
    return Model(predictor.load(name))
